//! Writes to memory that is read-only: `text`, `rodata`, `relro`, `boot-info`, `clock`.
#![no_std]
#![no_main]

use core::arch::asm;
use test_guests::{Raw, argument};

ukvm_runtime::program! { main = main; }

static RODATA: [u8; 16] = *b"cannot be writte";
/// Holds an address, so that it is relocated at the start and sealed afterwards.
static RELRO: [&(dyn Fn() + Sync); 1] = [&nothing];

fn nothing() {}

async fn main() {
    let mut raw = Raw::take();
    let target = match argument() {
        "text" => nothing as fn() as usize as u64,
        "rodata" => (&raw const RODATA) as u64,
        "relro" => (&raw const RELRO) as u64,
        "boot-info" => (&raw const *raw.boot) as u64,
        _ => raw.boot.clock,
    };
    raw.line(format_args!("{target:#x}"));
    // SAFETY: it faults, which is the purpose.
    unsafe { asm!("mov byte ptr [{0}], 0xc3", in(reg) target) };
    raw.exit(0);
}
