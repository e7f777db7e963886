//! The floor of computing: the object code of the guest `compute` in a process.
//!
//! Prints a line when it is ready, and the result when it is done; who measures takes the time between the two.

use std::process::ExitCode;
use std::time::Duration;

include!("../../compute/calls.rs");

/// CLOCK_MONOTONIC by clock_gettime, which the C library finds in the vDSO.
fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills in the `timespec`, and cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

fn main() -> ExitCode {
    let kernel = std::env::args().nth(1).unwrap_or_default();
    match compute(&kernel, monotonic, || println!("ready")) {
        Some(result) => {
            println!("{result:016x}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("compute-floor: there is no kernel `{kernel}`; name integer, float, memory or now");
            ExitCode::from(64)
        }
    }
}
