//! Reads the disk `data`, in which each 8 bytes are their own number, by reads that block, while more others are under way than there may
//! be at once. Says so once all have what they should.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use ukvm_runtime::block::{Disk, Error};
use ukvm_runtime::{println, ring, task};

ukvm_runtime::program! {
    main = main;
    block data;
}

/// Bytes of a read.
const LENGTH: usize = 4096;

async fn main() {
    let disk = Disk::open("data").expect("the disk is there");
    let reads = 2 * ring::completion_entries();
    let others: Vec<_> = (0..reads)
        .map(|number| {
            let disk = disk.clone();
            task::spawn(async move {
                let offset = place(&disk, number);
                let mut buffer = vec![0; LENGTH];
                disk.read(offset, &mut buffer).await.expect("a sound disk");
                check(offset, &buffer);
            })
        })
        .collect();
    // Each of them has its turn, and waits.
    task::yield_now().await;
    let mut buffer = vec![0; LENGTH];
    for number in (0..reads).rev().step_by(7) {
        let offset = place(&disk, number);
        disk.read_blocking(offset, &mut buffer).expect("a sound disk");
        check(offset, &buffer);
    }
    for other in others {
        other.await;
    }
    assert_eq!(disk.read_blocking(disk.len(), &mut buffer), Err(Error::OutOfRange));
    assert_eq!(disk.read_blocking(1, &mut buffer), Err(Error::Unaligned));
    assert_eq!(disk.read_blocking(disk.len(), &mut []), Ok(()));
    println!("all reads agree");
}

/// Where a read begins.
fn place(disk: &Disk, number: usize) -> u64 {
    (number * LENGTH) as u64 % disk.len()
}

fn check(offset: u64, bytes: &[u8]) {
    let mut words = bytes.chunks_exact(8).zip(offset / 8..);
    assert!(words.all(|(word, number)| *word == number.to_le_bytes()), "the bytes at {offset} are others");
}
