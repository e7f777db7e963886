//! What can fail, and the exit status that says so.

use alloc::string::{String, ToString};
use core::fmt;
use ukvm_http::client::Error;
use ukvm_storage::WriteFailed;
use ukvm_storage::fat::VolumeError;

/// What has failed; its number is the exit status. All but the last one are numbers that the monitor never ends with itself; that one
/// means the same there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// Nobody gave this host an address.
    Address = 10,
    /// The name of the server could not be looked up.
    Name = 11,
    /// There is no connection to the server.
    Connection = 12,
    /// The server redirects in a circle, too often, or to what cannot be fetched.
    Redirect = 13,
    /// The server answered with something else than the resource.
    Status = 14,
    /// The answer is broken, and would be so again.
    Answer = 15,
    /// The server took too long.
    Late = 16,
    /// The resource is larger than it may be.
    TooLarge = 17,
    /// The connection ended before the answer did.
    Cut = 18,
    /// The file system, or the host below it, is full.
    Full = 20,
    /// The disk failed, or holds no file system that can be used.
    Disk = 21,
    /// The host wanted the end before the job was done.
    Stopped = 30,
    /// The arguments cannot be understood.
    Usage = 64,
}

/// A failure: its cause, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What has failed.
    pub cause: Cause,
    text: String,
}

impl Failure {
    /// A failure with its sentence.
    #[must_use]
    pub fn new(cause: Cause, text: impl ToString) -> Self {
        Self { cause, text: text.to_string() }
    }

    /// The job was told to end.
    #[must_use]
    pub fn stopped() -> Self {
        Self::new(Cause::Stopped, "the job was told to end before it was done")
    }

    /// Something was not possible with a file, or the disk.
    #[must_use]
    pub fn of_file(name: &str, error: &VolumeError) -> Self {
        let cause = match error {
            VolumeError::Full | VolumeError::Write(WriteFailed::NoSpace) => Cause::Full,
            VolumeError::TooLarge => Cause::TooLarge,
            _ => Cause::Disk,
        };
        Self::new(cause, alloc::format!("{name} cannot be written: {error}"))
    }

    /// The exit status.
    #[must_use]
    pub const fn status(&self) -> u8 {
        self.cause as u8
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl core::error::Error for Failure {}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoConnection {
    /// The name could not be looked up: a sentence.
    Name(String),
    /// Nobody at its addresses takes connections: a sentence.
    Connection(String),
}

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Name(text) | Self::Connection(text)) = self;
        f.write_str(text)
    }
}

impl From<Error<NoConnection>> for Failure {
    fn from(error: Error<NoConnection>) -> Self {
        let cause = match &error {
            Error::Connect(NoConnection::Name(_)) => Cause::Name,
            Error::Connect(NoConnection::Connection(_)) => Cause::Connection,
            Error::NoLocation | Error::Redirect(..) | Error::Loop(_) | Error::TooManyRedirects => {
                Cause::Redirect
            }
            Error::Status(_) => Cause::Status,
            Error::Late => Cause::Late,
            Error::Broken | Error::NoAnswer | Error::CutShort => Cause::Cut,
            _ => Cause::Answer,
        };
        Self::new(cause, error)
    }
}
