//! Reads and writes of a disk that bypass the page cache, many at once: an io_uring.
//!
//! Only such a disk has one: for what the page cache holds a plain call is cheaper. It is made before the guest starts, and only
//! the vCPU's thread uses it. What is submitted during one `enter` of the guest goes to the kernel in one call, and an eventfd
//! tells when something has ended. (The ring's own descriptor does not, where completions wait to be asked for.)

use super::worker::Work;
use crate::memory::Memory;
use io_uring::{IoUring, opcode, types};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vmm_sys_util::eventfd::EventFd;

/// The most requests that the kernel has at a time; others wait here. A power of two.
const ENTRIES: u32 = 128;
/// How long to look for the end of a read or a write before a sleep. A solid-state disk takes 10 to 80 µs; to be woken takes as long
/// again where the processor has gone to sleep meanwhile.
const LOOK: Duration = Duration::from_micros(100);
/// How long the last one may have taken where it is worth to look for the next: as long, and a sleep.
const QUICK: Duration = Duration::from_micros(200);
/// How long the end of a VM waits for what is under way.
const PATIENCE: Duration = Duration::from_secs(1);

/// The ring, and what is under way in it.
pub(super) struct Uring {
    ring: IoUring,
    /// Readable once something has ended.
    event: EventFd,
    /// By the index that is the kernel's user data; `None`: free.
    flights: Vec<Option<Flight>>,
    free: Vec<usize>,
    /// What has no place yet; bounded by the requests that a guest can have in flight.
    waiting: VecDeque<Flight>,
    /// Where the kernel reads and writes; set with the first request.
    memory: Option<Arc<Memory>>,
    /// Entries that are in the submission queue.
    unsubmitted: usize,
    /// When the kernel was last given something, and how long it then had been until something ended.
    given: Instant,
    pub(super) took: Duration,
}

/// A read or a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) user_data: u64,
    /// What the request completes with if all goes well.
    pub(super) value: u64,
    pub(super) work: Work,
    /// Its place among all of them.
    pub(super) number: u64,
}

/// How a flight ended.
#[derive(Debug)]
pub(super) enum Landing {
    /// With all of it, or with an error.
    Ended(io::Result<()>),
    /// With this left to do; the kernel gave up for a reason of its own.
    Left(Work),
}

impl Uring {
    /// Makes the ring.
    ///
    /// # Errors
    ///
    /// What the host says: it may forbid it (`EPERM`, `ENOSYS`), or be too old.
    pub(super) fn new() -> io::Result<Self> {
        // Completions are then handled when this thread asks for them, rather than by interrupting the guest (Linux 6.1).
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        let ring = builder.build(ENTRIES).or_else(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => IoUring::new(ENTRIES),
            _ => Err(error),
        })?;
        // Linux 5.6, as the opcodes below.
        if !ring.params().is_feature_rw_cur_pos() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let event = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?;
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        Ok(Self {
            ring,
            event,
            flights: (0..ENTRIES).map(|_| None).collect(),
            free: (0..ENTRIES as usize).collect(),
            waiting: VecDeque::new(),
            memory: None,
            unsubmitted: 0,
            given: Instant::now(),
            took: Duration::ZERO,
        })
    }

    /// Takes a read or a write for the next [`advance`](Self::advance).
    pub(super) fn push(&mut self, flight: Flight, memory: &Arc<Memory>) {
        self.memory.get_or_insert_with(|| Arc::clone(memory));
        self.waiting.push_back(flight);
    }

    /// The descriptor and the `poll(2)` events that tell when to [`advance`](Self::advance); `None` where nothing is under way.
    pub(super) fn wait_for(&self) -> Option<(RawFd, libc::c_short)> {
        let fd = self.event.as_raw_fd();
        if self.unsubmitted > 0 || (!self.waiting.is_empty() && !self.free.is_empty()) {
            // The kernel had no means for them, or has not been asked: it polls as writable, so that they are tried.
            return Some((fd, libc::POLLIN | libc::POLLOUT));
        }
        (self.free.len() < self.flights.len()).then_some((fd, libc::POLLIN))
    }

    /// How long it is worth to look for the next end before a sleep: not where the disk was slow the last time.
    pub(super) fn expects_more(&self) -> Duration {
        if self.in_kernel() > 0 && self.took <= QUICK { LOOK } else { Duration::ZERO }
    }

    /// Submits what was pushed to `file`, and gives what has ended to `landed`.
    pub(super) fn advance(&mut self, file: RawFd, mut landed: impl FnMut(Flight, Landing)) {
        if self.free.len() == self.flights.len() && self.waiting.is_empty() {
            return;
        }
        // First, so that what ends from here on is told anew.
        let _ = self.event.read();
        loop {
            self.fill(file);
            self.enter();
            if !self.reap(&mut landed) || self.waiting.is_empty() {
                return;
            }
        }
    }

    /// Puts as much as has room into the submission queue.
    fn fill(&mut self, file: RawFd) {
        let Some(memory) = &self.memory else { return };
        let mut submission = self.ring.submission();
        while !submission.is_full()
            && let Some(flight) = self.waiting.front()
            && let Some(&index) = self.free.last()
            && let Some(place) = self.flights.get_mut(index)
        {
            let (buffer, offset) = match flight.work {
                Work::Read { buffer, offset } | Work::Write { buffer, offset } => (buffer, offset),
                _ => return,
            };
            let iovec = memory.iovec(buffer);
            let (start, length) = (iovec.iov_base.cast::<u8>(), iovec.iov_len as u32);
            let entry = match flight.work {
                Work::Write { .. } => {
                    opcode::Write::new(types::Fd(file), start, length).offset(offset).build()
                }
                _ => opcode::Read::new(types::Fd(file), start, length).offset(offset).build(),
            };
            // SAFETY: the entry names guest memory that nobody has a reference into, with the right that the request needs, and
            // that stays mapped until the entry has completed: see `drop`.
            if unsafe { submission.push(&entry.user_data(index as u64)) }.is_err() {
                return;
            }
            *place = self.waiting.pop_front();
            self.free.pop();
        }
    }

    /// Has the kernel take what is in the submission queue, and say what has ended.
    fn enter(&mut self) {
        let submission = self.ring.submission();
        let needed = !submission.is_empty() || submission.taskrun();
        drop(submission);
        if needed {
            // An error is one of the moment (EINTR, EAGAIN, EBUSY): what is left in the queue goes with the next call.
            if self.ring.submit().is_ok_and(|taken| taken > 0) {
                self.given = Instant::now();
            }
            self.unsubmitted = self.ring.submission().len();
        }
    }

    /// Takes the completions; whether there were any.
    fn reap(&mut self, landed: &mut impl FnMut(Flight, Landing)) -> bool {
        let mut any = false;
        for entry in self.ring.completion() {
            let index = entry.user_data() as usize;
            let Some(flight) = self.flights.get_mut(index).and_then(Option::take) else { continue };
            self.free.push(index);
            any = true;
            landed(flight, landing(flight.work, entry.result()));
        }
        if any {
            self.took = self.given.elapsed();
        }
        any
    }

    /// Requests that the kernel has.
    fn in_kernel(&self) -> usize {
        self.flights.len() - self.free.len() - self.unsubmitted
    }
}

/// What a completion's result says of `work`.
fn landing(work: Work, result: i32) -> Landing {
    let (Work::Read { buffer, offset } | Work::Write { buffer, offset }) = work else {
        return Landing::Ended(Ok(()));
    };
    let Ok(count) = usize::try_from(result) else {
        return match -result {
            libc::EAGAIN | libc::EINTR => Landing::Left(work),
            error => Landing::Ended(Err(io::Error::from_raw_os_error(error))),
        };
    };
    if count >= buffer.len() {
        return Landing::Ended(Ok(()));
    }
    let (buffer, offset) = (buffer.skip(count), offset + count as u64);
    match work {
        _ if count > 0 => Landing::Left(match work {
            Work::Write { .. } => Work::Write { buffer, offset },
            _ => Work::Read { buffer, offset },
        }),
        Work::Write { .. } => Landing::Ended(Err(io::ErrorKind::WriteZero.into())),
        _ => Landing::Ended(Err(io::ErrorKind::UnexpectedEof.into())),
    }
}

impl Drop for Uring {
    /// Waits for what is under way, as the kernel would go on to use memory that may then be another's. Where a disk takes too long,
    /// the memory is kept for good.
    fn drop(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.in_kernel() > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                std::mem::forget(self.memory.take());
                return;
            }
            let mut entry = libc::pollfd { fd: self.event.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: `entry` is one valid entry, which the call only borrows.
            unsafe { libc::poll(&raw mut entry, 1, left.as_millis() as libc::c_int + 1) };
            let _ = self.event.read();
            self.enter();
            self.reap(&mut |_, _| ());
        }
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring")
            .field("under_way", &(self.flights.len() - self.free.len()))
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}
