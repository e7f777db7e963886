//! Network devices: frames between a guest and a TAP interface of the host.
//!
//! Both directions run on the vCPU's thread, in the order of the requests. A frame is read only into a buffer that the guest has
//! posted, so that the host's queue, and then TCP, hold back a sender that is faster than the guest.

mod interface;
mod link;
mod mac;
mod tap;

use super::log::Log;
use super::{Completions, Counters, Device, DeviceRequest};
use crate::config::{NetConfig, NetSource};
use crate::error::{Error, ErrorKind};
use crate::memory::{GuestBuffer, Memory};
use crate::spin::SPIN;
use interface::Interfaces;
use link::Link;
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;
use tap::{Framing, Tap};
use ukvm_abi::net::{self, LONGEST, RECORD_HEADER};
use ukvm_abi::request::{NET_HEADERS_SIZE, Opcode, Status};

/// The shortest thing to send: both headers.
const SHORTEST: usize = NET_HEADERS_SIZE;
/// The most frames that are read in one go.
const MOST_AT_ONCE: usize = 512;

/// A network device.
#[derive(Debug)]
pub struct Net {
    tap: Tap,
    mac: [u8; 6],
    features: u64,
    sends: VecDeque<Pending>,
    receives: VecDeque<Pending>,
    /// Where the guest can ask for its state.
    link: Option<Link>,
    /// The request for it, and the state that the guest knows.
    link_request: Option<(u64, bool)>,
    /// The interface has been deleted: nothing will come, and the descriptor would poll as ready for ever.
    gone: bool,
    /// The interface is down, and the log says so.
    down: bool,
    /// A frame came since dispatch has asked.
    came: bool,
    counters: Counters,
    log: Log,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    user_data: u64,
    is_quiet: bool,
    buffer: GuestBuffer,
}

/// Whether this network namespace has an interface of this name, as far as the kernel tells.
#[must_use]
pub fn exists(name: &str) -> bool {
    Interfaces::open().and_then(|interfaces| interfaces.flags(name)).is_ok_and(|flags| flags.is_some())
}

impl Net {
    /// Attaches what is behind a network device. An interface that does not exist is made, brought up, and vanishes with this
    /// value. `offered` are the [features](ukvm_abi::net) that the guest can make use of.
    ///
    /// # Errors
    ///
    /// One sentence where there are no TAPs here (66), this is not permitted (77), the name can't be one (64), or the interface
    /// is in use, of another kind, or the hardware address is that of a group (78).
    pub fn open(config: &NetConfig, offered: u64) -> Result<Self, Error> {
        Self::attach(config, offered, Framing::Header)
    }

    /// The same for a guest that knows no header: [`send_frame`](Self::send_frame) and [`receive_frame`](Self::receive_frame) are
    /// for it. A descriptor may be attached without a header, too.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_without_header(config: &NetConfig) -> Result<Self, Error> {
        Self::attach(config, 0, Framing::Any)
    }

    fn attach(config: &NetConfig, offered: u64, framing: Framing) -> Result<Self, Error> {
        if let Some(mac) = config.mac.filter(|&mac| !mac::is_unicast(mac)) {
            let [a, b, c, d, e, f] = mac;
            return Err(Error::new(
                ErrorKind::BadConfig,
                format!(
                    "hardware address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} can't be that of one device: \
                     use one that begins with 02"
                ),
            ));
        }
        let tap = match &config.source {
            NetSource::Tap(name) => Tap::open(name)?,
            NetSource::Fd(fd) => Tap::of_descriptor(*fd, framing)?,
        };
        let features = net::consistent(offered);
        let mut features = features & !net::RECEIVE | tap.set_offloads(features & net::RECEIVE);
        // An interface of another network namespace is not told of here.
        let wants_link = features & net::LINK_STATE != 0 && tap.is_here();
        let link = wants_link.then(|| Link::watch(tap.name()).ok()).flatten();
        if link.is_none() {
            features &= !net::LINK_STATE;
        }
        Ok(Self {
            features,
            mac: config.mac.unwrap_or_else(|| mac::default_for(tap.name())),
            log: Log::new(format!("network interface `{}`", tap.name())),
            tap,
            sends: VecDeque::new(),
            receives: VecDeque::new(),
            link,
            link_request: None,
            gone: false,
            down: false,
            came: false,
            counters: Counters::default(),
        })
    }

    /// The guest's hardware address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The most bytes behind a frame's Ethernet header, 68 to 65521.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.tap.mtu()
    }

    /// The [features](ukvm_abi::net) in use.
    #[must_use]
    pub fn features(&self) -> u64 {
        self.features
    }

    /// The name of the interface.
    #[must_use]
    pub fn tap_name(&self) -> &str {
        self.tap.name()
    }

    /// What the user should know although the guest can start, such as that the interface is down.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.tap.warning()
    }

    /// The bytes that a buffer must have to receive in: any frame but one with a VLAN tag fits.
    fn shortest_receive(&self) -> usize {
        net::least_receive_buffer(self.features, self.tap.mtu())
    }

    /// Sends; `false` if that has to wait.
    fn send(&mut self, request: Pending, memory: &Memory, done: &mut dyn Completions) -> bool {
        let length = request.buffer.len();
        let written = self.tap.write(&memory.slice(request.buffer));
        let Some(result) = self.sent(written, length) else { return false };
        match result {
            Ok(()) if request.is_quiet => done.post_quietly(request.user_data, length as u64),
            result => done.post(request.user_data, result.map(|()| length as u64)),
        }
        true
    }

    /// What has become of `length` bytes that were written with this result; `None` if they have to wait.
    fn sent(&mut self, written: io::Result<usize>, length: usize) -> Option<Result<(), Status>> {
        let Err(error) = written else {
            self.counters.bytes_out += length as u64;
            self.counters.requests_out += 1;
            self.down = false;
            return Some(Ok(()));
        };
        match error.raw_os_error() {
            Some(libc::EAGAIN) => return None,
            // The driver checks the header.
            Some(libc::EINVAL) => return Some(Err(Status::Invalid)),
            // As on a wire that is not plugged in.
            Some(libc::EIO) => {
                if !self.down {
                    self.log.say(format_args!(
                        "is down, frames are dropped: run `ip link set {} up`",
                        self.tap.name()
                    ));
                }
                self.down = true;
            }
            Some(libc::EBADFD) => self.note_gone(),
            _ => return Some(Err(self.failed("send", &error))),
        }
        self.counters.dropped += 1;
        Some(Ok(()))
    }

    /// Sends a frame without a header, at once: where the host's queue is full, it is dropped.
    ///
    /// # Errors
    ///
    /// [`Io`](Status::Io) where the host fails, [`Invalid`](Status::Invalid) where it takes no such frame.
    pub fn send_frame(&mut self, frame: GuestBuffer, memory: &Memory) -> Result<(), Status> {
        let written = self.tap.write_frame(&memory.slice(frame));
        self.sent(written, frame.len()).unwrap_or_else(|| {
            self.counters.dropped += 1;
            Ok(())
        })
    }

    /// Receives a frame without a header into `into`; its bytes, cut to those that fit, or 0 where none has come.
    ///
    /// # Errors
    ///
    /// [`Io`](Status::Io) where the host fails.
    pub fn receive_frame(&mut self, into: GuestBuffer, memory: &Memory) -> Result<usize, Status> {
        self.read(&mut 1, |tap| tap.read_frame(&memory.slice(into)).map(Some))
    }

    /// The descriptor that polls as readable once a frame has come; `None` where none will.
    #[must_use]
    pub fn readable(&self) -> Option<RawFd> {
        (!self.gone).then(|| self.tap.fd())
    }

    fn receive(&mut self, memory: &Memory, done: &mut dyn Completions) {
        let is_batched = self.features & net::BATCHED_RECEIVE != 0;
        let mut left = MOST_AT_ONCE;
        while let Some(&Pending { user_data, buffer, .. }) = self.receives.front() {
            let filled = if is_batched {
                self.read_batch(buffer, memory, &mut left)
            } else {
                self.read(&mut left, |tap| match tap.read(&memory.slice(buffer))? {
                    length if length > buffer.len() => Ok(None),
                    length => Ok(Some(length)),
                })
            };
            if filled == Ok(0) {
                return;
            }
            self.receives.pop_front();
            done.post(user_data, filled.map(|bytes| bytes as u64));
        }
    }

    /// Reads as many frames as there are and fit, each behind a header of its own; the bytes of all, 0 where there is none.
    fn read_batch(&mut self, into: GuestBuffer, memory: &Memory, left: &mut usize) -> Result<usize, Status> {
        let mut used = 0;
        while into.len().saturating_sub(used) >= self.shortest_receive() {
            let rest = into.skip(used);
            let place = memory.slice(rest.skip(RECORD_HEADER));
            let read =
                |tap: &Tap| Ok(Some(tap.read_with_room(&place)?).filter(|&length| length < place.len()));
            let length = match self.read(left, read) {
                Ok(0) => break,
                Ok(length) => length,
                Err(status) if used == 0 => return Err(status),
                // What came before is not lost.
                Err(_) => break,
            };
            let header = (length as u64).to_le_bytes();
            memory.slice(rest.truncate(RECORD_HEADER)).copy_from(&header);
            used += net::record_size(length);
        }
        Ok(used.min(into.len()))
    }

    /// Reads a frame by `read`, which says `None` of one that was too long; its bytes, 0 where there is none. `left` is how many may
    /// still be read before others have a turn.
    fn read(
        &mut self,
        left: &mut usize,
        read: impl Fn(&Tap) -> io::Result<Option<usize>>,
    ) -> Result<usize, Status> {
        while *left > 0 && !self.gone {
            *left -= 1;
            match read(&self.tap) {
                Ok(None) => self.counters.dropped += 1,
                Ok(Some(count)) => {
                    self.came = true;
                    self.counters.bytes_in += count as u64;
                    self.counters.requests_in += 1;
                    return Ok(count);
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => break,
                    Some(libc::EBADFD) => self.note_gone(),
                    _ => return Err(self.failed("receive", &error)),
                },
            }
        }
        Ok(0)
    }

    /// Takes a request for the link's state.
    fn ask_link(&mut self, request: &DeviceRequest, done: &mut dyn Completions) {
        let known = match (&self.link, request.length, request.offset) {
            (None, ..) => Err(Status::NotSupported),
            (_, 1.., _) => Err(Status::BadFlags),
            (_, 0, 0 | 1) if self.link_request.is_none() => Ok(request.offset == 1),
            _ => Err(Status::Invalid),
        };
        match known {
            Err(status) => done.post(request.user_data, Err(status)),
            Ok(known) => {
                self.link_request = Some((request.user_data, known));
                self.tell_link(done, |link| link.is_up() != known);
            }
        }
    }

    /// Tells the guest of the link if it asked and the state is another than it knows, or was.
    fn tell_link(&mut self, done: &mut dyn Completions, is_other: impl Fn(&Link) -> bool) {
        let Some((user_data, known)) = self.link_request else { return };
        if self.link.as_ref().is_some_and(is_other) {
            self.link_request = None;
            done.post(user_data, Ok(u64::from(!known)));
        }
    }

    fn failed(&mut self, what: &str, error: &io::Error) -> Status {
        self.counters.errors += 1;
        self.log.say(format_args!("cannot {what}: {error}"));
        Status::Io
    }

    fn note_gone(&mut self) {
        if !self.gone {
            self.log.say(format_args!("has been deleted: frames are dropped, and none will come"));
        }
        self.gone = true;
    }
}

impl Device for Net {
    fn submit(&mut self, request: &DeviceRequest, memory: &Arc<Memory>, done: &mut dyn Completions) {
        let &DeviceRequest { user_data, is_quiet, buffer, .. } = request;
        let pending = Pending { user_data, is_quiet, buffer };
        match request.opcode {
            Opcode::NetSend if !(SHORTEST..=LONGEST).contains(&pending.buffer.len()) => {
                done.post(pending.user_data, Err(Status::Invalid));
            }
            Opcode::NetSend => {
                // Frames keep their order: what waits goes first.
                if !self.sends.is_empty() || !self.send(pending, memory, done) {
                    self.sends.push_back(pending);
                }
            }
            Opcode::NetReceive if pending.buffer.len() < self.shortest_receive() => {
                done.post(pending.user_data, Err(Status::Invalid));
            }
            // Read by `advance`, so that a guest that posts many buffers does not pay for a look at the interface with each.
            Opcode::NetReceive => self.receives.push_back(pending),
            Opcode::NetLink => self.ask_link(request, done),
            _ => done.post(pending.user_data, Err(Status::BadDevice)),
        }
    }

    fn advance(&mut self, memory: &Arc<Memory>, done: &mut dyn Completions) {
        while let Some(&pending) = self.sends.front() {
            if !self.send(pending, memory, done) {
                break;
            }
            self.sends.pop_front();
        }
        let before = self.counters.requests_in;
        self.receive(memory, done);
        // While frames come, nobody is kept waiting for this: it is still there when none does.
        if let Some((_, known)) = self.link_request
            && self.counters.requests_in == before
        {
            self.tell_link(done, |link| link.is_other_than(known));
        }
    }

    fn wait_for(&self, wanted: &mut Vec<(RawFd, libc::c_short)>) {
        let mut events = 0;
        if !self.receives.is_empty() && !self.gone {
            events |= libc::POLLIN;
        }
        if !self.sends.is_empty() {
            events |= libc::POLLOUT;
        }
        if events != 0 {
            wanted.push((self.tap.fd(), events));
        }
        if let Some(link) = self.link.as_ref().filter(|_| self.link_request.is_some()) {
            wanted.push((link.fd(), libc::POLLIN));
        }
    }

    fn expects_more(&mut self) -> Duration {
        let expects = std::mem::take(&mut self.came) && !self.receives.is_empty() && !self.gone;
        if expects { SPIN } else { Duration::ZERO }
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod attach_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;
