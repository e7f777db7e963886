//! Divides by zero: exception 0.
#![no_std]
#![no_main]

use core::arch::asm;
use test_guests::Raw;

ukvm_runtime::program! { main = main; }

async fn main() {
    Raw::take().print("before");
    // SAFETY: it faults, which is the purpose.
    unsafe { asm!("xor ecx, ecx", "mov eax, 1", "cdq", "div ecx", out("eax") _, out("ecx") _, out("edx") _) };
}
