//! What the tests of all devices need.

use super::{Completions, Device, DeviceRequest};
use crate::memory::{GuestBuffer, Memory};
use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ukvm_abi::request::{Opcode, Status};

/// Completions in the order in which they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Done(pub Vec<(u64, Result<u64, Status>)>);

impl Completions for Done {
    fn post(&mut self, user_data: u64, result: Result<u64, Status>) {
        self.0.push((user_data, result));
    }
}

/// A device with memory for its requests and its completions.
pub(crate) struct Rig<D> {
    pub device: D,
    pub memory: Arc<Memory>,
    pub done: Done,
}

impl<D: Device> Rig<D> {
    pub(crate) fn new(device: D) -> Self {
        Self { device, memory: Arc::new(Memory::new(64 << 20).unwrap()), done: Done::default() }
    }

    pub(crate) fn buffer(&self, gpa: u64, length: usize) -> GuestBuffer {
        self.memory.buffer(gpa, length as u64).unwrap()
    }

    pub(crate) fn put(&self, gpa: u64, bytes: &[u8]) -> GuestBuffer {
        self.memory.write(gpa, bytes).unwrap();
        self.buffer(gpa, bytes.len())
    }

    pub(crate) fn bytes(&self, gpa: u64, length: usize) -> Vec<u8> {
        self.memory.copy(self.buffer(gpa, length))
    }

    pub(crate) fn submit(&mut self, opcode: Opcode, user_data: u64, buffer: GuestBuffer, offset: u64) {
        self.submit_length(opcode, user_data, buffer, buffer.len() as u64, offset);
    }

    pub(crate) fn submit_length(
        &mut self,
        opcode: Opcode,
        user_data: u64,
        buffer: GuestBuffer,
        length: u64,
        offset: u64,
    ) {
        let request = DeviceRequest { opcode, user_data, is_quiet: false, buffer, length, offset };
        self.device.submit(&request, &self.memory, &mut self.done);
    }

    pub(crate) fn advance(&mut self) {
        self.device.advance(&self.memory, &mut self.done);
    }

    pub(crate) fn wanted(&self) -> Vec<(RawFd, libc::c_short)> {
        let mut wanted = Vec::new();
        self.device.wait_for(&mut wanted);
        wanted
    }

    /// Whether one of the descriptors that the device waits for becomes ready within `time`.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let mut entries: Vec<_> =
            self.wanted().into_iter().map(|(fd, events)| libc::pollfd { fd, events, revents: 0 }).collect();
        // SAFETY: the vector's entries are valid and only borrowed.
        unsafe {
            libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, time.as_millis() as i32) > 0
        }
    }

    /// Does what the vCPU's thread does until there are `count` completions, and takes them.
    pub(crate) fn completions(&mut self, count: usize) -> Vec<(u64, Result<u64, Status>)> {
        let end = Instant::now() + Duration::from_secs(20);
        while self.done.0.len() < count {
            assert!(Instant::now() < end, "only {:?}", self.done);
            self.wait(Duration::from_millis(100));
            self.advance();
        }
        self.taken()
    }

    /// The completions so far.
    pub(crate) fn taken(&mut self) -> Vec<(u64, Result<u64, Status>)> {
        std::mem::take(&mut self.done.0)
    }
}

/// Says, past the test harness, that a test can't run on this host; where everything must run, that is a failure.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("UKVM_TEST_REQUIRE").is_none_or(|what| what != "all"), "{reason}");
    let _ = writeln!(io::stderr(), "skipped: {reason}");
}

/// A pipe: where it is read and where it is written.
pub(crate) fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends: [RawFd; 2] = [0; 2];
    // SAFETY: the call writes two descriptors to the array.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: a new descriptor that nobody else knows.
    let read = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    (read, unsafe { OwnedFd::from_raw_fd(ends[1]) })
}

/// A descriptor's status flags.
pub(crate) fn flags(fd: RawFd) -> i32 {
    // SAFETY: the call has no preconditions.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    assert!(flags >= 0, "{}", io::Error::last_os_error());
    flags
}
