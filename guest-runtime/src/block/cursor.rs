//! A disk as a stream of bytes.

use super::{Disk, Error};
use alloc::vec;
use alloc::vec::Vec;
use embedded_io_async::{ErrorType, Read, Seek, SeekFrom, Write};

/// A disk with a position: an `embedded_io_async` reader, writer and seeker to the byte.
///
/// Whole blocks go straight between the disk and the caller's memory. A part of a block is read, and on a write written
/// back, as a whole, each time anew: nothing is cached, so a cursor always sees what others wrote. Many
/// small accesses want a buffer above it. Two cursors that write parts of one block at once undo each other's writes.
#[derive(Debug)]
pub struct Cursor {
    disk: Disk,
    position: u64,
    /// Room for one block, made at the first part of one.
    block: Vec<u8>,
}

impl Cursor {
    pub(super) const fn new(disk: Disk) -> Self {
        Self { disk, position: 0, block: Vec::new() }
    }

    /// The disk.
    pub const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The start of the block at the position, how far into it that is, and how many of `wanted` bytes can go on from
    /// there in one step: to the end of the block, or whole blocks.
    fn step(&self, wanted: usize) -> Step {
        let size = self.disk.block_size();
        let into = (self.position % size as u64) as usize;
        let left = usize::try_from(self.disk.len() - self.position).unwrap_or(usize::MAX);
        let wanted = wanted.min(left);
        let whole = into == 0 && wanted >= size;
        let count = if whole { wanted - wanted % size } else { wanted.min(size - into) };
        Step { start: self.position - into as u64, into, count, whole }
    }

    /// Reads the block at `start` into the room for one.
    async fn load(&mut self, start: u64) -> Result<(), Error> {
        if self.block.is_empty() {
            self.block = vec![0; self.disk.block_size()];
        }
        self.disk.read(start, &mut self.block).await
    }
}

struct Step {
    start: u64,
    into: usize,
    count: usize,
    whole: bool,
}

impl ErrorType for Cursor {
    type Error = Error;
}

impl Read for Cursor {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let Step { start, into, count, whole } = self.step(buffer.len());
        if count == 0 {
            return Ok(0);
        }
        if whole {
            self.disk.read(start, &mut buffer[..count]).await?;
        } else {
            self.load(start).await?;
            buffer[..count].copy_from_slice(&self.block[into..into + count]);
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Cursor {
    /// At the end of the disk this is [`Error::OutOfRange`].
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let Step { start, into, count, whole } = self.step(bytes.len());
        if count == 0 {
            return if bytes.is_empty() { Ok(0) } else { Err(Error::OutOfRange) };
        }
        if whole {
            self.disk.write(start, &bytes[..count]).await?;
        } else {
            self.load(start).await?;
            self.block[into..into + count].copy_from_slice(&bytes[..count]);
            self.disk.write(start, &self.block).await?;
        }
        self.position += count as u64;
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.disk.flush().await
    }
}

impl Seek for Cursor {
    /// A position before the start or past the end of the disk is [`Error::OutOfRange`].
    async fn seek(&mut self, to: SeekFrom) -> Result<u64, Error> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.disk.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        match position {
            Some(position) if position <= self.disk.len() => {
                self.position = position;
                Ok(position)
            }
            _ => Err(Error::OutOfRange),
        }
    }
}
