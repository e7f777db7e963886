//! Pseudo-terminals: pty(7).

use super::super::nowait;
use super::terminal;
use crate::syscall::check;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

/// A pseudo-terminal: the master, and an end for programs that is held open, so that what nobody has read yet is kept.
#[derive(Debug)]
pub(super) struct PseudoTerminal {
    master: File,
    end: Option<OwnedFd>,
    path: String,
}

impl PseudoTerminal {
    /// Opens a new one, in raw mode.
    pub(super) fn open() -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(libc::O_NOCTTY);
        let master = options.open("/dev/ptmx")?;
        let mut number: libc::c_uint = 0;
        // SAFETY: the request writes one unsigned int to `number`.
        check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) })?;
        let locked: libc::c_int = 0;
        // SAFETY: the request reads one int from `locked`.
        check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) })?;
        let end = open_end(&master)?;
        // Else it would echo what the guest prints, as input.
        terminal::make_raw(end.as_raw_fd())?;
        Ok(Self { master, end: Some(end), path: format!("/dev/pts/{number}") })
    }

    /// Another descriptor of the master.
    pub(super) fn master(&self) -> io::Result<OwnedFd> {
        Ok(self.master.try_clone()?.into())
    }

    /// The path of the end for programs.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// An end for programs, if a program has one open.
    pub(super) fn other_end(&mut self) -> Option<End> {
        // Without one of ours the master tells whether there is another.
        self.end = None;
        let is_alone = nowait::is_ready(self.master.as_raw_fd(), 0);
        if is_alone { None } else { open_end(&self.master).ok().map(End) }
    }
}

/// An end for programs. What is unread when the master is closed is lost.
#[derive(Debug)]
pub(super) struct End(OwnedFd);

impl End {
    /// Whether there is something that no program has read. Unlike FIONREAD, this also sees what the kernel has not passed on yet.
    pub(super) fn has_unread(&self) -> bool {
        nowait::is_ready(self.0.as_raw_fd(), libc::POLLIN)
    }

    /// How many bytes of that the kernel has passed on, and no program has read; 0 where it does not say.
    pub(super) fn unread(&self) -> u64 {
        let mut count: libc::c_int = 0;
        // SAFETY: the request writes one int to `count`.
        let told = check(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::FIONREAD, &raw mut count) });
        told.map_or(0, |_| count.try_into().unwrap_or(0))
    }
}

impl AsRawFd for PseudoTerminal {
    /// The master.
    fn as_raw_fd(&self) -> RawFd {
        self.master.as_raw_fd()
    }
}

/// Opens the end for programs, also where its path is in another mount namespace.
fn open_end(master: &File) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the request takes flags as its argument, and no pointer.
    let end: RawFd = check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: `end` is a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(end) })
}
