//! Block devices.
//!
//! [`Disk`] is the full interface: offsets and lengths in bytes, multiples of [`block_size`](Disk::block_size), up to 2^63. For
//! code that is written against the ecosystem's traits, a disk is a `block_device_driver::BlockDevice`, and a [`Cursor`] on it an
//! `embedded_io_async` reader, writer and seeker to the byte.
//!
//! A disk that the monitor has mapped into the guest's address space (a read-only one, mostly) is read there, without a request.
//!
//! Requests of several tasks go on side by side; one task's, too, if it joins their futures. Dropping a future of
//! this module while its request is under way waits for it and stalls the guest that long: see [`ring`](crate::ring). So does
//! [`read_blocking`](Disk::read_blocking), by intent.

mod cursor;
mod driver;
mod mapping;

pub use crate::device::OpenError;
pub use cursor::Cursor;

use crate::device;
use crate::ring::Operation;
use alloc::sync::Arc;
use core::fmt;
#[cfg(feature = "storage")]
pub(crate) use mapping::LARGE;
use mapping::Mapping;
use ukvm_abi::boot_info::{DEVICE_READ_ONLY, DeviceInfo};
use ukvm_abi::manifest::DeviceKind;
use ukvm_abi::request::{Opcode, Status};

/// A block device. Clones are the same device.
#[derive(Clone, Debug)]
pub struct Disk {
    handle: u32,
    info: DeviceInfo,
    mapping: Option<Arc<Mapping>>,
}

/// Why a request to a disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// An offset or length is no multiple of the block size.
    Unaligned,
    /// The range is not inside the disk.
    OutOfRange,
    /// The disk is read-only.
    ReadOnly,
    /// The host has no space left.
    NoSpace,
    /// The host cannot do this on this disk.
    NotSupported,
    /// The host failed.
    Io,
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        match status {
            Status::Invalid => Self::Unaligned,
            Status::OutOfRange => Self::OutOfRange,
            Status::ReadOnly => Self::ReadOnly,
            Status::NoSpace => Self::NoSpace,
            Status::NotSupported | Status::UnknownOpcode => Self::NotSupported,
            _ => Self::Io,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unaligned => "the offset or length is no multiple of the disk's block size",
            Self::OutOfRange => "the range is not inside the disk",
            Self::ReadOnly => "the disk is read-only",
            Self::NoSpace => "the host has no space left for the disk",
            Self::NotSupported => "the host cannot do this on this disk",
            Self::Io => "the host failed to carry out the disk request",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        use embedded_io_async::ErrorKind;
        match self {
            Self::Unaligned | Self::OutOfRange => ErrorKind::InvalidInput,
            Self::ReadOnly => ErrorKind::PermissionDenied,
            Self::NoSpace => ErrorKind::OutOfMemory,
            Self::NotSupported => ErrorKind::Unsupported,
            Self::Io => ErrorKind::Other,
        }
    }
}

impl Disk {
    /// Opens the disk that the program declared as `block NAME;`. It may be opened more than once.
    ///
    /// # Errors
    ///
    /// An [`OpenError`] where it is not there.
    pub fn open(name: &str) -> Result<Self, OpenError> {
        let (handle, info) = device::find(DeviceKind::Block, name)?;
        Ok(Self { handle, info, mapping: Mapping::of(&info).map(Arc::new) })
    }

    /// Its size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a disk of no bytes is no special case")]
    pub fn len(&self) -> u64 {
        self.info.capacity
    }

    /// The unit in bytes of offsets and lengths: a power of two, at least 512.
    pub fn block_size(&self) -> usize {
        self.info.block_size as usize
    }

    /// The most bytes that one request moves; longer reads and writes are made of several.
    pub fn max_transfer(&self) -> usize {
        self.info.max_transfer as usize
    }

    /// Whether it can only be read.
    pub fn is_read_only(&self) -> bool {
        self.info.flags & DEVICE_READ_ONLY != 0
    }

    /// Reads `buffer.len()` bytes at `offset`.
    ///
    /// # Errors
    ///
    /// An [`Error`]; what `buffer` then holds is not defined.
    pub async fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        if !self.read_mapped(self.checked(offset, buffer.len() as u64)?, buffer).await {
            self.read_by_requests(offset, buffer).await?;
        }
        Ok(())
    }

    /// Reads whole blocks by requests, whatever is mapped.
    pub(crate) async fn read_by_requests(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let mut at = self.checked(offset, buffer.len() as u64)?;
        for piece in buffer.chunks_mut(self.max_transfer()) {
            let length = piece.len() as u64;
            Operation::fill(Opcode::BlockRead, self.handle, piece, at).await?;
            at += length;
        }
        Ok(())
    }

    /// As [`read`](Self::read), for code that cannot be asynchronous: the whole guest waits for the disk, its network included, until
    /// the bytes are there. What else completes meanwhile is kept for those who wait for it.
    ///
    /// # Errors
    ///
    /// An [`Error`]; what `buffer` then holds is not defined.
    pub fn read_blocking(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let mut at = self.checked(offset, buffer.len() as u64)?;
        for piece in buffer.chunks_mut(self.max_transfer()) {
            let length = piece.len() as u64;
            Operation::fill(Opcode::BlockRead, self.handle, piece, at).wait()?;
            at += length;
        }
        Ok(())
    }

    /// Writes `bytes` at `offset`. They are durable only after a [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// An [`Error`]; what the range then holds is not defined.
    pub async fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut at = self.checked(offset, bytes.len() as u64)?;
        for piece in bytes.chunks(self.max_transfer()) {
            Operation::give(Opcode::BlockWrite, self.handle, piece, at).await?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Makes every write that has ended durable.
    ///
    /// # Errors
    ///
    /// An [`Error`]; which writes are durable is then not known.
    pub async fn flush(&self) -> Result<(), Error> {
        Operation::plain(Opcode::BlockFlush, self.handle, 0, 0).await?;
        Ok(())
    }

    /// Says that the bytes of the range are no longer needed. What it then reads as is not defined.
    ///
    /// # Errors
    ///
    /// An [`Error`].
    pub async fn discard(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.range(Opcode::BlockDiscard, offset, length).await
    }

    /// Makes the range read as zeroes, where the host can without writing them.
    ///
    /// # Errors
    ///
    /// An [`Error`].
    pub async fn write_zeroes(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.range(Opcode::BlockWriteZeroes, offset, length).await
    }

    /// The disk as a reader, writer and seeker to the byte, at its start.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.clone())
    }

    /// Reads from the mapping, if there is one and it is the better way. Every alignment will do. A large read counts: it is to be
    /// asked for once.
    pub(crate) async fn read_mapped(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let inside = offset.checked_add(buffer.len() as u64).is_some_and(|end| end <= self.len());
        match &self.mapping {
            Some(mapping) if inside && mapping.serves(offset, buffer.len()) => {
                mapping.read(offset, buffer).await;
                true
            }
            _ => false,
        }
    }

    async fn range(&self, opcode: Opcode, offset: u64, length: u64) -> Result<(), Error> {
        if length > 0 {
            let offset = self.checked(offset, length)?;
            Operation::plain(opcode, self.handle, length, offset).await?;
        }
        Ok(())
    }

    /// The offset, if the range is legal: a long transfer must not fail in its middle.
    fn checked(&self, offset: u64, length: u64) -> Result<u64, Error> {
        let unit = u64::from(self.info.block_size);
        if !offset.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(Error::Unaligned);
        }
        match offset.checked_add(length) {
            Some(end) if end <= self.len() => Ok(offset),
            _ => Err(Error::OutOfRange),
        }
    }
}
