//! How a guest ended.

use crate::error::Error;
use crate::fault::FaultReport;
use crate::observe::Observations;
use ukvm_abi::exit_status;

/// How a guest ended, and what was observed of it.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended.
    pub cause: Cause,
    /// What was observed.
    pub observations: Observations,
}

/// Why a guest ended.
#[derive(Debug)]
pub enum Cause {
    /// It exited with this status.
    Exit(u8),
    /// It panicked with this message.
    Panic(String),
    /// It did something that it may not.
    Fault(Box<FaultReport>),
    /// Its time was over.
    Timeout,
    /// A signal with this number asked it to end, and it did not do so in time or had no notice of it.
    Signal(i32),
    /// Nobody reads its output any more.
    OutputClosed,
    /// The host failed to run it.
    Failed(Error),
}

impl Cause {
    /// The exit status of the process that ran the guest.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Exit(status) => *status,
            Self::Panic(_) => exit_status::PANIC,
            Self::Fault(_) => exit_status::FAULT,
            Self::Timeout => exit_status::TIMEOUT,
            Self::Signal(number) => exit_status::of_signal(*number),
            Self::OutputClosed => exit_status::of_signal(libc::SIGPIPE),
            Self::Failed(error) => error.status(),
        }
    }
}
