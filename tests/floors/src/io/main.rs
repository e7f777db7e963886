//! The floors of I/O: what the guest `io` does, in a process, with the same TAP interface or the same file.
//!
//! | arguments | does |
//! |---|---|
//! | `frames TAP` | sends frames back, and spins while there are none |
//! | `frames-blocking TAP` | the same, but sleeps in `read` |
//! | `udp TAP`, `tcp TAP` with `--ip ADDRESS/PREFIX` | serves the sockets of the guests' network stack |
//! | `block FILE PHASE...` | reads by `pread`, phase by phase |
//! | `block-direct FILE PHASE...` | reads past the page cache: one at a time by `pread`, several by io_uring |
//!
//! It prints `ready`, and in the last two cases a line for each phase: its name and how many requests it had. The others run
//! until they are killed.

mod block;
mod frames;
mod net;

use std::error::Error;
use std::process::ExitCode;

const USAGE: &str =
    "name what is to be done: frames, frames-blocking, udp, tcp, block or block-direct, as ukvm-bench does";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("io-floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Box<dyn Error>> {
    match words {
        ["frames", tap] => frames::echo(tap, true),
        ["frames-blocking", tap] => frames::echo(tap, false),
        [what @ ("udp" | "tcp"), tap, options @ ..] => net::serve(what, tap, options),
        ["block", file, phases @ ..] => block::read(file, false, phases),
        ["block-direct", file, phases @ ..] => block::read(file, true, phases),
        _ => Err(USAGE.into()),
    }
}
