//! Checks memcpy, memmove, memset, memcmp, bcmp and strlen for every small size and alignment, and for sizes around those
//! where they change their way. Exits with 0, or panics.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use ukvm_runtime::println;

ukvm_runtime::program! { main = main; }

// Called by these names, so that the compiler puts nothing of its own in their place.
unsafe extern "C" {
    fn memcpy(to: *mut c_void, from: *const c_void, count: usize) -> *mut c_void;
    fn memmove(to: *mut c_void, from: *const c_void, count: usize) -> *mut c_void;
    fn memset(to: *mut c_void, byte: c_int, count: usize) -> *mut c_void;
    fn memcmp(a: *const c_void, b: *const c_void, count: usize) -> c_int;
    fn bcmp(a: *const c_void, b: *const c_void, count: usize) -> c_int;
    fn strlen(text: *const c_void) -> usize;
}

/// Bytes before and behind what is written, which must stay as they are.
const MARGIN: usize = 64;
/// The largest size.
const MOST: usize = 9000;

async fn main() {
    let sizes: Vec<usize> = (0..=300).chain([511, 512, 1023, 1024, 1025, 4095, 4096, 8200, MOST]).collect();
    for &size in &sizes {
        copying(size);
        filling(size);
        comparing(size);
    }
    for &size in &sizes {
        overlapping(size);
    }
    lengths();
    println!("{} sizes are right", sizes.len());
}

fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 7 + i / 251) as u8 | 1).collect()
}

/// Fails unless `memory` is `expected` at `at` and zero elsewhere. Byte by byte, without the functions under test.
fn check(memory: &[u8], at: usize, expected: &[u8], what: &str) {
    for (i, &byte) in memory.iter().enumerate() {
        let right = i.checked_sub(at).and_then(|i| expected.get(i)).copied().unwrap_or(0);
        assert!(byte == right, "{what} of {} bytes to {at}: byte {i} is {byte}, not {right}", expected.len());
    }
}

fn copying(size: usize) {
    let alignments = if size <= 300 { 17 } else { 3 };
    let source = pattern(size + alignments);
    let mut memory = vec![0; size + 2 * MARGIN];
    for from in 0..alignments {
        for to in [0, 1, 7, 8, 15] {
            for (function, what) in
                [(memcpy as unsafe extern "C" fn(_, _, _) -> _, "memcpy"), (memmove, "memmove")]
            {
                memory.fill(0);
                let destination = memory[MARGIN + to..].as_mut_ptr();
                // SAFETY: the source has `from + size` bytes, the destination at least as many behind `MARGIN + to`.
                let result = unsafe { function(destination.cast(), source[from..].as_ptr().cast(), size) };
                assert_eq!(result, destination.cast());
                check(&memory, MARGIN + to, &source[from..from + size], what);
            }
        }
    }
}

fn overlapping(size: usize) {
    let distances: &[usize] = if size <= 300 { &[1, 2, 8, 15, 16, 31, 33, 63] } else { &[1, 33, 64] };
    for &distance in distances {
        for (from, to) in [(0, distance), (distance, 0)] {
            let original = pattern(size + distance);
            let mut memory = original.clone();
            let base = memory.as_mut_ptr();
            // SAFETY: both ranges are inside the vector; memmove allows them to overlap.
            unsafe {
                memmove(base.wrapping_add(to).cast(), base.wrapping_add(from).cast_const().cast(), size)
            };
            for (i, &byte) in memory.iter().enumerate() {
                let moved = i.checked_sub(to).filter(|&i| i < size);
                let right = original[moved.map_or(i, |i| i + from)];
                assert!(
                    byte == right,
                    "memmove of {size} bytes by {distance}: byte {i} is {byte}, not {right}"
                );
            }
        }
    }
}

fn filling(size: usize) {
    let mut memory = vec![0; size + 2 * MARGIN];
    for at in MARGIN..MARGIN + 17 {
        for byte in [0xa5, 1] {
            memory.fill(0);
            let destination = memory[at..].as_mut_ptr();
            // SAFETY: `size` bytes behind `at` are inside the vector. Only the low byte counts.
            let result = unsafe { memset(destination.cast(), 0x1200 | byte, size) };
            assert_eq!(result, destination.cast());
            check(&memory, at, &vec![byte as u8; size], "memset");
        }
    }
}

fn comparing(size: usize) {
    let a = pattern(size + 1);
    let mut b = a.clone();
    let compare = |a: &[u8], b: &[u8]| {
        // SAFETY: both are longer than `size`.
        let order = unsafe { memcmp(a.as_ptr().cast(), b.as_ptr().cast(), size) };
        // SAFETY: both are longer than `size`.
        let equal = unsafe { bcmp(a.as_ptr().cast(), b.as_ptr().cast(), size) } == 0;
        assert_eq!(equal, order == 0);
        order.signum()
    };
    b[size] ^= 0xff;
    assert_eq!(compare(&a, &b), 0, "a difference behind the end of {size} bytes");
    for i in (0..size).step_by(1 + size / 300) {
        let byte = b[i];
        b[i] = byte.wrapping_add(0x80);
        let right = if a[i] < b[i] { -1 } else { 1 };
        assert_eq!(compare(&a, &b), right, "a difference at {i} of {size}");
        assert_eq!(compare(&b, &a), -right, "a difference at {i} of {size}");
        b[i] = byte;
    }
}

fn lengths() {
    for size in 0..300 {
        let mut text = pattern(size);
        text.extend([0, 1]);
        // SAFETY: the text ends with a NUL.
        assert_eq!(unsafe { strlen(text.as_ptr().cast()) }, size);
    }
}
