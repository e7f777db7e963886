//! Those who watch a console: who connect to its socket, or have its pseudo-terminal open.
//!
//! The guest waits for none of them: its output goes to the [`History`], and from there to each as far as it takes it. The kernel tells
//! by SIGIO when one of them has joined, typed, left, or has room again, which also interrupts a guest that computes.

use super::super::nowait;
use super::history::History;
use super::pseudo_terminal::PseudoTerminal;
use super::watcher::{Kind, Watcher};
use crate::error::{Error, host};
use crate::interrupt::{self, Interrupts};
use crate::local_socket::Listener;
use crate::stderr::{PATIENCE, program, say_briefly};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use vm_memory::VolatileSlice;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Who may watch at once.
pub(crate) const MOST: usize = 16;
/// Input that is kept for a guest that does not read: as much as a terminal of Linux keeps.
const KEYS: usize = 4096;
/// Output that is taken at a time: what has to be sent before the history forgets it.
const PIECE: usize = 16 << 10;

/// How long a guest's end waits at most for those who take the last output, each time a part of it within [`PATIENCE`].
const LONGEST: Duration = Duration::from_secs(5);
/// How often it is looked whether a terminal has been read.
const STEP: Duration = Duration::from_millis(1);
/// How long a terminal must look as if it had been read. A program in the middle of reading (`n_tty_read` of Linux) has emptied one
/// buffer of the kernel before that is filled from the next, which cannot be seen, and may have to wait for a processor in between.
const QUIET: Duration = Duration::from_millis(100);

/// A console that is watched.
#[derive(Debug)]
pub(super) struct Watchers {
    place: Place,
    watchers: Vec<Watcher>,
    history: History,
    keys: VecDeque<u8>,
    /// Can always be written to: for output that is to go on once others have had their turn.
    turn: EventFd,
}

/// Where they find it.
#[derive(Debug)]
enum Place {
    Socket(Listener),
    Terminal(PseudoTerminal),
}

impl AsRawFd for Place {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Socket(listener) => listener.as_raw_fd(),
            Self::Terminal(terminal) => terminal.as_raw_fd(),
        }
    }
}

impl Watchers {
    /// A console for those who connect to the socket `path`.
    pub(super) fn listen(path: &Path, interrupts: &mut Interrupts) -> Result<Self, Error> {
        let mut this = Self::at(Place::Socket(Listener::bind(path)?), interrupts)?;
        // Whoever has come before it is in force is found without a signal.
        this.attend();
        Ok(this)
    }

    /// A console on a pseudo-terminal of its own, whose name is told on standard error.
    pub(super) fn on_terminal(interrupts: &mut Interrupts) -> Result<Self, Error> {
        let terminal = PseudoTerminal::open().map_err(|error| host("open a pseudo-terminal", &error))?;
        let mut this = Self::at(Place::Terminal(terminal), interrupts)?;
        if let Place::Terminal(terminal) = &this.place {
            let master = terminal.master().map_err(|error| host("share a pseudo-terminal", &error))?;
            this.watchers.push(Watcher::new(master, Kind::Terminal, 0));
            say_briefly(&format_args!("the console is {}", terminal.path()));
        }
        Ok(this)
    }

    fn at(place: Place, interrupts: &mut Interrupts) -> Result<Self, Error> {
        let failed = |error: io::Error| host("wait for those who watch the console", &error);
        interrupts.catch_readiness().map_err(failed)?;
        interrupt::signal_when_ready(place.as_raw_fd()).map_err(failed)?;
        let turn = EventFd::new(EFD_NONBLOCK | libc::EFD_CLOEXEC).map_err(failed)?;
        Ok(Self { place, watchers: Vec::new(), history: History::default(), keys: VecDeque::new(), turn })
    }

    /// Whether it is a terminal.
    pub(super) fn are_on_terminal(&self) -> bool {
        matches!(self.place, Place::Terminal(_))
    }

    /// Takes some of `from`, and sends it to everyone as far as that is possible.
    pub(super) fn write(&mut self, from: &VolatileSlice<'_>) -> usize {
        let mut piece = [0; PIECE];
        let count = from.copy_to(&mut piece);
        self.history.push(piece.get(..count).unwrap_or_default());
        self.send();
        count
    }

    /// What is to be polled before more output is taken.
    pub(super) fn wait_for_turn(&self) -> (RawFd, libc::c_short) {
        (self.turn.as_raw_fd(), libc::POLLOUT)
    }

    /// Reads what they have typed, or `WouldBlock`.
    pub(super) fn read(&mut self, into: &VolatileSlice<'_>) -> io::Result<usize> {
        let was_full = self.keys.len() >= KEYS;
        if self.keys.is_empty() && !into.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.keys.len().min(into.len());
        into.copy_from(self.keys.drain(..count).collect::<Vec<u8>>().as_slice());
        if was_full {
            // What had to be left with them came without a further signal.
            self.receive();
        }
        Ok(count)
    }

    /// Lets in who has come, takes what they have typed, sends what they have room for, and forgets who has gone.
    pub(super) fn attend(&mut self) {
        self.receive();
        self.let_in();
        self.send();
    }

    fn let_in(&mut self) {
        let Place::Socket(listener) = &self.place else { return };
        while let Some(connection) = listener.accept() {
            let from = self.history.first_line();
            let mut watcher = Watcher::new(connection, Kind::Connection, from);
            if self.watchers.len() >= MOST
                && let Some(gone) = self.watchers.iter().position(Watcher::is_gone)
            {
                // Who is there counts more than the input of one who is not, and for which there was no room.
                drop(self.watchers.remove(gone));
            }
            if self.watchers.len() >= MOST {
                watcher.refuse(&refusal());
            } else if interrupt::signal_when_ready(watcher.fd()).is_ok() {
                // What it has sent before comes without a signal.
                watcher.receive(&mut self.keys, KEYS);
                self.watchers.push(watcher);
            }
        }
    }

    fn receive(&mut self) {
        self.watchers.iter_mut().for_each(|watcher| watcher.receive(&mut self.keys, KEYS));
        self.forget();
    }

    fn send(&mut self) {
        self.watchers.iter_mut().for_each(|watcher| watcher.send(&self.history));
        self.forget();
    }

    fn forget(&mut self) {
        self.watchers.retain(|watcher| !watcher.is_over());
    }
}

/// All that one gets for whom there is no room.
pub(crate) fn refusal() -> String {
    format!("{}: {MOST} others watch this console already\r\n", program())
}

impl Drop for Watchers {
    /// Gives everyone the last output, and the time to take it, but those who were too slow before.
    fn drop(&mut self) {
        self.attend();
        let terminal = match &mut self.place {
            Place::Socket(_) => None,
            Place::Terminal(terminal) => match terminal.other_end() {
                Some(end) => Some(end),
                None => return,
            },
        };
        let latest = Instant::now() + LONGEST;
        // What there was to be taken at the last look, and since when that is so.
        let (mut before, mut since) = (None, Instant::now());
        loop {
            let now = Instant::now();
            let awaited = self.watchers.iter().filter(|watcher| watcher.is_awaited(&self.history));
            let untaken: u64 = awaited.clone().map(|watcher| watcher.untaken(&self.history)).sum();
            let awaited: Vec<_> = awaited.map(|watcher| (watcher.fd(), libc::POLLOUT)).collect();
            let left = (untaken, terminal.as_ref().map(|end| (end.has_unread(), end.unread())));
            if before.replace(left) != Some(left) {
                since = now;
            }
            let is_taken = awaited.is_empty() && left.1.is_none_or(|(has_unread, _)| !has_unread);
            let patience = match terminal {
                None if is_taken => return,
                Some(_) if is_taken => QUIET,
                _ => PATIENCE,
            };
            let until = latest.min(since + patience);
            if now >= until {
                return;
            }
            match terminal {
                None => drop(nowait::is_any_ready_within(&awaited, until - now)),
                Some(_) => thread::sleep(STEP),
            }
            self.send();
        }
    }
}

#[cfg(test)]
#[path = "watchers_tests.rs"]
mod tests;
