//! A read-only disk in the guest's address space: a mapping of its file that the guest reads by itself, without a request.
//!
//! The monitor never touches it, as a file that was truncated, or a host's disk that fails, would raise SIGBUS here. In the guest
//! such an access is an exit, and a fault that names the disk.

use crate::memory::{LARGE_PAGE, PAGE};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The most bytes that are mapped for one VM, all its disks together.
///
/// A memory slot costs 160 µs for each GiB (software KVM), which a start pays and six requests that exit cost as well; a table of
/// 4 KiB maps one GiB. What is larger is read by requests.
pub const MOST_MAPPED: u64 = 1 << 30;
/// Guests with more memory than this get no mapping: all guest-physical addresses are to stay below those that need a feature
/// table, which costs more than the rest of the start (see [`cpuid`](crate::vcpu::cpuid)).
pub const MOST_MEMORY: u64 = 1 << 35;

/// A shared, read-only mapping of a file.
#[derive(Debug)]
pub struct Mapping {
    /// ≡ 0 modulo [`LARGE_PAGE`].
    base: *mut libc::c_void,
    size: u64,
    /// What was mapped, the slack for alignment included.
    mapped: (*mut libc::c_void, usize),
}

impl Mapping {
    /// Maps the first `length` bytes of `file`, in whole pages. Nothing is read.
    ///
    /// # Errors
    ///
    /// What `mmap` says.
    pub(super) fn new(file: BorrowedFd<'_>, length: u64) -> io::Result<Self> {
        let size = length.next_multiple_of(PAGE);
        let reserved = size as usize + LARGE_PAGE as usize;
        // SAFETY: a new private anonymous mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                reserved,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Large pages, where the file has some, need host and guest address alike modulo 2 MiB.
        let base = start.wrapping_byte_add(start.cast::<u8>().align_offset(LARGE_PAGE as usize));
        let mapping = Self { base, size, mapped: (start, reserved) };
        // SAFETY: the addresses lie in what was reserved above, which nobody else knows.
        let placed = unsafe {
            libc::mmap(
                base,
                size as usize,
                libc::PROT_READ,
                libc::MAP_SHARED | libc::MAP_FIXED,
                file.as_raw_fd(),
                0,
            )
        };
        if placed == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(mapping)
    }

    /// Bytes: whole pages.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The host's address, for KVM's memory slot.
    #[must_use]
    pub fn host_address(&self) -> u64 {
        self.base as u64
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: start and length are those that `new` has reserved; nobody refers to the mapping.
        unsafe { libc::munmap(self.mapped.0, self.mapped.1) };
    }
}
