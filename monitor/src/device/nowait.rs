//! System calls between a descriptor and memory that either end at once or say `WouldBlock`.

use crate::syscall::uninterrupted;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;
use vm_memory::VolatileSlice;

/// The offset with which `preadv2` and `pwritev2` use, and move, the descriptor's own position, if it has one.
const OWN_POSITION: libc::off_t = -1;

/// Whether `error` says that the file knows no `RWF_NOWAIT`: the file's driver, or a kernel before 4.14.
pub(super) fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL))
}

/// Whether `poll` sees one of `events`, an error or a hang-up on `fd` now.
pub(super) fn is_ready(fd: RawFd, events: libc::c_short) -> bool {
    is_ready_within(fd, events, Duration::ZERO)
}

/// The same within `time`, or until a signal comes.
pub(crate) fn is_ready_within(fd: RawFd, events: libc::c_short, time: Duration) -> bool {
    is_any_ready_within(&[(fd, events)], time)
}

/// The same for any of several.
pub(crate) fn is_any_ready_within(wanted: &[(RawFd, libc::c_short)], time: Duration) -> bool {
    let entry = |&(fd, events): &(RawFd, libc::c_short)| libc::pollfd { fd, events, revents: 0 };
    let mut entries: Vec<_> = wanted.iter().map(entry).collect();
    let milliseconds = time.as_millis().try_into().unwrap_or(libc::c_int::MAX);
    // SAFETY: the vector's entries are live, and the call only borrows them.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, milliseconds) };
    ready > 0
}

/// The slice as a system call takes it; valid as long as the slice.
pub(super) fn as_iovec(slice: &VolatileSlice<'_>) -> libc::iovec {
    libc::iovec { iov_base: slice.ptr_guard_mut().as_ptr().cast(), iov_len: slice.len() }
}

/// Reads what is in the page cache from `offset` on. An error for which [`is_unknown`] holds: it can't be known without waiting.
pub(super) fn read_at(fd: RawFd, into: &VolatileSlice<'_>, offset: u64) -> io::Result<usize> {
    let iovec = as_iovec(into);
    let offset = offset as libc::off_t;
    // SAFETY: the slice is valid for writes of its length as long as it is borrowed; nobody holds a reference into it.
    uninterrupted(|| unsafe { libc::preadv2(fd, &raw const iovec, 1, offset, libc::RWF_NOWAIT) })
}

/// Reads what is there. An error for which [`is_unknown`] holds: it can't be known without waiting.
pub(super) fn read(fd: RawFd, into: &VolatileSlice<'_>) -> io::Result<usize> {
    let iovec = as_iovec(into);
    // SAFETY: the slice is valid for writes of its length as long as it is borrowed; nobody holds a reference into it.
    uninterrupted(|| unsafe { libc::preadv2(fd, &raw const iovec, 1, OWN_POSITION, libc::RWF_NOWAIT) })
}

/// Writes what fits. An error for which [`is_unknown`] holds: it can't be known without waiting.
pub(super) fn write(fd: RawFd, from: &VolatileSlice<'_>) -> io::Result<usize> {
    let iovec = as_iovec(from);
    // SAFETY: the slice is valid for reads of its length as long as it is borrowed.
    uninterrupted(|| unsafe { libc::pwritev2(fd, &raw const iovec, 1, OWN_POSITION, libc::RWF_NOWAIT) })
}

/// Plain `read`: waits or not as the descriptor does. A wait that a signal ends is `WouldBlock`: the caller looks at what came before
/// it waits again.
pub(super) fn read_plainly(fd: RawFd, into: &VolatileSlice<'_>) -> io::Result<usize> {
    let iovec = as_iovec(into);
    // SAFETY: the slice is valid for writes of its length as long as it is borrowed; nobody holds a reference into it.
    interruptible(unsafe { libc::readv(fd, &raw const iovec, 1) })
}

/// Plain `write`: waits or not as the descriptor does, and as [`read_plainly`] when a signal comes.
pub(super) fn write_plainly(fd: RawFd, from: &VolatileSlice<'_>) -> io::Result<usize> {
    let iovec = as_iovec(from);
    // SAFETY: the slice is valid for reads of its length as long as it is borrowed.
    interruptible(unsafe { libc::writev(fd, &raw const iovec, 1) })
}

fn interruptible(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => io::ErrorKind::WouldBlock.into(),
        error => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::testing::pipe;
    use crate::interrupt::{Interrupts, Timer};
    use std::os::fd::AsRawFd;

    #[test]
    fn a_signal_ends_a_wait_that_should_not_have_been() {
        let mut interrupts = Interrupts::new(false).unwrap();
        let (reader, writer) = pipe();
        let mut bytes = vec![0; 1 << 20];
        let slice = VolatileSlice::from(bytes.as_mut_slice());
        interrupts.arm(Timer::Timeout, Duration::from_millis(10)).unwrap();
        let read = read_plainly(reader.as_raw_fd(), &slice);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        while write(writer.as_raw_fd(), &slice).is_ok() {}
        interrupts.arm(Timer::Grace, Duration::from_millis(10)).unwrap();
        let written = write_plainly(writer.as_raw_fd(), &slice);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
