//! What is computed to compare a guest with the host: compiled once, by `object.rs`, and linked into the guest `compute` and
//! into the floor `compute-floor`, so that both run the same instructions.
//!
//! Nothing here can panic, allocate or call anything.
#![no_std]
#![forbid(unsafe_op_in_unsafe_fn)]

/// Words of the memory that is read at random: 16 MiB, more than a TLB covers with small pages.
pub const WORDS: usize = 4 << 20;

/// Integers with branches that depend on them: how long the Collatz sequences of the first numbers are.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_compute_integer() -> u64 {
    let mut steps = 0_u64;
    for first in 1..200_000_u64 {
        let mut number = first;
        while number != 1 {
            number = if number.is_multiple_of(2) { number / 2 } else { 3 * number + 1 };
            steps += 1;
        }
    }
    steps
}

/// Floating point: the path of a Lorenz attractor, and a sum of square roots and quotients that are independent of each other.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_compute_float() -> u64 {
    let (mut x, mut y, mut z) = (1.0_f64, 1.0_f64, 1.0_f64);
    let mut sums = [0.0_f64; 8];
    for step in 0..3_000_000_u32 {
        let (dx, dy, dz) = (10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z);
        x += dx * 0.002;
        y += dy * 0.002;
        z += dz * 0.002;
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += z / (f64::from(step) + lane as f64 + 1.5);
        }
    }
    sums.iter().fold(x.to_bits(), |all, sum| all.rotate_left(7) ^ sum.to_bits())
}

/// Links each word to another, all of them in one circle without an order that a processor could foresee.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_compute_link(memory: &mut [u32; WORDS]) {
    for (index, word) in memory.iter_mut().enumerate() {
        // A linear congruential generator whose period is all of them: odd addend, factor 1 modulo 4.
        *word = (index as u32).wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % WORDS as u32;
    }
}

/// Random reads, each at the place that the one before has named.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_compute_memory(memory: &[u32; WORDS]) -> u64 {
    let mut at = 0;
    let mut sum = 0_u64;
    for _ in 0..200_000 {
        at = memory[at as usize % WORDS];
        sum = sum.rotate_left(1) ^ u64::from(at);
    }
    sum
}
