//! Bytes of a disk that moves only whole blocks.

use crate::device::{ReadFailed, WriteFailed};
use alloc::vec;

/// A disk that moves whole blocks only. [`read_bytes`] makes a [`Device`](crate::Device) of it.
pub trait Blocks {
    /// The unit in bytes of offsets and lengths. The size of the disk is a multiple of it.
    fn block_size(&self) -> usize;

    /// Fills `buffer` from byte `offset`; both ends are multiples of the [block size](Self::block_size).
    ///
    /// # Errors
    ///
    /// As [`Device::read_at`](crate::Device::read_at).
    fn read_blocks(&self, offset: u64, buffer: &mut [u8]) -> impl Future<Output = Result<(), ReadFailed>>;
}

/// A disk whose blocks can be written. [`write_bytes`] makes a [`WritableDevice`](crate::WritableDevice) of it.
pub trait WritableBlocks: Blocks {
    /// Writes `bytes` at byte `offset`; both ends are multiples of the [block size](Blocks::block_size).
    ///
    /// # Errors
    ///
    /// As [`WritableDevice::write_at`](crate::WritableDevice::write_at).
    fn write_blocks(&self, offset: u64, bytes: &[u8]) -> impl Future<Output = Result<(), WriteFailed>>;
}

/// The most bytes that are read into memory of their own and copied, so that one request is enough where an end is inside a block.
const COPIED: usize = 64 << 10;

/// Fills `buffer` from byte `offset`, whatever their alignment: [`Device::read_at`](crate::Device::read_at) for a disk of blocks.
///
/// # Errors
///
/// As [`Device::read_at`](crate::Device::read_at).
pub async fn read_bytes<B: Blocks>(disk: &B, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
    let size = disk.block_size();
    let skipped = (offset % size as u64) as usize;
    let span = (skipped + buffer.len()).next_multiple_of(size);
    if span == buffer.len() {
        return disk.read_blocks(offset, buffer).await;
    }
    let start = offset - skipped as u64;
    if span <= COPIED.max(size) {
        let mut blocks = vec![0; span];
        disk.read_blocks(start, &mut blocks).await?;
        buffer.copy_from_slice(&blocks[skipped..skipped + buffer.len()]);
        return Ok(());
    }
    // The blocks at the ends are copied, what is between them is not.
    let mut block = vec![0; size];
    let head = (size - skipped) % size;
    let (first, rest) = buffer.split_at_mut(head);
    if !first.is_empty() {
        disk.read_blocks(start, &mut block).await?;
        first.copy_from_slice(&block[skipped..]);
    }
    let whole = rest.len() - rest.len() % size;
    let (middle, last) = rest.split_at_mut(whole);
    let start = offset + head as u64;
    disk.read_blocks(start, middle).await?;
    if !last.is_empty() {
        disk.read_blocks(start + whole as u64, &mut block).await?;
        last.copy_from_slice(&block[..last.len()]);
    }
    Ok(())
}

/// Writes `bytes` at byte `offset`, whatever their alignment: [`WritableDevice::write_at`](crate::WritableDevice::write_at) for a disk
/// of blocks. The rest of a block at an end is read and written back: nobody else may write it meanwhile.
///
/// # Errors
///
/// As [`WritableDevice::write_at`](crate::WritableDevice::write_at).
pub async fn write_bytes<B: WritableBlocks>(disk: &B, offset: u64, bytes: &[u8]) -> Result<(), WriteFailed> {
    let size = disk.block_size();
    let skipped = (offset % size as u64) as usize;
    let span = (skipped + bytes.len()).next_multiple_of(size);
    if span == bytes.len() {
        return disk.write_blocks(offset, bytes).await;
    }
    let start = offset - skipped as u64;
    let mut blocks = vec![0; span];
    let last = span - size;
    disk.read_blocks(start, &mut blocks[..size]).await.map_err(|_| WriteFailed::Io)?;
    if last > 0 {
        disk.read_blocks(start + last as u64, &mut blocks[last..]).await.map_err(|_| WriteFailed::Io)?;
    }
    blocks[skipped..skipped + bytes.len()].copy_from_slice(bytes);
    disk.write_blocks(start, &blocks).await
}
