//! Uses its heap: `churn` allocates and frees in many sizes, `all` until nothing is left, `too-much` more than there is.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use ukvm_runtime::println;

ukvm_runtime::program! { main = main; }

async fn main() {
    match ukvm_runtime::args().next().unwrap_or("") {
        "churn" => churn(),
        "all" => {
            let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(4096);
            while blocks.len() < 4096 {
                let mut block = Vec::new();
                if block.try_reserve_exact(1 << 20).is_err() {
                    break;
                }
                block.resize(1 << 20, blocks.len() as u8);
                blocks.push(block);
            }
            for (number, block) in blocks.iter().enumerate() {
                assert!(block.iter().all(|&byte| byte == number as u8), "block {number} was written to");
            }
            println!("{} MiB", blocks.len());
        }
        _ => {
            let size = ukvm_runtime::boot_info().memory_size as usize;
            println!("asking");
            println!("{}", core::hint::black_box(vec![1_u8; core::hint::black_box(size)]).len());
        }
    }
}

fn churn() {
    let mut kept = BTreeMap::new();
    let mut state = 1_u64;
    for round in 0..200_000_u64 {
        // A linear congruential generator with Knuth's constants (MMIX).
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let size = 1 << (state >> 60);
        let key = (state >> 32) % 500;
        if let Some(old) = kept.insert(key, vec![round as u8; size]) {
            assert!(old.iter().all(|&byte| byte == old[0]), "a block was written to");
        }
    }
    println!("{} blocks", kept.len());
}
