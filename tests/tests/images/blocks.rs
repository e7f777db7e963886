//! Bytes at any place of a disk that moves whole blocks only.

use crate::world::wait;
use std::cell::{Cell, RefCell};
use ukvm_storage::{Blocks, ReadFailed, WritableBlocks, WriteFailed, read_bytes, write_bytes};
use ukvm_tests::random::Random;

ukvm_tests::tests! {
    any_bytes_are_read_and_written;
    a_small_read_is_one_request;
    what_cannot_be_read_cannot_be_written_in_part;
}

/// The bytes of a block.
const SIZE: usize = 4096;

struct Disk {
    bytes: RefCell<Vec<u8>>,
    requests: Cell<u32>,
    broken: bool,
}

impl Disk {
    /// The range of a request, which is legal.
    fn range(&self, offset: u64, length: usize) -> std::ops::Range<usize> {
        self.requests.set(self.requests.get() + 1);
        let range = offset as usize..offset as usize + length;
        assert!(range.start.is_multiple_of(SIZE) && range.end.is_multiple_of(SIZE), "{range:?}");
        range
    }
}

impl Blocks for Disk {
    fn block_size(&self) -> usize {
        SIZE
    }

    async fn read_blocks(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
        let range = self.range(offset, buffer.len());
        buffer.copy_from_slice(&self.bytes.borrow()[range]);
        if self.broken { Err(ReadFailed) } else { Ok(()) }
    }
}

impl WritableBlocks for Disk {
    async fn write_blocks(&self, offset: u64, bytes: &[u8]) -> Result<(), WriteFailed> {
        let range = self.range(offset, bytes.len());
        self.bytes.borrow_mut()[range].copy_from_slice(bytes);
        Ok(())
    }
}

fn any_bytes_are_read_and_written() {
    let mut random = Random::new(1);
    let mut copy: Vec<u8> = (0..64 * SIZE).map(|_| random.below(256) as u8).collect();
    let disk = Disk { bytes: copy.clone().into(), requests: Cell::new(0), broken: false };
    for round in 0..2000 {
        // Within a block, over the end of one, whole blocks, and more than is copied.
        let unit = [1, SIZE][random.below(2)];
        let offset = random.below(copy.len() / unit) * unit;
        let longest = [100, 3 * SIZE, copy.len()][random.below(3)].min(copy.len() - offset);
        let length = random.below(longest / unit + 1) * unit;
        let range = offset..offset + length;
        if round % 2 == 0 {
            let bytes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
            wait(write_bytes(&disk, offset as u64, &bytes)).unwrap();
            copy[range].copy_from_slice(&bytes);
        } else {
            let mut bytes = vec![0; length];
            wait(read_bytes(&disk, offset as u64, &mut bytes)).unwrap();
            assert!(bytes == copy[range.clone()], "{range:?}");
        }
    }
    assert!(*disk.bytes.borrow() == copy);
}

fn a_small_read_is_one_request() {
    let disk = Disk { bytes: vec![7; 64 * SIZE].into(), requests: Cell::new(0), broken: false };
    for (offset, length, requests) in
        [(0, 10, 1), (4000, 200, 1), (100, 50_000, 1), (0, 100_000, 2), (100, 200_000, 3), (0, 200 * 1024, 1)]
    {
        disk.requests.set(0);
        let mut bytes = vec![0; length];
        wait(read_bytes(&disk, offset, &mut bytes)).unwrap();
        assert_eq!((disk.requests.get(), bytes), (requests, vec![7; length]), "{offset} {length}");
    }
}

fn what_cannot_be_read_cannot_be_written_in_part() {
    let disk = Disk { bytes: vec![7; 2 * SIZE].into(), requests: Cell::new(0), broken: true };
    assert_eq!(wait(read_bytes(&disk, 1, &mut [0; 4])), Err(ReadFailed));
    assert_eq!(wait(write_bytes(&disk, 1, b"bytes")), Err(WriteFailed::Io));
    assert_eq!(*disk.bytes.borrow(), [7; 2 * SIZE]);
    assert_eq!(wait(write_bytes(&disk, 0, &[1; SIZE])), Ok(()));
}
