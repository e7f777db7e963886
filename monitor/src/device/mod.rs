//! The devices: what a request does on the host.
//!
//! A device is given requests whose buffers are already checked. It completes what it can at once, keeps the rest, and
//! carries on whenever it is asked to. It never blocks the vCPU's thread.

pub mod block;
pub mod console;
pub(crate) mod log;
pub mod net;
pub(crate) mod nowait;
pub mod open;
#[cfg(test)]
pub(crate) mod testing;

use crate::memory::{GuestBuffer, Memory};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;
use ukvm_abi::request::{Opcode, Status};

/// A request on its way to a device.
#[derive(Clone, Copy, Debug)]
pub struct DeviceRequest {
    /// What is to be done.
    pub opcode: Opcode,
    /// Comes back in the completion.
    pub user_data: u64,
    /// Its completion, if it succeeds, is to be posted [quietly](Completions::post_quietly).
    pub is_quiet: bool,
    /// Guest memory with the rights that the opcode needs; empty where the opcode takes no buffer.
    pub buffer: GuestBuffer,
    /// The request's length field: the buffer's length, or that of a range on the device. Not checked.
    pub length: u64,
    /// The request's offset field, in bytes. Not checked; dispatch has made sure that it is 0 where the opcode has none.
    pub offset: u64,
}

/// Where devices put what they have completed.
pub trait Completions {
    /// The request with this user data has ended: with a value (mostly bytes), or with a status that is not
    /// [`Status::Ok`].
    fn post(&mut self, user_data: u64, result: Result<u64, Status>);

    /// The request with this user data has ended well, with a value for which the guest does not wait.
    fn post_quietly(&mut self, user_data: u64, value: u64) {
        self.post(user_data, Ok(value));
    }
}

/// A device as the vCPU's thread sees it.
pub trait Device: std::fmt::Debug {
    /// Takes a request. Completes it now, or keeps it for [`advance`](Self::advance).
    ///
    /// An opcode that the device has no use for completes with [`Status::BadDevice`].
    /// The memory is shared because a system call that hangs on the host may still use it when the VM has gone.
    fn submit(&mut self, request: &DeviceRequest, memory: &Arc<Memory>, done: &mut dyn Completions);

    /// Carries on with what is pending as far as that is possible without blocking.
    fn advance(&mut self, memory: &Arc<Memory>, done: &mut dyn Completions);

    /// What must happen on the host before [`advance`](Self::advance) can get further: descriptors and `poll(2)` events,
    /// pushed to `wanted`. Pushes nothing where nothing is pending.
    fn wait_for(&self, wanted: &mut Vec<(RawFd, libc::c_short)>);

    /// How long it is worth to look again before a sleep, for what is likely to come at once: after frames have come since this was
    /// asked last, or while a quick disk reads. Zero where nothing is.
    fn expects_more(&mut self) -> Duration {
        Duration::ZERO
    }

    /// What it has done so far.
    fn counters(&self) -> Counters;
}

/// What a device has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Bytes from the guest to the host.
    pub bytes_out: u64,
    /// Bytes from the host to the guest.
    pub bytes_in: u64,
    /// Requests (frames, block requests, console writes) from the guest to the host.
    pub requests_out: u64,
    /// Requests from the host to the guest.
    pub requests_in: u64,
    /// Frames that the host did not take.
    pub dropped: u64,
    /// Requests that failed on the host.
    pub errors: u64,
}
