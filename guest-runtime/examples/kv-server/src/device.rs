//! What a store needs of a disk.

use core::fmt;

/// A disk. Offsets and lengths are in bytes and multiples of its block size.
pub trait Device: fmt::Debug + Send + Sync + 'static {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Reads `buffer.len()` bytes at `offset`, and returns when they are there: nothing else runs meanwhile.
    ///
    /// # Errors
    ///
    /// Why it failed; what `buffer` then holds is not defined.
    fn read_blocking(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError>;

    /// Writes `bytes` at `offset`. They are durable only after a [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// Why it failed; what the range then holds is not defined.
    fn write(&self, offset: u64, bytes: &[u8]) -> impl Future<Output = Result<(), DeviceError>>;

    /// Makes every write that has ended durable.
    ///
    /// # Errors
    ///
    /// Why it failed; which writes are durable is then not known.
    fn flush(&self) -> impl Future<Output = Result<(), DeviceError>>;
}

/// Why a disk did not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// The host has no space left for it.
    NoSpace,
    /// The host failed.
    Failed,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "the host has no space left for the disk",
            Self::Failed => "the host failed to carry out the disk request",
        })
    }
}

impl core::error::Error for DeviceError {}
