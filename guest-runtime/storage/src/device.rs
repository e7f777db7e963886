//! What a disk must give.

use alloc::rc::Rc;
use core::fmt;

/// A disk as a range of bytes.
pub trait Device {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from byte `offset`. Neither needs to be aligned; all bytes are inside the disk.
    ///
    /// # Errors
    ///
    /// Where the disk, or the host below it, cannot read these bytes. What `buffer` then holds is not defined.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> impl Future<Output = Result<(), ReadFailed>>;
}

impl<D: Device + ?Sized> Device for &D {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> impl Future<Output = Result<(), ReadFailed>> {
        (**self).read_at(offset, buffer)
    }
}

/// A disk that can be written, unless it [says](Self::is_writable) otherwise.
pub trait WritableDevice: Device {
    /// Whether it can be written.
    fn is_writable(&self) -> bool;

    /// Writes `bytes` at byte `offset`, which need not be aligned; all of it is inside the disk. It is durable only after a
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// Where the disk, or the host below it, cannot write these bytes. What is there then is not defined.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> impl Future<Output = Result<(), WriteFailed>>;

    /// Makes every write that has ended durable.
    ///
    /// # Errors
    ///
    /// Where the host cannot do that. Which writes are durable is then not known.
    fn flush(&self) -> impl Future<Output = Result<(), WriteFailed>>;
}

/// A disk that is only read.
#[derive(Debug, Clone, Copy)]
pub struct ReadOnly<D>(pub D);

impl<D: Device> Device for ReadOnly<D> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> impl Future<Output = Result<(), ReadFailed>> {
        self.0.read_at(offset, buffer)
    }
}

impl<D: Device> WritableDevice for ReadOnly<D> {
    fn is_writable(&self) -> bool {
        false
    }

    async fn write_at(&self, _: u64, _: &[u8]) -> Result<(), WriteFailed> {
        Err(WriteFailed::ReadOnly)
    }

    async fn flush(&self) -> Result<(), WriteFailed> {
        Ok(())
    }
}

impl<D: Device + ?Sized> Device for Rc<D> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> impl Future<Output = Result<(), ReadFailed>> {
        (**self).read_at(offset, buffer)
    }
}

impl<D: WritableDevice + ?Sized> WritableDevice for Rc<D> {
    fn is_writable(&self) -> bool {
        (**self).is_writable()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> impl Future<Output = Result<(), WriteFailed>> {
        (**self).write_at(offset, bytes)
    }

    fn flush(&self) -> impl Future<Output = Result<(), WriteFailed>> {
        (**self).flush()
    }
}

/// A read that the disk refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadFailed;

impl fmt::Display for ReadFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk cannot be read")
    }
}

impl core::error::Error for ReadFailed {}

/// A write or a flush that the disk refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFailed {
    /// The disk is read-only.
    ReadOnly,
    /// The host has no space left for it.
    NoSpace,
    /// The disk, or the host below it, failed.
    Io,
}

impl fmt::Display for WriteFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "the disk is read-only",
            Self::NoSpace => "the host has no space left for the disk",
            Self::Io => "the disk cannot be written",
        })
    }
}

impl core::error::Error for WriteFailed {}
