//! What the monitor says on standard error, whose reader may have gone, or may never read: neither ends or holds up anything else.

use std::fmt::Display;
use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long the reader of a line is waited for where something else must go on, as long as nobody could want it shorter or longer.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// What this program is called, where that is not its own name.
static NAME: OnceLock<&str> = OnceLock::new();

/// Has all that is said from now on begin with `name`. The first call counts.
pub fn call_program(name: &'static str) {
    let _ = NAME.set(name);
}

/// What this program is called.
pub(crate) fn program() -> &'static str {
    NAME.get().unwrap_or(&"ukvm-run")
}

/// Says `what`, with the program's name before it. Waits for a reader until `until`; `None`: as long as that takes, or until a
/// signal ends the process. What was not taken by then is lost, as there is nowhere to say so.
pub fn say(what: &dyn Display, until: Option<Instant>) {
    write(libc::STDERR_FILENO, format!("{}: {what}\n", program()).as_bytes(), until);
}

/// [`say`] that waits for [`PATIENCE`] at most.
pub fn say_briefly(what: &dyn Display) {
    say(what, Some(Instant::now() + PATIENCE));
}

/// Prints whole lines as they are, and waits for their reader for [`PATIENCE`] at most.
pub fn print_briefly(lines: &str) {
    write(libc::STDERR_FILENO, lines.as_bytes(), Some(Instant::now() + PATIENCE));
}

fn write(fd: RawFd, mut bytes: &[u8], until: Option<Instant>) {
    while !bytes.is_empty() && wait(fd, until) {
        // What is ready takes so much without waiting, if it is a pipe.
        let piece = bytes.get(..libc::PIPE_BUF).unwrap_or(bytes);
        // SAFETY: the slice is live and of this length.
        let written = unsafe { libc::write(fd, piece.as_ptr().cast(), piece.len()) };
        match usize::try_from(written) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(_) if is_passing(&io::Error::last_os_error()) => {}
            Err(_) => return,
        }
    }
}

/// Waits until `fd` can be written to, or has failed; `false`: it was not until `until`.
fn wait(fd: RawFd, until: Option<Instant>) -> bool {
    let mut entry = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let milliseconds = left.map_or(-1, |left| left.as_millis().try_into().unwrap_or(libc::c_int::MAX));
        // SAFETY: one live entry.
        match unsafe { libc::poll(&raw mut entry, 1, milliseconds) } {
            0 => return false,
            -1 if is_passing(&io::Error::last_os_error()) => {}
            _ => return true,
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::testing::pipe;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_reader_that_does_not_read_is_not_waited_for_longer_than_told() {
        let (reader, writer) = pipe();
        let start = Instant::now();
        write(writer.as_raw_fd(), &vec![b'x'; 1 << 20], Some(start + Duration::from_millis(50)));
        assert!((40..10_000).contains(&start.elapsed().as_millis()));
        drop(writer);
        let mut taken = Vec::new();
        File::from(reader).read_to_end(&mut taken).unwrap();
        assert!(!taken.is_empty() && taken.len() < 1 << 20);
    }

    #[test]
    fn a_slow_reader_gets_everything() {
        let (reader, writer) = pipe();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            let mut taken = Vec::new();
            File::from(reader).read_to_end(&mut taken).map(|_| taken)
        });
        let text: Vec<u8> = (0..300_000).map(|i| i as u8).collect();
        write(writer.as_raw_fd(), &text, None);
        drop(writer);
        assert!(thread.join().unwrap().unwrap() == text);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let (reader, writer) = pipe();
        drop(reader);
        write(writer.as_raw_fd(), b"nobody hears", None);
        write(-1, b"nobody hears", Some(Instant::now()));
    }
}
