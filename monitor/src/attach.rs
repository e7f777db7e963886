//! `ukvm-run attach`: joins the console of a guest that runs with `--console unix:PATH`.

use crate::device::console::input::Input;
use crate::device::console::output::Output;
use crate::device::console::terminal::{ESCAPE, EscapeKey, RawMode, is_terminal};
use crate::device::console::watchers::{MOST, refusal};
use crate::device::nowait::{is_any_ready_within, is_ready_within};
use crate::error::{Error, ErrorKind, plain};
use crate::local_socket;
use crate::outcome::Cause;
use crate::stderr::{PATIENCE, print_briefly, say_briefly};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;
use vm_memory::VolatileSlice;

/// The most bytes that are on their way in one direction: the kernel keeps more besides.
const BUFFER: usize = 16 << 10;

/// Shows the console at the socket `path` on standard output, and gives it standard input, until one of them ends it: Ctrl-] on a
/// terminal, the guest's end, or that nobody reads the output any more. The end of an input that is no terminal ends nothing. Gives
/// the exit status.
///
/// # Errors
///
/// One sentence where there is no such console, no room at it, or the host fails.
pub fn attach(path: &Path) -> Result<u8, Error> {
    let console = local_socket::connect(path)?;
    let on_terminal = is_terminal(libc::STDIN_FILENO);
    let leave = if on_terminal { "; Ctrl-] leaves it" } else { "" };
    say_briefly(&format_args!("attached to {}{leave}", path.display()));
    let raw = if on_terminal { Some(RawMode::enter(libc::STDIN_FILENO, EscapeKey::IsRead)?) } else { None };
    let end = watch(&console, on_terminal);
    drop(raw);
    let why = match end? {
        End::Left => "detached, and the guest runs on",
        End::Closed => "the console is closed: the guest has ended",
        End::OutputClosed => return Ok(Cause::OutputClosed.status()),
        End::Refused => {
            let sentence = format!(
                "{MOST} others watch {} already: have one of them leave, and attach again",
                path.display()
            );
            return Err(Error::new(ErrorKind::BadConfig, sentence));
        }
    };
    if is_terminal(libc::STDOUT_FILENO) && is_terminal(libc::STDERR_FILENO) {
        // The cursor may be in the middle of one of the guest's lines.
        print_briefly("\n");
    }
    say_briefly(&why);
    Ok(0)
}

/// Why nobody watches any more.
enum End {
    /// The user has left.
    Left,
    /// The other end has closed it.
    Closed,
    /// Nobody reads standard output.
    OutputClosed,
    /// There is no room for one more.
    Refused,
}

/// Copies both ways; `on_terminal`: the input is one, where Ctrl-] leaves.
fn watch(console: &OwnedFd, on_terminal: bool) -> Result<End, Error> {
    let mut typed = Flow::new(libc::STDIN_FILENO, console.as_raw_fd())?;
    let mut shown = Flow::new(console.as_raw_fd(), libc::STDOUT_FILENO)?;
    let refusal = refusal();
    let (mut begun, mut told) = (false, false);
    loop {
        shown.read();
        if !begun && shown.bytes.iter().eq(refusal.as_bytes()) {
            // A guest can print the same. But from one who refuses nothing else comes than the end, and that at once.
            shown.wait_for_input(PATIENCE);
            shown.read();
            if shown.ended && shown.bytes.len() == refusal.len() {
                return Ok(End::Refused);
            }
        }
        begun |= !shown.bytes.is_empty();
        match shown.write() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::OutputClosed),
            Err(error) => {
                let sentence = format!(
                    "standard output cannot be written ({}); direct it to where there is room",
                    plain(&error)
                );
                return Err(Error::new(ErrorKind::HostIo, sentence));
            }
        }
        if shown.has_ended() {
            return Ok(End::Closed);
        }

        typed.read();
        let left = on_terminal && typed.cut_at(ESCAPE);
        if typed.write().is_err() {
            // The console is closed, which is found when it is read.
            typed.bytes.clear();
        }
        if left {
            return Ok(End::Left);
        }
        if on_terminal && typed.is_full() {
            // The guest does not read. That what was typed is lost is better than not to see Ctrl-].
            typed.bytes.clear();
        }
        if typed.has_ended() && !told {
            // SAFETY: the call has no preconditions. That it fails means that nobody is there to be told.
            unsafe { libc::shutdown(console.as_raw_fd(), libc::SHUT_WR) };
            told = true;
        }
        // Whatever ends the wait is found by looking.
        let wanted: Vec<_> = typed.wait_for().chain(shown.wait_for()).collect();
        is_any_ready_within(&wanted, Duration::MAX);
    }
}

/// One direction.
struct Flow {
    from: Input,
    to: Output,
    /// What has been read and not been written.
    bytes: VecDeque<u8>,
    /// The input has ended.
    ended: bool,
}

impl Flow {
    fn new(from: RawFd, to: RawFd) -> Result<Self, Error> {
        Ok(Self { from: Input::new(from, false)?, to: Output::new(to), bytes: VecDeque::new(), ended: false })
    }

    /// Whether all has been read and written.
    fn has_ended(&self) -> bool {
        self.ended && self.bytes.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BUFFER
    }

    /// Reads what is there, as far as there is room.
    fn read(&mut self) {
        let mut buffer = [0; BUFFER];
        let room = BUFFER.saturating_sub(self.bytes.len());
        let Some(into) = buffer.get_mut(..room).filter(|into| !into.is_empty() && !self.ended) else {
            return;
        };
        match self.from.read(&VolatileSlice::from(&mut *into)) {
            Ok(count @ 1..) => self.bytes.extend(into.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => self.ended = true,
        }
    }

    /// Writes what is taken now.
    fn write(&mut self) -> io::Result<()> {
        while !self.bytes.is_empty() {
            match self.to.write(&VolatileSlice::from(self.bytes.make_contiguous())) {
                Ok(count) => drop(self.bytes.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Forgets what was read from the first `key` on; whether there was one.
    fn cut_at(&mut self, key: u8) -> bool {
        let place = self.bytes.iter().position(|&byte| byte == key);
        self.bytes.truncate(place.unwrap_or(usize::MAX));
        place.is_some()
    }

    /// Waits for more input.
    fn wait_for_input(&self, time: Duration) {
        if let Some(fd) = self.from.wait_for(!self.ended) {
            is_ready_within(fd, libc::POLLIN, time);
        }
    }

    /// What must happen before it can get further.
    fn wait_for(&self) -> impl Iterator<Item = (RawFd, libc::c_short)> {
        let input = self.from.wait_for(!self.ended && !self.is_full()).map(|fd| (fd, libc::POLLIN));
        let output = (!self.bytes.is_empty()).then(|| (self.to.fd(), libc::POLLOUT));
        input.into_iter().chain(output)
    }
}
