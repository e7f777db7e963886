//! Jumps to a RET in memory that is not executable: `data`, `stack`, `heap`, `rodata`, or `null` and `wild` addresses.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::arch::asm;
use core::hint::black_box;
use test_guests::{Raw, argument};

ukvm_runtime::program! { main = main; }

/// The opcode of a near return.
const RET: u8 = 0xc3;
static mut DATA: [u8; 16] = [RET; 16];
static RODATA: [u8; 16] = [RET; 16];

async fn main() {
    let mut raw = Raw::take();
    let stack = black_box([RET; 16]);
    let heap = black_box(Box::new([RET; 16]));
    let target = match argument() {
        "data" => (&raw const DATA) as u64,
        "rodata" => (&raw const RODATA) as u64,
        "stack" => (&raw const stack) as u64,
        "heap" => heap.as_ptr() as u64,
        "null" => 0,
        _ => 0x7eee_dddd_c000,
    };
    raw.line(format_args!("{target:#x}"));
    // SAFETY: it faults, or returns at once.
    unsafe { asm!("call {0}", in(reg) target, clobber_abi("C")) };
    raw.exit(0);
}
