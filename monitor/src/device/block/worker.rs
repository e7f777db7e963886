//! One thread for whatever may wait for a disk: cold reads, writes, flushes, and the rest.

use super::backend::BlockBackend;
use crate::error::{Error, ErrorKind};
use crate::memory::{GuestBuffer, Memory};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use vmm_sys_util::eventfd::EventFd;

/// Bytes of the thread's stack: far more than system calls and a backend of a test need.
const STACK: usize = 256 << 10;

/// The thread that does what may wait, for all disks of a VM, in the order in which it is asked.
///
/// When this is dropped, what has not begun is forgotten. What has begun goes on, with the memory and the file that it needs, and
/// then the thread ends; nobody waits for it, as the host may be what hangs.
#[derive(Debug)]
pub struct Worker {
    queue: Arc<Queue>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Read { buffer: GuestBuffer, offset: u64 },
    Write { buffer: GuestBuffer, offset: u64 },
    Flush,
    Discard { offset: u64, length: u64 },
    WriteZeroes { offset: u64, length: u64 },
}

/// Work for the thread, with everything that it uses.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) user_data: u64,
    /// What the request completes with if all goes well.
    pub(super) value: u64,
    pub(super) work: Work,
    pub(super) backend: Arc<dyn BlockBackend>,
    pub(super) memory: Arc<Memory>,
    pub(super) results: Arc<Results>,
}

/// What the thread has done for one disk.
#[derive(Debug)]
pub(super) struct Results {
    list: Mutex<Vec<Done>>,
    /// Readable as long as the list is not empty.
    event: EventFd,
}

/// A job that has ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) user_data: u64,
    pub(super) value: u64,
    pub(super) work: Work,
    pub(super) result: io::Result<()>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bounded by the requests that a guest can have in flight.
    jobs: VecDeque<Job>,
    stopped: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No holder of these locks leaves anything half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    /// Starts the thread. It takes no signals: those are for the vCPU's thread.
    ///
    /// # Errors
    ///
    /// [`HostIo`](ErrorKind::HostIo) where the host gives us no thread.
    pub fn start() -> Result<Self, Error> {
        let queue = Arc::new(Queue::default());
        let for_thread = Arc::clone(&queue);
        let before = block_all_signals();
        let spawned = thread::Builder::new()
            .name("ukvm-disk".into())
            .stack_size(STACK)
            .spawn(move || while for_thread.serve_next() {});
        set_signal_mask(&before);
        match spawned {
            Ok(_) => Ok(Self { queue }),
            Err(error) => Err(Error::new(
                ErrorKind::HostIo,
                format!("cannot start a thread for the disks ({error}): check the limits on processes"),
            )),
        }
    }

    /// Has `job` done after all others.
    pub(super) fn push(&self, job: Job) {
        lock(&self.queue.state).jobs.push_back(job);
        self.queue.changed.notify_one();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut state = lock(&self.queue.state);
        state.stopped = true;
        let forgotten = std::mem::take(&mut state.jobs);
        drop(state);
        self.queue.changed.notify_one();
        drop(forgotten);
    }
}

impl Queue {
    /// Does the next job once there is one; `false` if there will be none.
    fn serve_next(&self) -> bool {
        let mut state = lock(&self.state);
        let job = loop {
            if state.stopped {
                return false;
            }
            if let Some(job) = state.jobs.pop_front() {
                break job;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        drop(state);
        let result = job.run();
        let Job { user_data, value, work, backend, memory, results } = job;
        // Before anyone hears of the end: whoever then drops the VM finds the file closed and its lock released.
        drop((backend, memory));
        results.push(Done { user_data, value, work, result });
        true
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { buffer, offset } => write!(f, "reading {} bytes at {offset}", buffer.len()),
            Self::Write { buffer, offset } => write!(f, "writing {} bytes at {offset}", buffer.len()),
            Self::Flush => f.write_str("flushing"),
            Self::Discard { offset, length } => write!(f, "discarding {length} bytes at {offset}"),
            Self::WriteZeroes { offset, length } => write!(f, "writing {length} zeroes at {offset}"),
        }
    }
}

impl Job {
    fn run(&self) -> io::Result<()> {
        match self.work {
            Work::Read { buffer, offset } => self.backend.read(&self.memory.slice(buffer), offset),
            Work::Write { buffer, offset } => self.backend.write(&self.memory.slice(buffer), offset),
            Work::Flush => self.backend.flush(),
            Work::Discard { offset, length } => self.backend.discard(offset, length),
            Work::WriteZeroes { offset, length } => self.backend.write_zeroes(offset, length),
        }
    }
}

impl Results {
    /// An empty list.
    pub(super) fn new() -> Result<Self, Error> {
        let event = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC).map_err(|error| {
            Error::new(
                ErrorKind::HostIo,
                format!("cannot make an event for a disk ({error}): check the limit on open files"),
            )
        })?;
        Ok(Self { list: Mutex::default(), event })
    }

    /// The descriptor that polls as readable once there is a result.
    pub(super) fn event(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Takes what there is.
    pub(super) fn take(&self) -> Vec<Done> {
        let mut list = lock(&self.list);
        if !list.is_empty() {
            // Cannot fail: the event was written with the first result.
            let _ = self.event.read();
        }
        std::mem::take(&mut *list)
    }

    fn push(&self, done: Done) {
        let mut list = lock(&self.list);
        list.push(done);
        if list.len() == 1 {
            // Cannot fail: the counter is 0.
            let _ = self.event.write(1);
        }
    }
}

/// Blocks all signals of this thread; what was blocked before.
fn block_all_signals() -> libc::sigset_t {
    let mut all = MaybeUninit::uninit();
    // SAFETY: the call fills in the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    let mut before = MaybeUninit::uninit();
    // SAFETY: the first set was filled in above, the call fills in the second one.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    // SAFETY: the call only fails for an unknown first argument, so it has filled it in.
    unsafe { before.assume_init() }
}

fn set_signal_mask(mask: &libc::sigset_t) {
    // SAFETY: the set is valid, and nothing is to be told of what was blocked before.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
}
