//! Computes for ever and never enters the monitor; with the argument `notice` it has asked for the shutdown notice before.
#![no_std]
#![no_main]

use test_guests::{Raw, argument, bare};
use ukvm_abi::request::Opcode;

ukvm_runtime::program! { main = main; }

async fn main() {
    let mut raw = Raw::take();
    if argument() == "notice" {
        raw.submit(&bare(Opcode::ShutdownNotice));
        raw.enter(0);
    }
    raw.print("spinning\n");
    loop {
        core::hint::spin_loop();
    }
}
