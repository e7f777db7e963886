//! What a block device needs of whatever holds its bytes.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use vm_memory::VolatileSlice;

/// Whatever holds a block device's bytes: a file, or something of a caller's own.
///
/// Offsets and lengths are bytes, multiples of [`block_size`](Self::block_size) and inside
/// [`capacity`](Self::capacity). The guest may change the memory while it is read, and read it while it is written.
///
/// [`read_now`](Self::read_now) and [`before_direct_write`](Self::before_direct_write) are called on the vCPU's thread and must not wait; the
/// others are called on the
/// [`Worker`](super::Worker), one at a time for all disks of a VM, and may take as long as they need.
pub trait BlockBackend: fmt::Debug + Send + Sync {
    /// Its size in bytes: a multiple of the block size, at least one block, below 2^63. Stays as it is.
    fn capacity(&self) -> u64;

    /// The unit of offsets and lengths in bytes: a power of two, at least 512. Stays as it is.
    fn block_size(&self) -> u32;

    /// Whether it can only be read; if so, what changes it is never called.
    fn is_read_only(&self) -> bool;

    /// The file that holds the bytes, in their order, where a guest may have it in its memory: it can only be read, and an access
    /// to it waits for nothing but a disk of this host.
    fn mappable(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The file, where reads and writes that bypass the page cache may go to it many at a time, from and to memory at multiples of so
    /// many bytes. Others go through [`read`](Self::read) and [`write`](Self::write).
    fn direct(&self) -> Option<(BorrowedFd<'_>, usize)> {
        None
    }

    /// Checks, before a write goes to the [direct](Self::direct) file, that it may; on the vCPU's thread.
    ///
    /// # Errors
    ///
    /// Why [`write`](Self::write) would fail.
    fn before_direct_write(&self) -> io::Result<()> {
        Ok(())
    }

    /// Reads as many of the first bytes as are there without waiting; [`read`](Self::read) then gets the rest.
    ///
    /// # Errors
    ///
    /// What the host says; the request fails with it.
    fn read_now(&self, into: &VolatileSlice<'_>, offset: u64) -> io::Result<usize> {
        let _ = (into, offset);
        Ok(0)
    }

    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// What the host says; `UnexpectedEof` where the bytes are not there any more.
    fn read(&self, into: &VolatileSlice<'_>, offset: u64) -> io::Result<()>;

    /// Writes all of it. It need not be durable before [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// What the host says.
    fn write(&self, from: &VolatileSlice<'_>, offset: u64) -> io::Result<()>;

    /// Makes everything durable that was written before.
    ///
    /// # Errors
    ///
    /// What the host says. The device is not asked again then: what the host could not write, it may have forgotten.
    fn flush(&self) -> io::Result<()>;

    /// Tells that the bytes are not needed any more. What they then read as is open.
    ///
    /// # Errors
    ///
    /// What the host says; `Unsupported` where it cannot do this.
    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        let _ = (offset, length);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes the bytes read as zeroes.
    ///
    /// # Errors
    ///
    /// What the host says; `Unsupported` where it cannot do this.
    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()>;
}
