//! One who watches a console: an end of a socket, or a pseudo-terminal.

use super::super::nowait;
use super::history::History;
use crate::stderr::program;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use vm_memory::VolatileSlice;

/// Bytes that are taken from the history at a time.
const PIECE: usize = 16 << 10;
/// Bytes that are read at a time.
const READ: usize = 1 << 10;

/// One who watches.
#[derive(Debug)]
pub(super) struct Watcher {
    /// Does not wait.
    fd: OwnedFd,
    kind: Kind,
    /// The place in the history of what it gets next.
    next: u64,
    /// What it gets before that.
    unsent: Vec<u8>,
    /// It may still send something.
    may_send: bool,
    /// Nobody reads at the other end. What was sent from there before counts.
    is_gone: bool,
}

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A connection, which gets the bytes as they are.
    Connection,
    /// The master of a pseudo-terminal. What it gets counts as typed there, so that no terminal puts a carriage return before a newline.
    Terminal,
}

impl Watcher {
    /// One who is to get the output from place `next` on.
    pub(super) fn new(fd: OwnedFd, kind: Kind, next: u64) -> Self {
        Self { fd, kind, next, unsent: Vec::new(), may_send: true, is_gone: false }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Whether it can be forgotten: it has gone, and all that it has sent is taken.
    pub(super) fn is_over(&self) -> bool {
        self.is_gone && !self.may_send
    }

    /// Whether it has gone, even if something that it has sent is still to be taken.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Sends what it takes now.
    pub(super) fn send(&mut self, history: &History) {
        let mut asked = false;
        while !self.is_gone && self.has_unsent(history) {
            match nowait::write_plainly(self.fd(), &VolatileSlice::from(self.unsent.as_mut_slice())) {
                Ok(sent) => {
                    self.unsent.drain(..sent);
                    asked = false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The signal that tells of room comes only for room that was made after this failure: what was made just before
                    // it has to be looked for.
                    if asked || !nowait::is_ready(self.fd(), libc::POLLOUT) {
                        return;
                    }
                    asked = true;
                }
                Err(_) => self.is_gone = true,
            }
        }
    }

    /// Tells it `why` it cannot stay.
    pub(super) fn refuse(self, why: &str) {
        let mut why = why.as_bytes().to_vec();
        // A connection that is new has room.
        let _ = nowait::write_plainly(self.fd(), &VolatileSlice::from(why.as_mut_slice()));
    }

    /// Whether it is worth to wait for it when the guest has ended: it has not all, and what it has not is still there.
    pub(super) fn is_awaited(&self, history: &History) -> bool {
        !self.is_gone && self.next >= history.start() && self.untaken(history) > 0
    }

    /// How many bytes it has not taken yet.
    pub(super) fn untaken(&self, history: &History) -> u64 {
        history.end().saturating_sub(self.next) + self.unsent.len() as u64
    }

    /// Whether there is something to send. If so, it is in `unsent`.
    fn has_unsent(&mut self, history: &History) -> bool {
        if !self.unsent.is_empty() {
            return true;
        }
        if self.next < history.start() {
            let from = history.first_line();
            let left_out = from - self.next;
            self.unsent = format!("\r\n[{}: {left_out} bytes left out]\r\n", program()).into_bytes();
            self.next = from;
            return true;
        }
        for byte in history.read(self.next, PIECE) {
            if self.kind == Kind::Terminal && byte == b'\n' {
                self.unsent.push(b'\r');
            }
            self.unsent.push(byte);
            self.next += 1;
        }
        !self.unsent.is_empty()
    }

    /// Takes what it has sent into `keys`, of which there may be `most`.
    pub(super) fn receive(&mut self, keys: &mut VecDeque<u8>, most: usize) {
        let mut buffer = [0; READ];
        while self.may_send {
            let room = most.saturating_sub(keys.len()).min(READ);
            let Some(into) = buffer.get_mut(..room).filter(|into| !into.is_empty()) else { break };
            match nowait::read_plainly(self.fd(), &VolatileSlice::from(&mut *into)) {
                Ok(0) => self.may_send = false,
                Ok(count) => keys.extend(into.iter().take(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => (self.may_send, self.is_gone) = (false, true),
            }
        }
        // Both directions are closed: nothing that is asked for, but always told.
        self.is_gone |= nowait::is_ready(self.fd(), 0);
    }
}
