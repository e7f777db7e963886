//! Keeps the C library out.
//!
//! Crates that name the C library for its types make the linker search it, and then whatever they refer to would come
//! from there, with system calls and thread-local storage that a guest has not. Empty archives of the same names are found
//! first: what this crate does not define is then an undefined symbol, which the linker reports by name.

use std::path::Path;
use std::{env, fs};

/// The libraries that the crate libc asks for on GNU targets.
const LIBRARIES: [&str; 8] = ["c", "dl", "gcc", "gcc_eh", "m", "pthread", "rt", "util"];
/// What every archive starts with, and an empty one ends with.
const ARCHIVE_MAGIC: &[u8] = b"!<arch>\n";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A process of Linux has a C library.
    if env::var_os("CARGO_FEATURE_HOSTED").is_some() {
        return;
    }
    let directory = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    for library in LIBRARIES {
        fs::write(Path::new(&directory).join(format!("lib{library}.a")), ARCHIVE_MAGIC)
            .expect("cargo's OUT_DIR is writable");
    }
    println!("cargo::rustc-link-search=native={directory}");
}
