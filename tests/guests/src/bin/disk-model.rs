//! Does random things to a disk through the runtime, 32 tasks at once, beside a copy in memory. The first argument says what:
//!
//! - `write SEED COUNT`: each task reads, writes, zeroes, discards and flushes its share of the disk `scratch`; prints a checksum
//!   of the whole;
//! - `read SEED COUNT`: each task reads anywhere on the disk `data`, which holds the noise of this seed;
//! - `fair`: reads `data` for long, and looks whether a second task and a timer have their turns;
//! - `again OFFSET LENGTH`: reads there from `data`, waits for a byte of input, and reads there again.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use test_guests::{checksum, noise};
use ukvm_runtime::block::Disk;
use ukvm_runtime::{console, println, task, time};

ukvm_runtime::program! {
    main = main;
    block data: optional;
    block scratch: writable, optional;
}

const TASKS: u64 = 32;
/// Memory for requests is taken at any address of a page, block sizes and pages or not.
const ALIGNMENT: usize = 4096;

async fn main() -> Result<(), alloc::string::String> {
    let arguments: Vec<&str> = ukvm_runtime::args().collect();
    let number = |index: usize| arguments[index].parse::<u64>().expect("a number");
    match arguments[0] {
        "write" => write(number(1), number(2)).await,
        "read" => read(number(1), number(2)).await,
        "fair" => fair().await,
        "again" => return again(number(1), number(2)).await.map_err(|error| format!("{error:?}")),
        other => panic!("no test {other}"),
    }
    Ok(())
}

async fn write(seed: u64, count: u64) {
    let disk = Disk::open("scratch").expect("a disk");
    let share = disk.len() / TASKS;
    let tasks: Vec<_> =
        (0..TASKS).map(|number| task::spawn(write_share(disk.clone(), number, share, seed, count))).collect();
    let mut whole = Vec::new();
    for task in tasks {
        whole.extend(task.await);
    }
    println!("{:016x}", checksum(&whole));
}

/// The share's bytes at the end.
async fn write_share(disk: Disk, number: u64, share: u64, seed: u64, count: u64) -> Vec<u8> {
    let mut random = SmallRng::seed_from_u64(seed + number);
    let base = number * share;
    let mut model = vec![0; share as usize];
    disk.read(base, &mut model).await.unwrap();
    let mut memory = vec![0; share as usize + ALIGNMENT];
    for _ in 0..count {
        let (at, length) = range(&mut random, &disk, share);
        let start = random.random_range(0..ALIGNMENT);
        let buffer = &mut memory[start..start + length];
        let model = &mut model[at as usize..at as usize + length];
        match random.random_range(0..10) {
            0..4 => {
                disk.read(base + at, buffer).await.unwrap();
                assert!(buffer == model, "{length} bytes at {} differ", base + at);
            }
            4..7 => {
                buffer.fill(random.random());
                buffer[length / 2..].fill(random.random());
                disk.write(base + at, buffer).await.unwrap();
                model.copy_from_slice(buffer);
            }
            7 => {
                disk.write_zeroes(base + at, length as u64).await.unwrap();
                model.fill(0);
            }
            8 => {
                // What it then reads as is open.
                disk.discard(base + at, length as u64).await.unwrap();
                disk.write(base + at, model).await.unwrap();
            }
            _ => disk.flush().await.unwrap(),
        }
    }
    let whole = &mut memory[1..1 + share as usize];
    disk.read(base, whole).await.unwrap();
    assert!(whole == model, "the share at {base} differs");
    disk.flush().await.unwrap();
    model
}

async fn read(seed: u64, count: u64) {
    let disk = Disk::open("data").expect("a disk");
    let model: Rc<[u8]> = noise(seed, disk.len() as usize).into();
    let one = |number| {
        let (disk, model) = (disk.clone(), model.clone());
        async move {
            let mut random = SmallRng::seed_from_u64(seed + number);
            let mut memory = vec![0; (1 << 20) + ALIGNMENT];
            for _ in 0..count {
                let (at, length) = range(&mut random, &disk, disk.len());
                let start = random.random_range(0..ALIGNMENT);
                let buffer = &mut memory[start..start + length];
                disk.read(at, buffer).await.unwrap();
                assert!(*buffer == model[at as usize..at as usize + length], "{length} bytes at {at} differ");
            }
        }
    };
    let tasks: Vec<_> = (0..TASKS).map(|number| task::spawn(one(number))).collect();
    for task in tasks {
        task.await;
    }
}

/// A range of blocks in the first `end` bytes: often a few blocks, sometimes a megabyte.
fn range(random: &mut SmallRng, disk: &Disk, end: u64) -> (u64, usize) {
    let unit = disk.block_size() as u64;
    let most = [1, 8, 64, (1 << 20) / unit][random.random_range(0..4)].min(end / unit);
    let length = random.random_range(1..=most);
    (random.random_range(0..=end / unit - length) * unit, (length * unit) as usize)
}

async fn fair() {
    let disk = Disk::open("data").expect("a disk");
    let turns = Rc::new(Cell::new(0_u64));
    let counted = turns.clone();
    let _other = task::spawn(async move {
        loop {
            counted.set(counted.get() + 1);
            task::yield_now().await;
        }
    });
    let rung = Rc::new(Cell::new(false));
    let ring = rung.clone();
    let _timer = task::spawn(async move {
        time::sleep(Duration::from_millis(1)).await;
        ring.set(true);
    });
    let mut buffer = vec![0; 4096];
    let mut reads = 0_u64;
    while !rung.get() {
        disk.read(reads * 4096 % disk.len(), &mut buffer).await.unwrap();
        reads += 1;
    }
    assert!(turns.get() >= reads / 64, "{} turns in {reads} reads", turns.get());
}

async fn again(offset: u64, length: u64) -> Result<(), ukvm_runtime::block::Error> {
    let disk = Disk::open("data").expect("a disk");
    let mut buffer = vec![0; length as usize];
    disk.read(offset, &mut buffer).await?;
    println!("{:016x}", checksum(&buffer));
    let mut input = [0];
    console::read(&mut input).await;
    disk.read(offset, &mut buffer).await?;
    println!("{:016x}", checksum(&buffer));
    Ok(())
}
