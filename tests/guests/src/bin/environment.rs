//! Prints its arguments, each in brackets, and the variables `A`, `B` and `EMPTY`.
#![no_std]
#![no_main]

use ukvm_runtime::println;

ukvm_runtime::program! { main = main; }

async fn main() {
    for argument in ukvm_runtime::args() {
        println!("[{argument}]");
    }
    for name in ["A", "B", "EMPTY"] {
        println!("{name}={:?}", ukvm_runtime::env(name));
    }
}
