//! Writes block after block to its disk, several at a time, and flushes all the while: block *n*, counted from 1, is full of that
//! number. Says after the first write that it is `written`, and waits for a byte of input; then after each flush how many blocks
//! from the start on were written before that flush was submitted.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use ukvm_runtime::block::Disk;
use ukvm_runtime::{console, println, task, time};

ukvm_runtime::program! { main = main; block scratch: writable; }

const WRITERS: usize = 4;
/// Several, so that flushes are submitted while another one is under way.
const FLUSHERS: usize = 3;

/// Aligned for direct writes.
#[repr(align(4096))]
struct Block([u8; 4096]);

#[derive(Default)]
struct Written {
    /// Blocks that were begun.
    begun: u64,
    /// Blocks that were written before all blocks before them were.
    ahead: BTreeSet<u64>,
    /// All up to this number are written.
    all: u64,
}

impl Written {
    fn add(&mut self, number: u64) {
        self.ahead.insert(number);
        while self.ahead.remove(&(self.all + 1)) {
            self.all += 1;
        }
    }
}

async fn main() {
    let disk = Disk::open("scratch").expect("a disk");
    let written = Rc::new(RefCell::new(Written::default()));
    assert!(write_next(&disk, &written).await);
    println!("written");
    console::read(&mut [0]).await;
    for _ in 0..WRITERS {
        let (disk, written) = (disk.clone(), written.clone());
        drop(task::spawn(async move { while write_next(&disk, &written).await {} }));
    }
    let flushes = Rc::new(Cell::new(0));
    for _ in 0..FLUSHERS {
        let (disk, written, flushes) = (disk.clone(), written.clone(), flushes.clone());
        drop(task::spawn(async move {
            loop {
                let covered = written.borrow().all;
                disk.flush().await.expect("a flush");
                flushes.set(flushes.get() + 1);
                println!("flush {} covers {covered}", flushes.get());
            }
        }));
    }
    core::future::pending().await
}

/// Writes the next block, if the disk has one more.
async fn write_next(disk: &Disk, written: &RefCell<Written>) -> bool {
    let number = written.borrow().begun + 1;
    if number * 4096 > disk.len() {
        return false;
    }
    written.borrow_mut().begun = number;
    let mut block = Block([0; 4096]);
    for word in block.0.chunks_exact_mut(8) {
        word.copy_from_slice(&number.to_le_bytes());
    }
    disk.write((number - 1) * 4096, &block.0).await.expect("a write");
    written.borrow_mut().add(number);
    // The disk is not to be full before the test has seen enough.
    time::sleep(Duration::from_millis(1)).await;
    true
}
