//! What a disk must give.

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

/// A read that the disk refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadFailed;

impl fmt::Display for ReadFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk cannot be read")
    }
}

impl core::error::Error for ReadFailed {}
