//! What is measured: a guest or a floor that runs for a turn, says on its output how far it is, and is killed in the end.

use crate::error::Error;
use crate::program::Program;
use crate::session::Session;
use crate::turn::{Turn, a_pipe};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{PipeReader, Read};
use std::time::Instant;

/// How often a wait looks whether the user still wants it.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Bytes of a line, of which the longest has some dozens.
const LONGEST_LINE: usize = 4096;

/// A program that was started and is ready.
#[derive(Debug)]
pub(super) struct Subject {
    turn: Turn,
    output: PipeReader,
    /// What has been read of its output and not been asked for, and when.
    unread: Vec<u8>,
    read_at: Instant,
    /// When it said that it is ready.
    pub(super) ready_at: Instant,
    /// What an exit costs in nanoseconds, which a guest says.
    pub(super) exit_ns: Option<f64>,
}

impl Subject {
    /// Starts a program, and waits until it says that it is ready.
    pub(super) fn start(program: &Program, session: &Session) -> Result<Self, Error> {
        let (output, writer) = a_pipe()?;
        let mut subject = Self {
            turn: Turn::start(program, writer.into())?,
            output,
            unread: Vec::new(),
            read_at: Instant::now(),
            ready_at: Instant::now(),
            exit_ns: None,
        };
        loop {
            let (at, line) = subject.line(session)?;
            subject.ready_at = at;
            match line.split_once(' ') {
                Some(("exit", cost)) => subject.exit_ns = cost.parse().ok(),
                _ if line == "ready" => return Ok(subject),
                _ => return Err(subject.wrong(&format!("said \"{line}\" instead of that it is ready"))),
            }
        }
    }

    /// Its next line, and when it came.
    pub(super) fn line(&mut self, session: &Session) -> Result<(Instant, String), Error> {
        let start = Instant::now();
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).take(end).collect();
                return Ok((self.read_at, String::from_utf8_lossy(&line).into_owned()));
            }
            let mut polled = [PollFd::new(&self.output, PollFlags::IN)];
            // What goes wrong here goes wrong again in the read.
            let ready = poll(&mut polled, Some(&TICK)).unwrap_or(0) > 0;
            if ready && self.unread.len() < LONGEST_LINE {
                let mut bytes = [0; 512];
                let count = self.output.read(&mut bytes).unwrap_or(0);
                self.read_at = Instant::now();
                self.unread.extend(bytes.iter().take(count));
                if count > 0 {
                    continue;
                }
            }
            if session.is_interrupted() {
                return Err(Error::interrupted());
            }
            if ready {
                return Err(self.turn.closed_output());
            }
            if start.elapsed() > session.patience {
                let patience = session.patience.as_secs_f64();
                let what = format!("said nothing within {patience} s, and --patience allows no more");
                return Err(self.wrong(&what));
            }
        }
    }

    /// It did what it should not.
    pub(super) fn wrong(&self, what: &str) -> Error {
        self.turn.wrong(what)
    }

    /// Ends it, and waits until nothing of it is left.
    pub(super) fn end(self, session: &Session) -> Result<(), Error> {
        self.turn.end(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn start(script: &str) -> Result<Subject, Error> {
        let session = Session::new(Duration::from_millis(300)).unwrap();
        let program = Program {
            name: "script".into(),
            path: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
        };
        Subject::start(&program, &session)
    }

    #[test]
    fn lines_come_with_their_times() {
        let session = Session::new(Duration::from_secs(5)).unwrap();
        let mut subject = start("echo exit 123; echo ready; sleep 0.1; echo a 5; exec sleep 100").unwrap();
        assert_eq!(subject.exit_ns, Some(123.0));
        let before = Instant::now();
        let (at, line) = subject.line(&session).unwrap();
        assert!(line == "a 5" && at > before, "{line}");
        subject.end(&session).unwrap();
    }

    #[test]
    fn failures_are_told_apart() {
        for (script, said) in [
            ("echo no tap >&2; exit 3", "exit status: 3 and said \"no tap\"; try it alone: /bin/sh -c"),
            ("exec sleep 100", "said nothing within 0.3 s"),
            ("echo hello; exec sleep 100", "said \"hello\" instead"),
        ] {
            let error = start(script).unwrap_err();
            assert_eq!(error.status(), 1, "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
