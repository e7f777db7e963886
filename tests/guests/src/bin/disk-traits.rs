//! Reads and writes the disk `scratch` through the ecosystem's traits, at random places and lengths, beside a copy in memory.
//! Exits with 0, or panics. The disk is at most 1 MiB.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use block_device_driver::{BlockDevice, slice_to_blocks_mut};
use embedded_io_async::{Read, ReadExactError, Seek, SeekFrom, Write};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use ukvm_runtime::block::{Disk, Error};
use ukvm_runtime::println;

ukvm_runtime::program! {
    main = main;
    block scratch: writable;
}

async fn main() {
    let disk = Disk::open("scratch").expect("the disk is there");
    assert!(disk.len() <= 1 << 20, "the disk is small");
    cursor(&disk).await;
    cursor_at_the_ends(&disk).await;
    blocks(disk).await;
    println!("the disk and its copy agree");
}

async fn cursor(disk: &Disk) {
    let mut random = SmallRng::seed_from_u64(1);
    let size = disk.len() as usize;
    let mut copy = vec![0; size];
    disk.read(0, &mut copy).await.unwrap();
    let mut cursor = disk.cursor();
    for _ in 0..300 {
        let at = random.random_range(0..=size);
        let length = random.random_range(0..=(size - at).min(5000));
        assert_eq!(cursor.seek(SeekFrom::Start(at as u64)).await, Ok(at as u64));
        if random.random() {
            let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
            cursor.write_all(&bytes).await.unwrap();
            copy[at..at + length].copy_from_slice(&bytes);
        } else {
            let mut bytes = vec![0; length];
            cursor.read_exact(&mut bytes).await.unwrap();
            assert!(bytes == copy[at..at + length], "{length} bytes at {at} differ");
        }
        assert_eq!(cursor.stream_position().await, Ok((at + length) as u64));
    }
    cursor.flush().await.unwrap();
    let mut all = vec![0; size];
    disk.read(0, &mut all).await.unwrap();
    assert!(all == copy, "the disk differs from the copy");
}

async fn cursor_at_the_ends(disk: &Disk) {
    let mut cursor = disk.cursor();
    let end = disk.len();
    assert_eq!(cursor.seek(SeekFrom::Current(-1)).await, Err(Error::OutOfRange));
    assert_eq!(cursor.seek(SeekFrom::Start(end + 1)).await, Err(Error::OutOfRange));
    assert_eq!(cursor.seek(SeekFrom::End(-3)).await, Ok(end - 3));
    let mut bytes = [0; 4];
    assert_eq!(cursor.read(&mut bytes).await, Ok(3));
    assert_eq!(cursor.read(&mut bytes).await, Ok(0));
    assert!(matches!(cursor.read_exact(&mut bytes).await, Err(ReadExactError::UnexpectedEof)));
    assert_eq!(cursor.write(&bytes).await, Err(Error::OutOfRange));
    assert_eq!(cursor.write(&[]).await, Ok(0));
}

async fn blocks(mut disk: Disk) {
    let mut words = vec![0u64; 4 * 512 / 8];
    for (i, word) in words.iter_mut().enumerate() {
        *word = 0x0101_0101_0101_0101 * (i as u64 / 64 + 1);
    }
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let start = bytes.as_ptr().align_offset(4);
    assert_eq!(start, 0, "the allocator aligns to a word");
    let blocks = slice_to_blocks_mut::<_, 512>(&mut bytes);
    BlockDevice::<512>::write(&mut disk, 3, blocks).await.unwrap();
    let mut seen = [0; 4 * 512];
    disk.read(3 * 512, &mut seen).await.unwrap();
    assert!(seen.iter().enumerate().all(|(i, &byte)| usize::from(byte) == i / 512 + 1));
    blocks.reverse();
    BlockDevice::<512>::read(&mut disk, 4, &mut blocks[..1]).await.unwrap();
    assert!(blocks[0].iter().all(|&byte| byte == 2));
    assert_eq!(BlockDevice::<512>::size(&mut disk).await, Ok(disk.len()));
    let beyond = (disk.len() / 512) as u32;
    assert_eq!(BlockDevice::<512>::read(&mut disk, beyond, &mut blocks[..1]).await, Err(Error::OutOfRange));
    // 256 bytes are no multiple of the disk's block size.
    let mut small = vec![0; 256];
    let small = slice_to_blocks_mut::<_, 256>(&mut small);
    assert_eq!(BlockDevice::<256>::read(&mut disk, 1, small).await, Err(Error::Unaligned));
}
