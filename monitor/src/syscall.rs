//! What system calls return, and those that are made until they are done, whatever interrupts them.

use std::io;
use std::os::fd::RawFd;
use vm_memory::VolatileSlice;

/// What a system call has returned, where a negative result says that it failed.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes a system call again as long as a signal interrupts it; its result as a number of bytes.
pub(crate) fn uninterrupted(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        if let Ok(bytes) = usize::try_from(call()) {
            return Ok(bytes);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Fills `into` from `offset` on. `UnexpectedEof` where the file ends before.
pub(crate) fn read_all(fd: RawFd, into: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
    let memory = into.ptr_guard_mut();
    each_part(into.len(), offset, io::ErrorKind::UnexpectedEof, |done, at| {
        let to = memory.as_ptr().wrapping_add(done).cast();
        // SAFETY: the slice is valid for writes of its length as long as it is borrowed, and `done` is less; nobody holds a reference
        // into it.
        unsafe { libc::pread(fd, to, into.len() - done, at) }
    })
}

/// Writes all of `from` at `offset`. `WriteZero` where the file takes no more.
pub(crate) fn write_all(fd: RawFd, from: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
    let memory = from.ptr_guard();
    each_part(from.len(), offset, io::ErrorKind::WriteZero, |done, at| {
        let start = memory.as_ptr().wrapping_add(done).cast();
        // SAFETY: the slice is valid for reads of its length as long as it is borrowed, and `done` is less.
        unsafe { libc::pwrite(fd, start, from.len() - done, at) }
    })
}

/// Has `call` transfer `length` bytes, given how many are done and where in the file the next is. `end`: it transfers none any more,
/// or no file is so long.
fn each_part(
    length: usize,
    offset: u64,
    end: io::ErrorKind,
    call: impl Fn(usize, libc::off_t) -> libc::ssize_t,
) -> io::Result<()> {
    let mut done = 0;
    while done < length {
        let at = offset.checked_add(done as u64).and_then(|at| libc::off_t::try_from(at).ok()).ok_or(end)?;
        match uninterrupted(|| call(done, at))? {
            0 => return Err(end.into()),
            count => done += count,
        }
    }
    Ok(())
}
