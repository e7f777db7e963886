//! Writes to the console as fast as it can, for ever or as many bytes as the argument says, in pieces of 10,000 bytes, each
//! byte the last digit of its place. `on-input`, a second argument: begins once there is input.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use test_guests::{Raw, argument, bare, console_write};
use ukvm_abi::request::{Opcode, Request};

ukvm_runtime::program! { main = main; }

async fn main() {
    let mut raw = Raw::take();
    let mut left: u64 = argument().parse().unwrap_or(u64::MAX);
    if ukvm_runtime::args().nth(1) == Some("on-input") {
        let mut key = [0; 1];
        let address = key.as_mut_ptr() as u64;
        let done = raw.call(&Request { address, length: 1, ..bare(Opcode::ConsoleRead) });
        assert_eq!((done.status, done.value), (0, 1));
    }
    let piece: Vec<u8> = (0..10_000).map(|place| b'0' + (place % 10) as u8).collect();
    while left > 0 {
        let length = left.min(piece.len() as u64);
        let done = raw.call(&console_write(&piece[..length as usize]));
        assert_eq!((done.status, done.value), (0, length));
        left -= length;
    }
    raw.exit(0);
}
