//! Disks that bypass the page cache, with an io_uring and without.

use super::super::testing::Rig;
use super::tests::{Image, exercise};
use super::*;
use crate::memory::GuestBuffer;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::Instant;

/// The image as a direct disk; `fallback`: where the host forbids io_uring.
fn open(image: &Image, read_only: bool, fallback: bool) -> Rig<Block> {
    let config = DiskConfig { direct: true, ..image.config(read_only) };
    let mut block = Block::open(config, &Arc::new(Worker::start().unwrap())).unwrap();
    assert!(block.uring.is_some(), "this host forbids io_uring");
    if fallback {
        block.uring = None;
    }
    Rig::new(block)
}

#[test]
fn it_does_what_every_disk_does() {
    for fallback in [false, true] {
        let image = Image::new(&format!("direct-{fallback}"), 2 << 20);
        let rig = exercise(open(&image, false, fallback));
        let way = if fallback { ", direct through a thread" } else { ", direct through io_uring" };
        assert_eq!(rig.device.way(), way);
        assert!(rig.device.map(4 << 20).is_none());
    }
}

#[test]
fn an_end_is_told_by_a_descriptor() {
    let image = Image::new("told", 1 << 20);
    let mut rig = open(&image, true, false);
    for i in 0..20 {
        rig.submit(Opcode::BlockRead, i, rig.buffer(0, 64 << 10), 0);
        rig.advance();
        while rig.done.0.is_empty() {
            assert!(rig.wait(Duration::from_secs(20)), "nothing tells that the read has ended");
            rig.advance();
        }
        assert_eq!(rig.taken(), [(i, Ok(64 << 10))]);
    }
}

#[test]
fn a_quick_disk_is_looked_at_again() {
    let image = Image::new("quick", 1 << 20);
    let mut rig = open(&image, true, false);
    assert!(rig.device.expects_more().is_zero(), "nothing is under way");
    rig.submit(Opcode::BlockRead, 1, rig.buffer(0, 4096), 0);
    rig.submit(Opcode::BlockRead, 2, rig.buffer(4096, 4096), 0);
    rig.advance();
    // Where both have ended already there is nothing more to come.
    let more = !rig.device.expects_more().is_zero();
    assert_eq!(more, rig.done.0.len() < 2);
    assert_eq!(rig.completions(2).len(), 2);
    rig.submit(Opcode::BlockRead, 3, rig.buffer(0, 4096), 0);
    rig.advance();
    rig.device.uring.as_mut().unwrap().took = Duration::from_millis(1);
    assert!(rig.device.expects_more().is_zero(), "a slow disk is waited for");
    assert_eq!(rig.completions(1), [(3, Ok(4096))]);
}

#[test]
fn memory_at_any_address_will_do() {
    for fallback in [false, true] {
        let image = Image::new(&format!("unaligned-{fallback}"), 1 << 20);
        let mut rig = open(&image, false, fallback);
        // Longer than what goes through the monitor's own memory at a time.
        let bytes: Vec<u8> = (0..600 << 10).map(|i: usize| (i % 251) as u8).collect();
        let buffer = rig.put(1 << 20 | 1, &bytes);
        rig.submit(Opcode::BlockWrite, 1, buffer, 4096);
        assert_eq!(rig.completions(1), [(1, Ok(600 << 10))]);
        let mut written = vec![0; 600 << 10];
        File::open(&image.0).unwrap().read_exact_at(&mut written, 4096).unwrap();
        assert!(written == bytes);
        let back = rig.buffer(3 << 20 | 3, 600 << 10);
        rig.submit(Opcode::BlockRead, 2, back, 4096);
        assert_eq!(rig.completions(1), [(2, Ok(600 << 10))]);
        assert!(rig.bytes(3 << 20 | 3, 600 << 10) == bytes);
    }
}

#[test]
fn more_requests_than_the_ring_holds() {
    let image = Image::new("many", 4 << 20);
    let content: Vec<u8> = (0..4 << 20).map(|i: usize| (i / 4096) as u8).collect();
    fs::write(&image.0, content).unwrap();
    let mut rig = open(&image, true, false);
    for i in 0..511 {
        let buffer = rig.buffer(i * 4096, 4096);
        rig.submit(Opcode::BlockRead, i, buffer, i % 1024 * 4096);
    }
    let mut ended = rig.completions(511);
    ended.sort_unstable_by_key(|(user_data, _)| *user_data);
    assert!(ended.iter().zip(0..).all(|(ended, i)| *ended == (i, Ok(4096))));
    assert!((0..511).all(|i| rig.bytes(i * 4096, 4096) == [i as u8; 4096]));
    assert!(rig.wanted().is_empty());
}

#[test]
fn a_flush_waits_for_the_writes_before_it() {
    let image = Image::new("flush", 4 << 20);
    let mut rig = open(&image, false, false);
    for i in 0..32 {
        let buffer = rig.buffer(0, 64 << 10);
        rig.submit(Opcode::BlockWrite, i, buffer, i * (64 << 10));
    }
    rig.submit(Opcode::BlockFlush, 100, GuestBuffer::default(), 0);
    rig.submit(Opcode::BlockWrite, 200, rig.buffer(0, 4096), 0);
    assert_eq!(rig.device.waiting, 0, "the worker has no flush yet");
    let ended = rig.completions(34);
    let place = |wanted| ended.iter().position(|(user_data, _)| *user_data == wanted).unwrap();
    assert!((0..32).all(|i| place(i) < place(100)));
    assert!(ended.iter().all(|(_, result)| result.is_ok()));
    rig.submit(Opcode::BlockFlush, 300, GuestBuffer::default(), 0);
    assert_eq!(rig.completions(1), [(300, Ok(0))]);
}

#[test]
fn a_flush_that_waits_fails_after_one_that_failed() {
    let image = Image::new("failed-flush", 64 << 10);
    let mut rig = open(&image, false, false);
    rig.submit(Opcode::BlockWrite, 1, rig.buffer(0, 4096), 0);
    rig.submit(Opcode::BlockFlush, 2, GuestBuffer::default(), 0);
    rig.device.flush_failed = true;
    assert_eq!(rig.completions(2), [(1, Ok(4096)), (2, Err(Status::Io))]);
}

#[test]
fn a_file_that_shrinks_is_an_error_of_reads_and_writes() {
    for fallback in [false, true] {
        let image = Image::new(&format!("direct-shrinks-{fallback}"), 64 << 10);
        let mut rig = open(&image, false, fallback);
        File::options().write(true).open(&image.0).unwrap().set_len(4096).unwrap();
        for opcode in [Opcode::BlockRead, Opcode::BlockWrite] {
            for (user_data, offset) in [(1, 0), (2, 8192)] {
                rig.submit(opcode, user_data, rig.buffer(0, 8192), offset);
                assert_eq!(rig.completions(1), [(user_data, Err(Status::Io))]);
            }
        }
        assert_eq!(std::fs::metadata(&image.0).unwrap().len(), 4096);
    }
}

#[test]
fn the_end_waits_for_what_writes_to_memory() {
    let image = Image::new("end", 32 << 20);
    let mut rig = open(&image, true, false);
    for i in 0..32 {
        rig.submit(Opcode::BlockRead, i, rig.buffer(i << 20, 1 << 20), i << 20);
    }
    rig.advance();
    let memory = Arc::downgrade(&rig.memory);
    let start = Instant::now();
    drop(rig);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(memory.upgrade().is_none(), "the memory is kept only for a disk that hangs");
}

#[test]
fn a_descriptor_must_be_direct_as_well() {
    let image = Image::new("direct-fd", 64 << 10);
    let open = |flags, direct| {
        let file = File::options().read(true).custom_flags(flags).open(&image.0).unwrap();
        let source = DiskSource::Fd(file.as_raw_fd());
        let config = DiskConfig { name: None, source, read_only: true, direct, block_size: None };
        Block::open(config, &Arc::new(Worker::start().unwrap())).map(|block| block.way())
    };
    assert_eq!(open(libc::O_DIRECT, true).unwrap(), ", direct through io_uring");
    let message = open(0, true).unwrap_err().to_string();
    assert!(message.contains("open without O_DIRECT: remove `,direct`"), "{message}");
    let message = open(libc::O_DIRECT, false).unwrap_err().to_string();
    assert!(message.contains("open with O_DIRECT: add `,direct`"), "{message}");
}
