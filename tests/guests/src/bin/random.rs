//! Takes random numbers through getrandom 0.2, 0.3 and 0.4, through rand, and from the host. Exits with 0 if all differ.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::BTreeSet;
use rand::{RngCore, TryRngCore};
use ukvm_runtime::{entropy, println};

ukvm_runtime::program! { main = main; }

async fn main() {
    let mut all = BTreeSet::new();
    let mut take = |fill: &mut dyn FnMut(&mut [u8])| {
        for _ in 0..100 {
            let mut bytes = [0; 32];
            fill(&mut bytes);
            assert!(all.insert(bytes), "random numbers repeat");
        }
        // Any length works, none included.
        let mut bytes = [0; 1000];
        for length in 0..bytes.len() {
            fill(&mut bytes[..length]);
        }
    };
    take(&mut |bytes| entropy::fill(bytes));
    take(&mut |bytes| getrandom_02::getrandom(bytes).unwrap());
    take(&mut |bytes| getrandom_03::fill(bytes).unwrap());
    take(&mut |bytes| getrandom_04::fill(bytes).unwrap());
    take(&mut |bytes| rand::rngs::OsRng.unwrap_mut().fill_bytes(bytes));
    for _ in 0..10 {
        let mut bytes = [0; 32];
        entropy::request(&mut bytes).await.unwrap();
        assert!(all.insert(bytes), "the host's random numbers repeat");
    }
    entropy::reseed().await.unwrap();
    let mut bytes = [0; 32];
    entropy::fill(&mut bytes);
    assert!(all.insert(bytes), "a new seed gives old numbers");
    println!("{} different numbers", all.len());
}
