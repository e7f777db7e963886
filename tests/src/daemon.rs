//! Servers that a test starts beside the guest.

use crate::files::program;
use crate::suite::patience;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A server. Killed when it is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts the program `name` in the foreground; what it says goes to a file in `directory`.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn start(name: &str, arguments: &[&str], directory: &Path) -> Self {
        let mut command = Command::new(program(name).unwrap_or_else(|| panic!("{name} is not installed")));
        command.args(arguments);
        Self::of(command, name, directory)
    }

    /// As [`start`](Self::start), by a command of the caller's.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn of(mut command: Command, name: &str, directory: &Path) -> Self {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log).expect("a file for its output");
        command.current_dir(directory);
        command.stdout(file.try_clone().expect("a descriptor")).stderr(file);
        Self { child: command.spawn().unwrap_or_else(|error| panic!("{name}: {error}")), log }
    }

    /// What it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it has said `text`.
    ///
    /// # Panics
    ///
    /// If it does not in ten seconds.
    pub fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + patience(Duration::from_secs(10));
        while !self.said().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it runs");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
