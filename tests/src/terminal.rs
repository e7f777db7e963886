//! A pseudo-terminal, with the test at the keyboard.

use crate::suite::patience;
use nix::pty::{OpenptyResult, openpty};
use nix::sys::termios::{Termios, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The two ends of a terminal.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    line: OwnedFd,
    seen: Vec<u8>,
}

impl Terminal {
    /// A terminal with the kernel's default settings.
    #[must_use]
    pub fn new() -> Self {
        let OpenptyResult { master, slave } = openpty(None, None).expect("a pseudo-terminal");
        Self { keyboard: File::from(master), line: slave, seen: Vec::new() }
    }

    /// The end for a program's input or output.
    #[must_use]
    pub fn end(&self) -> Stdio {
        self.line.try_clone().expect("a descriptor").into()
    }

    /// Types `keys`.
    pub fn type_keys(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("a terminal takes keys");
    }

    /// Waits until `text` is on the screen.
    pub fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + patience(Duration::from_secs(20));
        while !self.seen.windows(text.len()).any(|window| window == text.as_bytes()) {
            assert!(
                Instant::now() < deadline,
                "no {text:?} on the screen: {:?}",
                String::from_utf8_lossy(&self.seen)
            );
            self.look(Duration::from_millis(50));
        }
    }

    /// Takes in what appears on the screen within `time`, and returns all that was there so far.
    pub fn look(&mut self, time: Duration) -> String {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd;
        let time = PollTimeout::try_from(time).expect("a short time");
        let mut wanted = [PollFd::new(self.keyboard.as_fd(), PollFlags::POLLIN)];
        if poll(&mut wanted, time) == Ok(1) {
            let mut buffer = [0; 4096];
            // EIO: no program has the terminal open any more.
            let length = self.keyboard.read(&mut buffer).unwrap_or(0);
            self.seen.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Its settings now.
    #[must_use]
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.line).expect("a terminal has settings")
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}
