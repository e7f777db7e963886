//! Recurses until the stack is used up: the guard page below it ends that.
#![no_std]
#![no_main]

use core::hint::black_box;
use test_guests::Raw;

ukvm_runtime::program! { main = main; }

async fn main() {
    Raw::take().print("before");
    black_box(deeper(black_box(1)));
}

#[inline(never)]
fn deeper(level: u64) -> u64 {
    let frame = black_box([level; 64]);
    if level == 0 { 0 } else { deeper(black_box(level + 1)) + frame[5] }
}
