//! A program with a table of a mebibyte that does not change. It says `ready`, waits for a byte of input, and does what the byte says:
//!
//! - `s`: prints the sum of the table;
//! - `w`: has the monitor write the first kibibyte of the table's second half, straight from where it lies;
//! - `j`: jumps into the table's second half, where nothing may be executed.
#![no_std]
#![no_main]

use test_guests::Raw;
use ukvm_abi::request::{Opcode, Request};

ukvm_runtime::program! {
    main = main;
}

const WORDS: usize = (1 << 20) / 8;
/// Printable bytes, so that each word is another one.
static TABLE: [u64; WORDS] = {
    let mut table = [0; WORDS];
    let mut i = 0;
    while i < WORDS {
        table[i] = 0x4141_4141_4141_4141 + (i as u64 % 26) + (((i as u64 / 26) % 26) << 8);
        i += 1;
    }
    table
};

async fn main() {
    let mut raw = Raw::take();
    raw.line(format_args!("ready"));
    let mut wanted = [0_u8];
    let request = Request {
        opcode: Opcode::ConsoleRead as u16,
        address: wanted.as_mut_ptr() as u64,
        length: 1,
        ..Request::default()
    };
    raw.call(&request);
    let half = TABLE[WORDS / 2..].as_ptr();
    match wanted[0] {
        b's' => {
            let sum = core::hint::black_box(&TABLE).iter().fold(0_u64, |sum, word| sum.wrapping_add(*word));
            raw.line(format_args!("{sum:016x}"));
        }
        b'w' => {
            let request = Request {
                opcode: Opcode::ConsoleWrite as u16,
                address: half as u64,
                length: 1024,
                ..Request::default()
            };
            let done = raw.call(&request);
            raw.line(format_args!(" status {} {}", done.status, done.value));
        }
        _ => {
            // SAFETY: it is not: the guest is to be stopped there.
            let function: extern "C" fn() = unsafe { core::mem::transmute(half) };
            function();
        }
    }
}
