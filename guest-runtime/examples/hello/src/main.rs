//! Prints a line and exits with the status that its first argument names, 0 without one.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ukvm_runtime::{args, println};

ukvm_runtime::program! { main = main; }

async fn main() -> u8 {
    println!("hello, world");
    match args().next() {
        None => 0,
        Some(status) => status.parse().unwrap_or_else(|_| {
            println!("hello: the exit status is a number from 0 to 255, not `{status}`");
            ukvm_runtime::abi::exit_status::USAGE
        }),
    }
}
