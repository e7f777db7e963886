//! Block devices: requests on ranges of a disk.
//!
//! What the host's page cache holds is read at once, on the vCPU's thread. Where the cache is bypassed, reads and writes go to the
//! host's disk many at a time, through an io_uring. All else goes to the [`Worker`], so that a slow disk holds up the requests
//! on it and nothing else.

mod backend;
mod direct;
mod file;
pub mod mapping;
mod uring;
mod worker;

pub use backend::BlockBackend;
pub use file::FileBackend;
pub use mapping::Mapping;
pub use worker::Worker;

use super::log::Log;
use super::{Completions, Counters, Device, DeviceRequest};
use crate::config::{DiskConfig, DiskSource};
use crate::error::{Error, ErrorKind};
use crate::memory::{GuestBuffer, Memory};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use ukvm_abi::request::{Opcode, Status};
use uring::{Flight, Landing, Uring};
use worker::{Done, Job, Results, Work};

/// The most bytes of one read or write. Four of these in flight keep a fast disk busy.
const MAX_TRANSFER: u32 = 16 << 20;
/// The most bytes read on the vCPU's thread: copying these takes a tenth of a millisecond, in which nothing else is served.
const MOST_AT_ONCE: usize = 1 << 20;

/// A block device.
#[derive(Debug)]
pub struct Block {
    backend: Arc<dyn BlockBackend>,
    capacity: u64,
    block_size: u32,
    read_only: bool,
    worker: Arc<Worker>,
    results: Arc<Results>,
    /// Requests that the worker has.
    waiting: usize,
    /// Where reads and writes bypass the page cache and the host lets us have one.
    uring: Option<Uring>,
    /// The number of the last read or write that went there.
    last: u64,
    /// The numbers of the writes that are under way there.
    writes: BTreeSet<u64>,
    /// Flushes, by their user data, that wait for the writes up to a number.
    flushes: VecDeque<(u64, u64)>,
    /// Once a flush has failed, the host may have dropped what it could not write, and the next `fdatasync` would
    /// say that all is well.
    flush_failed: bool,
    counters: Counters,
    log: Log,
}

impl Block {
    /// Opens what is behind a disk. `worker` may serve any number of disks.
    ///
    /// # Errors
    ///
    /// One sentence where it is missing (66), not permitted (77), in use, of a wrong type or of a wrong size (78).
    pub fn open(config: DiskConfig, worker: &Arc<Worker>) -> Result<Self, Error> {
        let Disk { backend, read_only, label } = open(config)?;
        let (capacity, block_size) = (backend.capacity(), backend.block_size());
        // Where the host forbids it, as many containers do, the worker does the same one at a time.
        let uring = backend.direct().and_then(|_| Uring::new().ok());
        Ok(Self {
            read_only,
            backend,
            capacity,
            block_size,
            worker: Arc::clone(worker),
            results: Arc::new(Results::new()?),
            waiting: 0,
            uring,
            last: 0,
            writes: BTreeSet::new(),
            flushes: VecDeque::new(),
            flush_failed: false,
            counters: Counters::default(),
            log: Log::new(format!("disk `{label}`")),
        })
    }

    /// Its size in bytes: a multiple of the block size, at least one block, below 2^63.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The unit of offsets and lengths in bytes: a power of two, at least 512.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// The most bytes of one read or write.
    #[must_use]
    pub fn max_transfer(&self) -> u32 {
        MAX_TRANSFER
    }

    /// Whether the guest may only read it.
    #[must_use]
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// How its requests reach the host, in words for the user; empty for the ordinary way.
    #[must_use]
    pub fn way(&self) -> &'static str {
        match (self.backend.direct(), &self.uring) {
            (None, _) => "",
            (Some(_), Some(_)) => ", direct through io_uring",
            (Some(_), None) => ", direct through a thread",
        }
    }

    /// All of it as a mapping for the guest, if it may be mapped and has at most `room` bytes. What the host cannot map is read by
    /// requests.
    #[must_use]
    pub fn map(&self, room: u64) -> Option<Mapping> {
        let file = self.backend.mappable().filter(|_| self.capacity <= room)?;
        Mapping::new(file, self.capacity).ok()
    }

    /// What `request` asks for, if it may.
    fn check(&self, request: &DeviceRequest) -> Result<Work, Status> {
        let &DeviceRequest { opcode, buffer, offset, length, .. } = request;
        let (work, changes, length) = match opcode {
            Opcode::BlockRead => (Work::Read { buffer, offset }, false, buffer.len() as u64),
            Opcode::BlockWrite => (Work::Write { buffer, offset }, true, buffer.len() as u64),
            Opcode::BlockFlush => return Ok(Work::Flush),
            Opcode::BlockDiscard => (Work::Discard { offset, length }, true, length),
            Opcode::BlockWriteZeroes => (Work::WriteZeroes { offset, length }, true, length),
            _ => return Err(Status::BadDevice),
        };
        if changes && self.read_only {
            return Err(Status::ReadOnly);
        }
        let block_size = u64::from(self.block_size);
        if !offset.is_multiple_of(block_size) || !length.is_multiple_of(block_size) {
            return Err(Status::Invalid);
        }
        if buffer.len() > MAX_TRANSFER as usize {
            return Err(Status::Invalid);
        }
        match offset.checked_add(length) {
            Some(end) if end <= self.capacity => Ok(work),
            _ => Err(Status::OutOfRange),
        }
    }

    /// Does as much of `work` as needs no waiting.
    fn begin(&mut self, work: Work, memory: &Memory) -> Step {
        match work {
            Work::Flush if self.read_only => Step::Ended(Ok(())),
            Work::Flush if self.flush_failed => Step::Ended(Err(earlier_flush_failed())),
            Work::Discard { length: 0, .. } | Work::WriteZeroes { length: 0, .. } => Step::Ended(Ok(())),
            Work::Read { buffer, offset } if buffer.len() <= MOST_AT_ONCE => {
                match self.backend.read_now(&memory.slice(buffer), offset) {
                    Ok(count) if count >= buffer.len() => Step::Ended(Ok(())),
                    Ok(count) => {
                        Step::Left(Work::Read { buffer: buffer.skip(count), offset: offset + count as u64 })
                    }
                    Err(error) => Step::Ended(Err(error)),
                }
            }
            // Only what goes through the io_uring: the worker's writes check it themselves.
            Work::Write { .. } if self.uring.is_some() => match self.backend.before_direct_write() {
                Ok(()) => Step::Left(work),
                Err(error) => Step::Ended(Err(error)),
            },
            work => Step::Left(work),
        }
    }

    /// Has work done that may wait.
    fn pass_on(&mut self, user_data: u64, value: u64, work: Work, memory: &Arc<Memory>) {
        match (&mut self.uring, work) {
            (Some(uring), Work::Read { buffer, .. } | Work::Write { buffer, .. })
                if is_aligned(memory, buffer, self.backend.as_ref()) =>
            {
                self.last += 1;
                if matches!(work, Work::Write { .. }) {
                    self.writes.insert(self.last);
                }
                uring.push(Flight { user_data, value, work, number: self.last }, memory);
            }
            (_, Work::Flush) if !self.writes.is_empty() => self.flushes.push_back((user_data, self.last)),
            _ => self.give_to_worker(user_data, value, work, memory),
        }
    }

    /// The worker does everything in the order in which it is given.
    fn give_to_worker(&mut self, user_data: u64, value: u64, work: Work, memory: &Arc<Memory>) {
        self.waiting += 1;
        self.worker.push(Job {
            user_data,
            value,
            work,
            backend: Arc::clone(&self.backend),
            memory: Arc::clone(memory),
            results: Arc::clone(&self.results),
        });
    }

    /// Submits what goes through the io_uring, and ends what has ended there.
    fn advance_direct(&mut self, memory: &Arc<Memory>, done: &mut dyn Completions) {
        let (Some(uring), Some((file, _))) = (&mut self.uring, self.backend.direct()) else { return };
        let mut landed = Vec::new();
        uring.advance(file.as_raw_fd(), |flight, landing| landed.push((flight, landing)));
        for (Flight { user_data, value, work, number }, landing) in landed {
            match landing {
                Landing::Ended(result) => self.end(Done { user_data, value, work, result }, done),
                // Before a flush that waits for it: the worker keeps the order.
                Landing::Left(rest) => self.give_to_worker(user_data, value, rest, memory),
            }
            self.writes.remove(&number);
        }
        while let Some(&(user_data, last)) = self.flushes.front()
            && self.writes.first().is_none_or(|&first| first > last)
        {
            self.flushes.pop_front();
            if self.flush_failed {
                let result = Err(earlier_flush_failed());
                self.end(Done { user_data, value: 0, work: Work::Flush, result }, done);
            } else {
                self.give_to_worker(user_data, 0, Work::Flush, memory);
            }
        }
    }

    fn end(&mut self, ended: Done, done: &mut dyn Completions) {
        let Done { user_data, value, work, result } = ended;
        let Err(error) = result else {
            match work {
                Work::Read { .. } => {
                    self.counters.bytes_in += value;
                    self.counters.requests_in += 1;
                }
                Work::Write { .. } => {
                    self.counters.bytes_out += value;
                    self.counters.requests_out += 1;
                }
                _ => self.counters.requests_out += 1,
            }
            done.post(user_data, Ok(value));
            return;
        };
        let status = status_of(&error);
        if status != Status::NotSupported {
            self.counters.errors += 1;
            self.log.say(format_args!("{work} failed: {error}"));
        }
        done.post(user_data, Err(status));
    }
}

/// What is behind a disk, opened.
#[derive(Debug)]
pub struct Disk {
    /// What holds its bytes: at least one block, and whole blocks.
    pub backend: Arc<dyn BlockBackend>,
    /// Whether it may only be read.
    pub read_only: bool,
    /// What the user calls it.
    pub label: String,
}

/// Opens what is behind a disk.
///
/// # Errors
///
/// One sentence where it is missing (66), not permitted (77), in use, of a wrong type or of a wrong size (78).
pub fn open(config: DiskConfig) -> Result<Disk, Error> {
    let (backend, label): (Arc<dyn BlockBackend>, String) = match config.source {
        DiskSource::Path(path) => {
            (Arc::new(FileBackend::open(&path, config.read_only, config.direct)?), path.display().to_string())
        }
        DiskSource::Fd(fd) => {
            (Arc::new(FileBackend::of_descriptor(fd, config.read_only, config.direct)?), format!("fd:{fd}"))
        }
        DiskSource::Backend(backend) => (Arc::from(backend), config.name.unwrap_or_else(|| "backend".into())),
    };
    check_size(&label, backend.capacity(), backend.block_size())?;
    let read_only = config.read_only || backend.is_read_only();
    Ok(Disk { backend, read_only, label })
}

/// How far a request came without waiting.
#[derive(Debug)]
enum Step {
    Ended(io::Result<()>),
    Left(Work),
}

impl Device for Block {
    fn submit(&mut self, request: &DeviceRequest, memory: &Arc<Memory>, done: &mut dyn Completions) {
        let user_data = request.user_data;
        let work = match self.check(request) {
            Ok(work) => work,
            Err(status) => return done.post(user_data, Err(status)),
        };
        let value = match work {
            Work::Read { buffer, .. } | Work::Write { buffer, .. } => buffer.len() as u64,
            Work::Flush => 0,
            Work::Discard { length, .. } | Work::WriteZeroes { length, .. } => length,
        };
        match self.begin(work, memory) {
            Step::Ended(result) => self.end(Done { user_data, value, work, result }, done),
            Step::Left(work) => self.pass_on(user_data, value, work, memory),
        }
    }

    fn advance(&mut self, memory: &Arc<Memory>, done: &mut dyn Completions) {
        self.advance_direct(memory, done);
        if self.waiting == 0 {
            return;
        }
        for mut ended in self.results.take() {
            self.waiting = self.waiting.saturating_sub(1);
            if ended.work == Work::Flush {
                if self.flush_failed && ended.result.is_ok() {
                    ended.result = Err(earlier_flush_failed());
                }
                self.flush_failed |= ended.result.is_err();
            }
            self.end(ended, done);
        }
    }

    fn wait_for(&self, wanted: &mut Vec<(RawFd, libc::c_short)>) {
        wanted.extend(self.uring.as_ref().and_then(Uring::wait_for));
        if self.waiting > 0 {
            wanted.push((self.results.event(), libc::POLLIN));
        }
    }

    fn expects_more(&mut self) -> Duration {
        self.uring.as_ref().map_or(Duration::ZERO, Uring::expects_more)
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

/// Whether the buffer is where a direct read or write may go.
fn is_aligned(memory: &Memory, buffer: GuestBuffer, backend: &dyn BlockBackend) -> bool {
    let start = memory.iovec(buffer).iov_base as usize;
    !buffer.is_empty() && backend.direct().is_some_and(|(_, alignment)| start.is_multiple_of(alignment))
}

fn earlier_flush_failed() -> io::Error {
    io::Error::other("an earlier flush has failed, so that nobody knows what the disk holds")
}

/// What is wrong with the size of a disk.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// A block of a backend has an impossible size.
    #[error("disk `{label}` has a block size of {size} bytes: use one with a power of two from 512 on")]
    Block {
        /// The disk.
        label: String,
        /// The size in bytes.
        size: u32,
    },
    /// A Solo5 guest cannot be told of, or cannot use, sectors of this size.
    #[error("disk `{label}` cannot have sectors of {size} bytes: use a power of two from {least} to 32768")]
    Sector {
        /// The disk.
        label: String,
        /// The size in bytes.
        size: u32,
        /// The least that it could be.
        least: u32,
    },
    /// It has no byte.
    #[error("disk `{0}` is empty: give it a size, for example with `truncate -s 64M {0}`")]
    Empty(String),
    /// It is larger than offsets can tell.
    #[error("disk `{label}` has {capacity} bytes: use one with less than 2^63")]
    TooLarge {
        /// The disk.
        label: String,
        /// Its size in bytes.
        capacity: u64,
    },
    /// Its last block is not whole.
    #[error(
        "disk `{label}` has {capacity} bytes, which is no multiple of its block size {unit}: \
         enlarge it, for example with `truncate -s {} {label}`", capacity.next_multiple_of(u64::from(*unit))
    )]
    Partial {
        /// The disk.
        label: String,
        /// Its size in bytes.
        capacity: u64,
        /// That of a block.
        unit: u32,
    },
}

impl From<SizeError> for Error {
    fn from(error: SizeError) -> Self {
        Self::caused_by(ErrorKind::BadConfig, error)
    }
}

/// Checks that a disk has at least one block, and whole blocks.
pub(crate) fn check_size(label: &str, capacity: u64, block_size: u32) -> Result<(), SizeError> {
    let label = || label.to_owned();
    if !block_size.is_power_of_two() || block_size < 512 {
        return Err(SizeError::Block { label: label(), size: block_size });
    }
    if capacity == 0 {
        return Err(SizeError::Empty(label()));
    }
    if capacity > i64::MAX as u64 {
        return Err(SizeError::TooLarge { label: label(), capacity });
    }
    if !capacity.is_multiple_of(u64::from(block_size)) {
        return Err(SizeError::Partial { label: label(), capacity, unit: block_size });
    }
    Ok(())
}

fn status_of(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Status::NoSpace,
        io::ErrorKind::Unsupported => Status::NotSupported,
        _ => match error.raw_os_error() {
            // ENOTTY: an ioctl that the block device does not know.
            Some(libc::EOPNOTSUPP | libc::ENOTTY) => Status::NotSupported,
            _ => Status::Io,
        },
    }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "direct_tests.rs"]
mod direct_tests;
