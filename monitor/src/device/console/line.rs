//! What is at the host's end of a console: two descriptors, or those who watch it.

use super::input::Input;
use super::output::Output;
use super::watchers::Watchers;
use crate::config::ConsoleConfig;
use crate::error::{Error, ErrorKind, plain};
use crate::interrupt::Interrupts;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use vm_memory::VolatileSlice;

/// The host's end.
#[derive(Debug)]
pub(super) enum Line {
    /// Where input comes from and where output goes to.
    Descriptors { input: Input, output: Output },
    /// Anyone who joins.
    Watched(Box<Watchers>),
}

impl Line {
    /// As [`Console::new`](super::Console::new).
    pub(super) fn open(config: &ConsoleConfig, interrupts: &mut Interrupts) -> Result<Self, Error> {
        Ok(match config {
            ConsoleConfig::Descriptors { input, output, raw } => {
                Self::Descriptors { output: Output::new(*output), input: Input::new(*input, *raw)? }
            }
            ConsoleConfig::Null => Self::Descriptors { output: Output::nowhere(), input: Input::none() },
            ConsoleConfig::File(path) => {
                let output = Output::append_to(path).map_err(|error| bad_file(path, &error))?;
                Self::Descriptors { output, input: Input::none() }
            }
            ConsoleConfig::Unix(path) => Self::Watched(Box::new(Watchers::listen(path, interrupts)?)),
            ConsoleConfig::Pty => Self::Watched(Box::new(Watchers::on_terminal(interrupts)?)),
        })
    }

    /// Writes what the host takes now of `from`, which is not empty: at least a byte, or `WouldBlock`.
    pub(super) fn write(&mut self, from: &VolatileSlice<'_>) -> io::Result<usize> {
        match self {
            Self::Descriptors { output, .. } => output.write(from),
            Self::Watched(watchers) => Ok(watchers.write(from)),
        }
    }

    /// Reads what is there: 0 bytes at the end, or `WouldBlock`.
    pub(super) fn read(&mut self, into: &VolatileSlice<'_>) -> io::Result<usize> {
        match self {
            Self::Descriptors { input, .. } => input.read(into),
            Self::Watched(watchers) => watchers.read(into),
        }
    }

    /// In raw mode, takes the keys that have been pressed.
    pub(super) fn take_keys(&mut self) {
        if let Self::Descriptors { input, .. } = self {
            input.advance();
        }
    }

    /// Looks after those who watch, when a signal has told that one of them has done something.
    pub(super) fn attend(&mut self) {
        if let Self::Watched(watchers) = self {
            watchers.attend();
        }
    }

    /// Whether input and output are terminals.
    pub(super) fn terminals(&self) -> (bool, bool) {
        match self {
            Self::Descriptors { input, output } => (input.is_terminal(), output.is_terminal()),
            Self::Watched(watchers) => (watchers.are_on_terminal(), watchers.are_on_terminal()),
        }
    }

    /// Whether Ctrl-] has been pressed in raw mode.
    pub(super) fn escaped(&self) -> bool {
        matches!(self, Self::Descriptors { input, .. } if input.escaped())
    }

    /// What is to be polled before [`write`](Self::write) can get further.
    pub(super) fn wait_for_output(&self) -> (RawFd, libc::c_short) {
        match self {
            Self::Descriptors { output, .. } => (output.fd(), libc::POLLOUT),
            Self::Watched(watchers) => watchers.wait_for_turn(),
        }
    }

    /// What is to be polled for input, if anything; `reading`: a request waits for it.
    pub(super) fn wait_for_input(&self, reading: bool) -> Option<(RawFd, libc::c_short)> {
        match self {
            Self::Descriptors { input, .. } => Some((input.wait_for(reading)?, libc::POLLIN)),
            // A signal tells of it.
            Self::Watched(_) => None,
        }
    }
}

fn bad_file(path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    // open(2): a FIFO that nobody has opened to read.
    if error.raw_os_error() == Some(libc::ENXIO) {
        let sentence = format!("--console: nobody reads {path}: start its reader first, or name a file");
        return Error::new(ErrorKind::HostIo, sentence);
    }
    let sentence = format!(
        "--console: {path} cannot be written ({}): name a file in a directory of yours",
        plain(error)
    );
    Error::new(ErrorKind::of_file(error), sentence)
}
