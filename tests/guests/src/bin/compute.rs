//! Computes what its argument names, with the object code of the floor `compute-floor`: prints a line when it is ready, and
//! the result when it is done.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec;
use ukvm_runtime::abi::exit_status;
use ukvm_runtime::{println, time};

include!("../../../compute/calls.rs");

ukvm_runtime::program! { main = main; }

async fn main() -> u8 {
    let kernel = ukvm_runtime::args().next().unwrap_or("");
    match compute(kernel, time::monotonic, || println!("ready")) {
        Some(result) => {
            println!("{result:016x}");
            0
        }
        None => {
            println!("compute: there is no kernel `{kernel}`; name integer, float, memory or now");
            exit_status::USAGE
        }
    }
}
