//! Where the console's output goes, without ever waiting for a reader.

use super::super::nowait;
use super::terminal;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use vm_memory::VolatileSlice;

/// The host's side of the output.
#[derive(Debug)]
pub(crate) struct Output {
    fd: RawFd,
    /// A description of our own of the same terminal, or of a file that we opened.
    own: Option<OwnedFd>,
    way: Way,
    is_terminal: bool,
}

/// How to write without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Plainly: a regular file, or a description that is ours to make non-blocking.
    Plain,
    /// With RWF_NOWAIT: pipes and sockets on a current kernel.
    NoWait,
    /// After `poll`, and no more than PIPE_BUF, which a pipe that polls as writable takes at once.
    Polled,
    /// Not at all: it is lost.
    Nowhere,
}

impl Output {
    /// Writes to `fd`, which stays as it is. Nothing is written yet.
    pub(crate) fn new(fd: RawFd) -> Self {
        let kind = terminal::status(fd).map(|status| status.st_mode & libc::S_IFMT);
        let is_terminal = kind == Some(libc::S_IFCHR) && terminal::is_terminal(fd);
        let own = if is_terminal { terminal::reopen(fd, libc::O_WRONLY) } else { None };
        let way = match kind {
            Some(libc::S_IFREG) => Way::Plain,
            _ if own.is_some() => Way::Plain,
            _ if is_terminal => Way::Polled,
            _ => Way::NoWait,
        };
        Self { fd, own, way, is_terminal }
    }

    /// Output that nobody gets.
    pub(super) fn nowhere() -> Self {
        Self { fd: -1, own: None, way: Way::Nowhere, is_terminal: false }
    }

    /// Writes behind what is in a file, which is made if there is none.
    pub(super) fn append_to(path: &Path) -> io::Result<Self> {
        // The opening of a FIFO or a modem must not wait either.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = File::options().append(true).create(true).custom_flags(flags).open(path)?;
        let is_terminal = terminal::is_terminal(file.as_raw_fd());
        Ok(Self { fd: file.as_raw_fd(), own: Some(file.into()), way: Way::Plain, is_terminal })
    }

    /// Whether a terminal is behind it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// The descriptor to `poll`.
    pub(crate) fn fd(&self) -> RawFd {
        self.own.as_ref().map_or(self.fd, AsRawFd::as_raw_fd)
    }

    /// Writes what the host takes now of `from`, which is not empty: at least a byte, or `WouldBlock`.
    pub(crate) fn write(&mut self, from: &VolatileSlice<'_>) -> io::Result<usize> {
        match self.write_descriptor(from)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }

    fn write_descriptor(&mut self, from: &VolatileSlice<'_>) -> io::Result<usize> {
        if self.way == Way::NoWait {
            match nowait::write(self.fd, from) {
                Err(error) if nowait::is_unknown(&error) => self.way = Way::Polled,
                result => return result,
            }
        }
        if self.way == Way::Nowhere {
            return Ok(from.len());
        }
        if self.way == Way::Plain {
            return nowait::write_plainly(self.fd(), from);
        }
        if !nowait::is_ready(self.fd(), libc::POLLOUT) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let piece = from.subslice(0, from.len().min(libc::PIPE_BUF)).unwrap_or(*from);
        nowait::write_plainly(self.fd(), &piece)
    }
}
