//! Reads address 0 (or near it, as a field behind a null pointer is): page 0 is never mapped.
#![no_std]
#![no_main]

use core::arch::asm;
use test_guests::{Raw, argument};

ukvm_runtime::program! { main = main; }

async fn main() {
    Raw::take().print("before");
    let address: u64 = if argument() == "field" { 0xff8 } else { 0 };
    // SAFETY: it faults, which is the purpose.
    unsafe { asm!("mov rax, [{0}]", in(reg) address, out("rax") _) };
}
