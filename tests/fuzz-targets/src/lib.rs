//! What a hostile guest, file or peer can do, as functions of bytes.
//!
//! Each module has a `run`, which turns any bytes into a course of events, panics where something is not as it must be, and
//! otherwise says nothing; and `seeds`, a few inputs that get far. The fuzzers in `tests/fuzz` look for bytes that make
//! one panic; `tests/smoke.rs` tries the seeds, changed in many ways, with every `cargo test`.

pub mod answer;
pub mod dispatch;
pub mod elf;
pub mod frame;
pub mod image;
pub mod lease;
pub mod note;
pub mod queue;
mod random;
pub mod ring;
mod words;

pub use random::Random;

/// A function of bytes, and inputs to start from.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its module's and its fuzzer's name.
    pub name: &'static str,
    /// Tries an input.
    pub run: fn(&[u8]),
    /// Inputs that get far.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "answer", run: answer::run, seeds: answer::seeds },
    Target { name: "dispatch", run: dispatch::run, seeds: dispatch::seeds },
    Target { name: "elf", run: elf::run, seeds: elf::seeds },
    Target { name: "frame", run: frame::run, seeds: frame::seeds },
    Target { name: "image", run: image::run, seeds: image::seeds },
    Target { name: "lease", run: lease::run, seeds: lease::seeds },
    Target { name: "note", run: note::run, seeds: note::seeds },
    Target { name: "queue", run: queue::run, seeds: queue::seeds },
    Target { name: "ring", run: ring::run, seeds: ring::seeds },
];
