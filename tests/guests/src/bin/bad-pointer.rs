//! Lends the monitor buffers that it must not take; prints how each request completes, and goes on.
#![no_std]
#![no_main]

use core::arch::asm;
use test_guests::{Raw, console_write};
use ukvm_abi::request::{Opcode, Request};

ukvm_runtime::program! { main = main; }

static CONSTANT: [u8; 64] = [b'c'; 64];

async fn main() {
    let mut raw = Raw::take();
    let boot = raw.boot;
    let on_stack = [b's'; 64];
    let heap_end = boot.heap.start + boot.heap.length;
    let stack_end = boot.stack.start + boot.stack.length;
    let text = nothing as fn() as usize as u64;
    let read = |address, length| Request { address, length, ..console_write(&[]) };
    let written = |address, length| Request { opcode: Opcode::Entropy as u16, ..read(address, length) };
    let (good, constant) = (on_stack.as_ptr() as u64, CONSTANT.as_ptr() as u64);
    for (name, request) in [
        ("null", read(0, 1)),
        ("page 0", read(8, 64)),
        ("behind memory", read(heap_end, 1)),
        ("far behind memory", read(heap_end + (1 << 40), 1)),
        ("over the end of memory", read(heap_end - 8, 16)),
        ("guard below the stack", read(boot.stack.start - 8, 8)),
        ("from the guard into the stack", read(boot.stack.start - 8, 16)),
        ("guard above the stack", read(stack_end, 8)),
        ("from the stack into the guard", read(stack_end - 8, 16)),
        ("wraps around", read(u64::MAX - 4, 16)),
        ("length wraps around", read(good, u64::MAX)),
        ("length wraps to itself", read(good, 0_u64.wrapping_sub(good))),
        ("length of 2^63", read(good, 1 << 63)),
        ("not canonical", read(1 << 47, 8)),
        ("upper half", read(0xffff_8000_0000_0000, 8)),
        ("the monitor's tables", read(descriptor_table(), 8)),
        ("entropy into text", written(text, 8)),
        ("entropy into constants", written(constant, 8)),
        ("entropy into the boot information", written((&raw const *boot) as u64, 8)),
        ("entropy into the clock page", written(boot.clock, 8)),
        ("entropy into the guard", written(boot.stack.start - 8, 8)),
        ("entropy into the monitor's tables", written(descriptor_table(), 8)),
        ("input into text", Request { opcode: Opcode::ConsoleRead as u16, ..read(text, 8) }),
    ] {
        let done = raw.call(&request);
        raw.line(format_args!("{name}: {} {}", done.status, done.value));
    }
    assert_eq!(CONSTANT, [b'c'; 64]);
    raw.print("and went on\n");
    raw.exit(0);
}

fn nothing() {}

/// Where the monitor's descriptor table is, which the guest may learn but not read; 0 where it may not even learn it.
fn descriptor_table() -> u64 {
    let mut table = [0_u8; 16];
    // SAFETY: SGDT writes 10 bytes to `table`.
    unsafe { asm!("sgdt [{0}]", in(reg) table.as_mut_ptr()) };
    u64::from_le_bytes(core::array::from_fn(|i| table[i + 2]))
}
