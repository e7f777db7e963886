//! Where the console's input comes from, without ever waiting for it.

use super::super::nowait;
use super::terminal::{self, ESCAPE, EscapeKey, RawMode};
use crate::error::Error;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use vm_memory::VolatileSlice;

/// Keys kept in raw mode for a guest that does not read: as many as a terminal of Linux keeps.
const KEYS: usize = 4096;

/// The host's side of the input.
#[derive(Debug)]
pub(crate) struct Input {
    fd: RawFd,
    /// A description of our own of the same terminal.
    own: Option<OwnedFd>,
    way: Way,
    is_terminal: bool,
    at_end: bool,
    raw: Option<Raw>,
}

/// How to read without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Plainly: a regular file, or a description that is ours to make non-blocking.
    Plain,
    /// With RWF_NOWAIT: pipes and sockets on a current kernel.
    NoWait,
    /// After `poll`.
    Polled,
}

/// Raw mode looks at each key for Ctrl-] before the guest asks for it.
#[derive(Debug)]
struct Raw {
    _mode: RawMode,
    keys: VecDeque<u8>,
    escaped: bool,
}

impl Input {
    /// Reads from `fd`, which stays as it is; nothing if it is not open. `raw` as in
    /// [`ConsoleConfig`](crate::config::ConsoleConfig).
    pub(crate) fn new(fd: RawFd, raw: bool) -> Result<Self, Error> {
        let raw = if raw {
            Some(Raw {
                _mode: RawMode::enter(fd, EscapeKey::Interrupts)?,
                keys: VecDeque::new(),
                escaped: false,
            })
        } else {
            None
        };
        let kind = terminal::status(fd).map(|status| status.st_mode & libc::S_IFMT);
        let is_terminal = kind == Some(libc::S_IFCHR) && terminal::is_terminal(fd);
        let own = if is_terminal { terminal::reopen(fd, libc::O_RDONLY) } else { None };
        let way = match kind {
            Some(libc::S_IFREG) => Way::Plain,
            _ if own.is_some() => Way::Plain,
            _ if is_terminal => Way::Polled,
            _ => Way::NoWait,
        };
        Ok(Self { fd, own, way, is_terminal, at_end: kind.is_none(), raw })
    }

    /// Input that has ended.
    pub(super) fn none() -> Self {
        Self { fd: -1, own: None, way: Way::Plain, is_terminal: false, at_end: true, raw: None }
    }

    /// The descriptor to `poll`.
    fn fd(&self) -> RawFd {
        self.own.as_ref().map_or(self.fd, AsRawFd::as_raw_fd)
    }

    /// The descriptor to `poll`, if there is something to wait for. `reading`: a request waits for input.
    pub(crate) fn wait_for(&self, reading: bool) -> Option<RawFd> {
        let wanted = match &self.raw {
            Some(raw) => raw.keys.len() < KEYS,
            None => reading,
        };
        (wanted && !self.at_end).then(|| self.fd())
    }

    /// Whether a terminal is behind it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Whether Ctrl-] has been pressed.
    pub(super) fn escaped(&self) -> bool {
        self.raw.as_ref().is_some_and(|raw| raw.escaped)
    }

    /// In raw mode, takes the keys that have been pressed.
    pub(super) fn advance(&mut self) {
        let Some(raw) = &self.raw else { return };
        let mut keys = [0; 256];
        let room = KEYS.saturating_sub(raw.keys.len()).min(keys.len());
        let Some(free) = keys.get_mut(..room) else { return };
        // A terminal fails in no other way than by having nothing now.
        let count = self.read_host(&VolatileSlice::from(free)).unwrap_or(0);
        if let Some(raw) = &mut self.raw {
            let keys = keys.get(..count).unwrap_or_default();
            raw.escaped |= keys.contains(&ESCAPE);
            raw.keys.extend(keys.iter().filter(|&&key| key != ESCAPE));
        }
    }

    /// Reads what is there: 0 bytes at the end, or `WouldBlock`.
    pub(crate) fn read(&mut self, into: &VolatileSlice<'_>) -> io::Result<usize> {
        self.advance();
        let Some(raw) = &mut self.raw else { return self.read_host(into) };
        if raw.keys.is_empty() && !self.at_end {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = raw.keys.len().min(into.len());
        into.copy_from(raw.keys.drain(..count).collect::<Vec<u8>>().as_slice());
        Ok(count)
    }

    fn read_host(&mut self, into: &VolatileSlice<'_>) -> io::Result<usize> {
        if self.at_end {
            return Ok(0);
        }
        let result = self.read_descriptor(into);
        match &result {
            Ok(0) if !into.is_empty() => self.at_end = true,
            // A terminal that has gone, or that we may not read as a job in the background: no more will come.
            Err(error) if self.is_terminal && error.kind() != io::ErrorKind::WouldBlock => {
                self.at_end = true;
                return Ok(0);
            }
            _ => {}
        }
        result
    }

    fn read_descriptor(&mut self, into: &VolatileSlice<'_>) -> io::Result<usize> {
        if self.way == Way::NoWait {
            match nowait::read(self.fd, into) {
                Err(error) if nowait::is_unknown(&error) => self.way = Way::Polled,
                result => return result,
            }
        }
        if self.way == Way::Polled && !nowait::is_ready(self.fd(), libc::POLLIN) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        nowait::read_plainly(self.fd(), into)
    }
}
