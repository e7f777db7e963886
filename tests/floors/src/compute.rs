//! The floor of computing: the object code of the guest `compute` in a process.
//!
//! Prints a line when it is ready, and the result when it is done; who measures takes the time between the two.

use std::process::ExitCode;

include!("../../compute/calls.rs");

fn main() -> ExitCode {
    let kernel = std::env::args().nth(1).unwrap_or_default();
    match compute(&kernel, || println!("ready")) {
        Some(result) => {
            println!("{result:016x}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("compute-floor: there is no kernel `{kernel}`; name integer, float or memory");
            ExitCode::from(64)
        }
    }
}
