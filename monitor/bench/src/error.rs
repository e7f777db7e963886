//! Why a measurement was not made or not finished, as a sentence and an exit status.

use std::io;
use std::path::Path;
use ukvm_abi::exit_status;

/// A program that was measured failed.
pub const PROGRAM_FAILED: u8 = 1;
/// The number of SIGINT, which Ctrl-C sends.
const SIGINT: i32 = 2;

/// A failure: one sentence that says what is wrong and what to do, and the exit status that documents it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", measured.as_ref().map_or(String::new(), |measured| format!("; {measured}")))]
pub struct Error {
    status: u8,
    message: String,
    /// What was measured before it.
    measured: Option<String>,
}

impl Error {
    fn new(status: u8, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), measured: None }
    }

    /// The command line asks for what cannot be (64).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit_status::USAGE, message)
    }

    /// A program or file that was named is not there (66).
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(exit_status::MISSING_FILE, message)
    }

    /// The host failed (74).
    pub fn host(message: impl Into<String>) -> Self {
        Self::new(exit_status::HOST_IO, message)
    }

    /// KVM cannot be used (69).
    pub fn no_kvm(message: impl Into<String>) -> Self {
        Self::new(exit_status::NO_KVM, message)
    }

    /// This machine lacks what a part of the measurement needs (69).
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(exit_status::NO_KVM, message)
    }

    /// A program that was to be measured failed (1).
    pub fn program(message: impl Into<String>) -> Self {
        Self::new(PROGRAM_FAILED, message)
    }

    /// The user had enough (130).
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(exit_status::of_signal(SIGINT), "interrupted")
    }

    /// A file that the user named for a result cannot be written (66, 74 or 77).
    #[must_use]
    pub fn output(path: &Path, error: &io::Error) -> Self {
        Self::new(
            status_of(error),
            format!(
                "{} cannot be written ({error}); name a file in a directory that exists and is yours",
                path.display()
            ),
        )
    }

    /// A program that the user named cannot be started (66, 74 or 77).
    #[must_use]
    pub fn start(program: &Path, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "install it, or name its path",
            io::ErrorKind::PermissionDenied => "name an executable file",
            _ => "try to start it alone",
        };
        Self::new(status_of(error), format!("{} cannot be started ({error}); {advice}", program.display()))
    }

    /// The exit status that documents it.
    #[must_use]
    pub const fn status(&self) -> u8 {
        self.status
    }

    /// What is wrong and what to do, without what was measured before it.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.message
    }

    /// The same failure, told with what was measured before it, or was not, behind what is told already.
    #[must_use]
    pub fn after(self, measured: &str) -> Self {
        let told = self.measured.map_or(String::new(), |told| told + "; ");
        Self { measured: Some(told + measured), ..self }
    }
}

fn status_of(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => exit_status::MISSING_FILE,
        io::ErrorKind::PermissionDenied => exit_status::NO_PERMISSION,
        _ => exit_status::HOST_IO,
    }
}
