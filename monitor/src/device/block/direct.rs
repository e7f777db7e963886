//! What `O_DIRECT` asks of memory and of offsets, and reads and writes that meet it whatever the guest's buffer is.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};
use vm_memory::VolatileSlice;

/// Bytes that go through memory of the monitor's own at a time, where the guest's is not aligned.
const BOUNCE: usize = 256 << 10;
/// More than any file system or disk asks for.
const MOST: usize = 4096;

/// Alignments in bytes, powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alignment {
    /// Of addresses in memory.
    pub(super) memory: usize,
    /// Of offsets and lengths.
    pub(super) offset: u32,
}

impl Alignment {
    /// What direct reads and writes of `file` need, `None` where there are none: what `statx(2)` says (Linux 6.1, `STATX_DIOALIGN`),
    /// else what works.
    pub(super) fn of(file: &File) -> Option<Self> {
        let mut status = std::mem::MaybeUninit::<libc::statx>::zeroed();
        // Not the C library's function: std refers to that weakly, which leaves it out of a static program.
        // SAFETY: the path is an empty C string, and the call writes a `statx` to `status`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_statx,
                file.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH,
                libc::STATX_DIOALIGN,
                status.as_mut_ptr(),
            )
        };
        // SAFETY: a `statx` of zeroes is a valid value of it, and the call has at most filled it in.
        let status = unsafe { status.assume_init() };
        if result == 0 && status.stx_mask & libc::STATX_DIOALIGN != 0 {
            let (memory, offset) = (status.stx_dio_mem_align as usize, status.stx_dio_offset_align);
            return (memory > 0 && offset > 0).then_some(Self { memory, offset });
        }
        let mut memory = Aligned::new(MOST, MOST);
        [512, MOST].into_iter().find_map(|size| {
            let start = memory.slice(size)?.ptr_guard_mut().as_ptr();
            // SAFETY: that many bytes of the slice, which is alive, are there to be written to.
            let count = unsafe { libc::pread(file.as_raw_fd(), start.cast(), size, 0) };
            (count >= 0).then_some(Self { memory: size, offset: size as u32 })
        })
    }

    /// Has `write` write `length` zeroes in pieces; it is given a piece and how many bytes come before it.
    pub(super) fn write_zeroes(
        self,
        length: u64,
        mut write: impl FnMut(&VolatileSlice<'_>, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut memory = Aligned::new(BOUNCE, self.memory);
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(BOUNCE as u64);
            write(&memory.slice(piece as usize).ok_or(io::ErrorKind::InvalidInput)?, done)?;
            done += piece;
        }
        Ok(())
    }
}

/// Reads and writes that meet an alignment, whatever memory they are for.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) alignment: Alignment,
    /// What goes through memory of the monitor's own goes through this. It is kept: new memory for each request would be dozens of
    /// page faults, and giving it back would interrupt the processor that runs the guest. Only the worker's thread locks it.
    bounce: Mutex<Aligned>,
}

impl Direct {
    /// Of a file with this alignment. None of its memory is touched before it is used.
    pub(super) fn new(alignment: Alignment) -> Self {
        Self { alignment, bounce: Mutex::new(Aligned::new(BOUNCE, alignment.memory)) }
    }

    /// Whether the memory is aligned.
    fn fits(&self, memory: &VolatileSlice<'_>) -> bool {
        (memory.ptr_guard().as_ptr() as usize).is_multiple_of(self.alignment.memory)
    }

    /// Has `read` read to all of `into` in pieces that begin where they may. `read` is given a piece and how many bytes
    /// come before it.
    pub(super) fn read(
        &self,
        into: &VolatileSlice<'_>,
        mut read: impl FnMut(&VolatileSlice<'_>, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.fits(into) {
            return read(into, 0);
        }
        self.pieces(into, |piece, bounce, start| {
            read(bounce, start)?;
            bounce.copy_to_volatile_slice(*piece);
            Ok(())
        })
    }

    /// As [`read`](Self::read), for writing `from`.
    pub(super) fn write(
        &self,
        from: &VolatileSlice<'_>,
        mut write: impl FnMut(&VolatileSlice<'_>, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.fits(from) {
            return write(from, 0);
        }
        self.pieces(from, |piece, bounce, start| {
            piece.copy_to_volatile_slice(*bounce);
            write(bounce, start)
        })
    }

    /// Has `each` deal with one piece of `memory` after the other; it is given the piece, aligned memory of the same length, and how
    /// many bytes come before it.
    fn pieces(
        &self,
        memory: &VolatileSlice<'_>,
        mut each: impl FnMut(&VolatileSlice<'_>, &VolatileSlice<'_>, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        // Whatever a thread that panicked has left in it is written over.
        let mut bounce = self.bounce.lock().unwrap_or_else(PoisonError::into_inner);
        for start in (0..memory.len()).step_by(BOUNCE) {
            let piece = memory.subslice(start, BOUNCE.min(memory.len() - start)).map_err(io::Error::other)?;
            let aligned = bounce.slice(piece.len()).ok_or(io::ErrorKind::InvalidInput)?;
            each(&piece, &aligned, start as u64)?;
        }
        Ok(())
    }
}

/// Memory that starts at a multiple of an alignment; zeroed at first.
#[derive(Debug)]
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
}

impl Aligned {
    fn new(size: usize, alignment: usize) -> Self {
        let bytes = vec![0; size + alignment];
        let start = bytes.as_ptr().align_offset(alignment);
        Self { bytes, start }
    }

    /// Its first `length` bytes.
    fn slice(&mut self, length: usize) -> Option<VolatileSlice<'_>> {
        self.bytes.get_mut(self.start..)?.get_mut(..length).map(VolatileSlice::from)
    }
}
