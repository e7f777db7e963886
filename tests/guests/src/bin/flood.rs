//! Writes to the console as fast as it can, for ever or as many bytes as the argument says, in pieces of 10,000 bytes, each
//! byte the last digit of its place.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use test_guests::{Raw, argument, console_write};

ukvm_runtime::program! { main = main; }

async fn main() {
    let mut raw = Raw::take();
    let mut left: u64 = argument().parse().unwrap_or(u64::MAX);
    let piece: Vec<u8> = (0..10_000).map(|place| b'0' + (place % 10) as u8).collect();
    while left > 0 {
        let length = left.min(piece.len() as u64);
        let done = raw.call(&console_write(&piece[..length as usize]));
        assert_eq!((done.status, done.value), (0, length));
        left -= length;
    }
    raw.exit(0);
}
