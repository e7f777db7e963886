//! Guest memory: one anonymous region of the host, reached only through checked, volatile copies.
//!
//! The guest may write to it at any time, so no reference to it is ever made.

use crate::syscall::read_all;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use ukvm_abi::ring::SharedWords;
use vm_memory::{Bytes, VolatileMemory, VolatileSlice};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Bytes of a large page.
pub const LARGE_PAGE: u64 = 2 << 20;
/// What a Linux process has on x86-64 ends below this address (Linux, `Documentation/arch/x86/x86_64/mm.rst`).
pub(crate) const PROCESS_END: u64 = 1 << 47;

/// Memory that the guest sees, from guest-physical address 0 on.
#[derive(Debug)]
pub struct Memory {
    /// Page-aligned; where guest-physical address 0 is, a multiple of [`LARGE_PAGE`].
    base: *mut u8,
    size: usize,
    file_pages: Vec<FilePages>,
    /// What it lies in; none where it is the whole process.
    _mapping: Option<Arc<Mapping>>,
}

/// Pages that are a file's, as far as nobody has written to them.
#[derive(Debug)]
struct FilePages {
    /// Guest-physical addresses.
    range: Range<u64>,
    file: File,
    /// Where in the file they begin.
    offset: u64,
}

/// What was mapped, the slack for alignment included.
#[derive(Debug)]
struct Mapping {
    start: *mut u8,
    length: usize,
}

// SAFETY: the mapping is only unmapped, once, when nobody has memory in it any more.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared mapping lets nobody do anything with it.
unsafe impl Sync for Mapping {}

// SAFETY: the mapping belongs to this value until it is dropped, and is only accessed by volatile or atomic operations and
// system calls, whichever thread does it; races with the guest are there in any case.
unsafe impl Send for Memory {}
// SAFETY: as above; no method hands out a reference into the mapping.
unsafe impl Sync for Memory {}

/// A range of guest memory that lies inside it and that the guest has the rights to that its request needs.
///
/// Only dispatch makes one, from a guest's address that it has checked against the layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestBuffer {
    gpa: u64,
    length: u64,
}

impl GuestBuffer {
    /// Bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length as usize
    }

    /// Whether it has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The part from `from` on; empty where there is none.
    #[must_use]
    pub fn skip(&self, from: usize) -> Self {
        let from = (from as u64).min(self.length);
        Self { gpa: self.gpa + from, length: self.length - from }
    }

    /// The part before `length`.
    #[must_use]
    pub fn truncate(&self, length: usize) -> Self {
        Self { gpa: self.gpa, length: self.length.min(length as u64) }
    }
}

impl Memory {
    /// Maps `size` bytes of zeroed memory, none of which is backed by the host before it is touched. `size` is a multiple of
    /// [`PAGE`].
    ///
    /// # Errors
    ///
    /// What `mmap` says.
    pub fn new(size: u64) -> io::Result<Self> {
        Self::with_tail(size, 0).map(|(memory, _)| memory)
    }

    /// The same, and `tail` bytes of it directly behind: memory that the first knows nothing of.
    ///
    /// # Errors
    ///
    /// What `mmap` says.
    pub fn with_tail(size: u64, tail: u64) -> io::Result<(Self, Self)> {
        let no_memory = || io::Error::from_raw_os_error(libc::ENOMEM);
        let usable = |bytes: u64| usize::try_from(bytes).map_err(|_| no_memory());
        let (size, tail) = (usable(size)?, usable(tail)?);
        let length = size.checked_add(tail).and_then(|all| all.checked_add(LARGE_PAGE as usize));
        let length = length.ok_or_else(no_memory)?;
        // SAFETY: a new private anonymous mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = start.cast::<u8>();
        let mapping = Arc::new(Mapping { start, length });
        // Large pages need host and guest address alike modulo 2 MiB.
        let base = start.wrapping_add(start.align_offset(LARGE_PAGE as usize));
        let part =
            |base, size| Self { base, size, file_pages: Vec::new(), _mapping: Some(Arc::clone(&mapping)) };
        Ok((part(base, size), part(base.wrapping_add(size), tail)))
    }

    /// All of this process's memory, at its own addresses, for a program that runs in this very process and says itself where its
    /// buffers are: nothing of it may be touched but what such a program names.
    pub(crate) fn of_this_process() -> Self {
        let base = std::ptr::with_exposed_provenance_mut(0);
        Self { base, size: PROCESS_END as usize, file_pages: Vec::new(), _mapping: None }
    }

    /// Has the host back `range`, guest-physical addresses in whole pages, in one go, which costs a third less than touches one by
    /// one. A kernel that cannot (before Linux 5.14) leaves it to the touches.
    pub fn populate(&self, range: &Range<u64>) {
        self.advise(range, libc::MADV_POPULATE_WRITE);
    }

    /// Has the host back `range`, whole pages of guest-physical addresses, by large pages where it is touched and has some. A kernel
    /// without them backs it by small ones.
    pub fn prefer_large_pages(&self, range: &Range<u64>) {
        self.advise(range, libc::MADV_HUGEPAGE);
    }

    /// Tells the kernel how to back `range`, which it may ignore. `advice` leaves what can be read there as it is.
    fn advise(&self, range: &Range<u64>, advice: libc::c_int) {
        if !range.is_empty()
            && let Ok(slice) = self.at(range.clone())
        {
            let start = slice.ptr_guard_mut().as_ptr();
            // SAFETY: the range lies in the mapping; the callers' advice changes nothing that can be read there.
            unsafe { libc::madvise(start.cast(), slice.len(), advice) };
        }
    }

    /// Has `range`, guest-physical addresses in whole pages, come from `file`, from `offset` on, page by page when it is first touched.
    /// The file stays as it is, whoever writes there.
    ///
    /// Where the file was cut down since, or cannot be read, a touch raises SIGBUS in this process. So only the guest does it, for which
    /// it is an exit, and the kernel; [`buffer`](Self::buffer) reads in what the monitor touches.
    ///
    /// # Errors
    ///
    /// What `mmap` says; `InvalidInput` where the range is not all inside, or something is not in whole pages.
    pub fn map_file(&mut self, range: Range<u64>, file: &File, offset: u64) -> io::Result<()> {
        let file = file.try_clone()?;
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let slice = self.at(range.clone())?;
        let start = slice.ptr_guard_mut().as_ptr();
        let whole = |number: u64| number.is_multiple_of(PAGE);
        if range.is_empty() || !whole(range.start) || !whole(range.end) || !whole(offset) {
            return Err(invalid());
        }
        // SAFETY: the pages lie in this mapping, to which no reference exists; what replaces them can be read and written as before.
        let mapped = unsafe {
            libc::mmap(
                start.cast(),
                slice.len(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                libc::off_t::try_from(offset).map_err(|_| invalid())?,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        self.file_pages.push(FilePages { range, file, offset });
        Ok(())
    }

    /// Whether the page at `gpa` is a file's, see [`map_file`](Self::map_file).
    #[must_use]
    pub fn is_file_page(&self, gpa: u64) -> bool {
        self.file_pages.iter().any(|pages| pages.range.contains(&gpa))
    }

    /// Whether any page is.
    #[must_use]
    pub const fn has_file_pages(&self) -> bool {
        !self.file_pages.is_empty()
    }

    /// Reads in all pages of `range` that are a file's, so that they are memory like any other. `false` where the file does not have
    /// them any more.
    fn read_in(&self, range: &Range<u64>) -> bool {
        self.file_pages.iter().all(|pages| {
            let start = range.start.max(pages.range.start) / PAGE * PAGE;
            let end = range.end.min(pages.range.end).next_multiple_of(PAGE);
            start >= end
                || self.read_file(start..end, &pages.file, pages.offset + (start - pages.range.start)).is_ok()
        })
    }

    /// Reads from `file`, from `offset` on, to all of `range`, guest-physical addresses.
    ///
    /// # Errors
    ///
    /// What the host says, `InvalidInput` where the range is not all inside, `UnexpectedEof` where the file ends before.
    pub fn read_file(&self, range: Range<u64>, file: &File, offset: u64) -> io::Result<()> {
        read_all(file.as_raw_fd(), &self.at(range)?, offset)
    }

    /// Bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size as u64
    }

    /// The host's address of guest-physical address 0, for KVM's memory slots.
    #[must_use]
    pub fn host_address(&self) -> u64 {
        self.base as u64
    }

    /// The buffer at `gpa`, or `None` unless all of it is inside the memory, and a [file's pages](Self::map_file) in it can be read.
    /// That the guest has the right to it is the caller's to check.
    #[must_use]
    pub fn buffer(&self, gpa: u64, length: u64) -> Option<GuestBuffer> {
        let end = gpa.checked_add(length)?;
        (end <= self.size() && self.read_in(&(gpa..end))).then_some(GuestBuffer { gpa, length })
    }

    /// The buffer as a slice for volatile copies, and for reading from and writing to descriptors.
    #[must_use]
    pub fn slice(&self, buffer: GuestBuffer) -> VolatileSlice<'_> {
        self.get_slice(buffer.gpa as usize, buffer.len()).unwrap_or_else(|_| self.empty())
    }

    /// The buffer as a system call takes it. The kernel may be told to write to it only if the request brings data. It
    /// stays valid as long as this `Memory`.
    #[must_use]
    pub fn iovec(&self, buffer: GuestBuffer) -> libc::iovec {
        let slice = self.slice(buffer);
        libc::iovec { iov_base: slice.ptr_guard_mut().as_ptr().cast(), iov_len: slice.len() }
    }

    /// Copies `from` to guest-physical address `gpa`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it does not fit there.
    pub fn write(&self, gpa: u64, from: &[u8]) -> io::Result<()> {
        let slice = self.at(gpa..gpa.saturating_add(from.len() as u64))?;
        slice.copy_from(from);
        Ok(())
    }

    /// The little-endian 64-bit word at `gpa`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it is not all inside.
    pub fn word(&self, gpa: u64) -> io::Result<u64> {
        let slice = self.at(gpa..gpa.saturating_add(8))?;
        slice.read_obj(0).map(u64::from_le).map_err(io::Error::other)
    }

    /// Writes a little-endian 64-bit word to `gpa`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it is not all inside.
    pub fn set_word(&self, gpa: u64, word: u64) -> io::Result<()> {
        let slice = self.at(gpa..gpa.saturating_add(8))?;
        slice.write_obj(word.to_le(), 0).map_err(io::Error::other)
    }

    /// The memory from `range.start` to `range.end`, guest-physical addresses.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it is not all inside.
    pub fn at(&self, range: Range<u64>) -> io::Result<VolatileSlice<'_>> {
        self.get_slice(range.start as usize, range.end.saturating_sub(range.start) as usize)
            .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
    }

    /// Copies the buffer's bytes into a vector.
    #[must_use]
    pub fn copy(&self, buffer: GuestBuffer) -> Vec<u8> {
        let mut bytes = vec![0; buffer.len()];
        // The two are of one length, so that nothing is left out.
        let _ = self.slice(buffer).read(&mut bytes, 0);
        bytes
    }

    fn empty(&self) -> VolatileSlice<'_> {
        // SAFETY: no byte is accessed through a slice of length 0.
        unsafe { VolatileSlice::new(self.base, 0) }
    }
}

/// A part of guest memory that monitor and guest use together: the rings, the clock page.
#[derive(Clone, Debug)]
pub struct SharedArea {
    memory: Arc<Memory>,
    gpa: usize,
    length: usize,
}

impl SharedArea {
    /// The memory at `range`, guest-physical addresses, of which the first is a multiple of 8.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it is not all inside or not aligned.
    pub fn new(memory: &Arc<Memory>, range: &Range<u64>) -> io::Result<Self> {
        let length = memory.at(range.clone())?.len();
        if !range.start.is_multiple_of(8) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Ok(Self { memory: Arc::clone(memory), gpa: range.start as usize, length })
    }

    /// The address of `size` bytes at `offset`; `None` where they are not inside or not aligned.
    fn pointer(&self, offset: usize, size: usize) -> Option<*mut u8> {
        let inside = offset.checked_add(size)? <= self.length && offset.is_multiple_of(size);
        inside.then(|| self.memory.base.wrapping_add(self.gpa + offset))
    }

    fn atomic_u32(&self, offset: usize) -> Option<&AtomicU32> {
        let pointer = self.pointer(offset, 4)?;
        // SAFETY: `pointer` has checked that the four bytes lie in the mapping, which lives as long as self.memory, and are
        // aligned; nobody refers to them otherwise. What else writes there, the guest and the kernel on behalf of its requests, is
        // not this program.
        Some(unsafe { AtomicU32::from_ptr(pointer.cast()) })
    }

    fn atomic_u64(&self, offset: usize) -> Option<&AtomicU64> {
        let pointer = self.pointer(offset, 8)?;
        // SAFETY: as in `atomic_u32`, for eight bytes.
        Some(unsafe { AtomicU64::from_ptr(pointer.cast()) })
    }
}

impl SharedWords for SharedArea {
    fn load_u32_acquire(&self, offset: usize) -> u32 {
        self.atomic_u32(offset).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn store_u32_release(&self, offset: usize, value: u32) {
        if let Some(word) = self.atomic_u32(offset) {
            word.store(value, Ordering::Release);
        }
    }

    fn load_u64_acquire(&self, offset: usize) -> u64 {
        self.atomic_u64(offset).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn store_u64_release(&self, offset: usize, value: u64) {
        if let Some(word) = self.atomic_u64(offset) {
            word.store(value, Ordering::Release);
        }
    }
}

impl VolatileMemory for Memory {
    type B = ();

    fn len(&self) -> usize {
        self.size
    }

    fn get_slice(
        &self,
        offset: usize,
        count: usize,
    ) -> vm_memory::volatile_memory::Result<VolatileSlice<'_>> {
        let end = self.compute_end_offset(offset, count)?;
        debug_assert!(end <= self.size);
        // SAFETY: offset + count is at most size, so the slice lies in the mapping, which outlives the borrow of self.
        let start = unsafe { self.base.add(offset) };
        // SAFETY: as above; all accesses to the mapping are volatile, atomic or by the kernel.
        Ok(unsafe { VolatileSlice::new(start, count) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: these are the start and length that mmap returned; the last memory that lies in it has gone.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the kernel was told to back `address` by large pages: a flag of its mapping (Linux, `filesystems/proc.rst`).
    fn prefers_large_pages(address: u64) -> bool {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in smaps.lines() {
            if let Some((start, end)) = line.split_once(' ').and_then(|(range, _)| range.split_once('-')) {
                let number = |text| u64::from_str_radix(text, 16).unwrap();
                inside = (number(start)..number(end)).contains(&address);
            }
            if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
                return flags.split_whitespace().any(|flag| flag == "hg");
            }
        }
        panic!("nothing is mapped at {address:#x}");
    }

    #[test]
    fn large_pages_are_asked_for_where_they_are_wanted() {
        if !std::fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
            return;
        }
        let memory = Memory::new(4 * LARGE_PAGE).unwrap();
        memory.prefer_large_pages(&(LARGE_PAGE..3 * LARGE_PAGE));
        for (page, wanted) in [(0, false), (1, true), (2, true), (3, false)] {
            assert_eq!(prefers_large_pages(memory.host_address() + page * LARGE_PAGE), wanted, "{page}");
        }
    }
}
