//! Servers that a test starts beside the guest.

use crate::files::program;
use crate::run::SOON;
use crate::suite::patience;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server. Ended when it is dropped.
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
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a descriptor")).stderr(file);
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
    /// If that takes too long.
    pub fn wait_for(&self, text: &str) {
        self.wait_for_count(text, 1);
    }

    /// Waits until it has said `text` so many times.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn wait_for_count(&self, text: &str, count: usize) {
        let end = Instant::now() + patience(SOON * 2);
        while self.said().matches(text).count() < count {
            assert!(Instant::now() < end, "{text:?} was not said {count} times: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
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
        // So that it writes down what it has to keep.
        end(&mut self.child, patience(Duration::from_secs(5)));
    }
}

/// Asks a process to end, and kills it where that takes longer than `grace`. One that has ended by itself has so already.
pub(crate) fn end(child: &mut Child, grace: Duration) {
    if matches!(child.try_wait(), Ok(None)) {
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
    }
    let end = Instant::now() + grace;
    while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
}
