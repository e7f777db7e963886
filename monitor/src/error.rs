//! Why a guest could not be started, as a sentence and an exit status.

use std::io;
use ukvm_abi::exit_status;

/// The classes of failure before and around a guest, each with its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line could not be understood.
    Usage,
    /// The ELF file or its manifest cannot be run.
    BadElf,
    /// A file or device that was named does not exist.
    MissingFile,
    /// KVM cannot be used on this host.
    NoKvm,
    /// The host failed while the monitor worked.
    HostIo,
    /// The host does not permit what was asked for.
    NoPermission,
    /// What was asked for contradicts the manifest, the host or itself.
    BadConfig,
}

impl ErrorKind {
    /// The exit status that documents the class.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::Usage => exit_status::USAGE,
            Self::BadElf => exit_status::BAD_ELF,
            Self::MissingFile => exit_status::MISSING_FILE,
            Self::NoKvm => exit_status::NO_KVM,
            Self::HostIo => exit_status::HOST_IO,
            Self::NoPermission => exit_status::NO_PERMISSION,
            Self::BadConfig => exit_status::BAD_CONFIG,
        }
    }

    /// The class of a failure to open or use a file that the user named.
    #[must_use]
    pub fn of_file(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::MissingFile,
            io::ErrorKind::PermissionDenied => Self::NoPermission,
            _ => Self::HostIo,
        }
    }
}

/// What to do about a failure of the host that has no sentence of its own, by its number.
#[must_use]
pub const fn remedy(errno: i32) -> &'static str {
    match errno {
        // EFAULT: KVM found no memory behind an address that has some.
        libc::ENOMEM | libc::EFAULT => {
            "use a smaller --mem, or raise the limits on memory (`ulimit -v`, cgroups)"
        }
        libc::EMFILE | libc::ENFILE => "raise the limit on open files (`ulimit -n`)",
        libc::EAGAIN => "raise the limits on processes and pending signals (`ulimit -u`, `ulimit -i`)",
        libc::EBUSY => "end other hypervisors on this host",
        libc::EPERM | libc::EACCES => {
            "check what confines this process, such as a container's seccomp profile"
        }
        _ => "look for the reason in the host's kernel log (`dmesg`), and keep its kernel up to date",
    }
}

/// A failure: one sentence that says what is wrong and what to do.
///
/// Each module that can fail has an error type of its own, whose `Display` is the sentence; this is what remains of it for the
/// person at the terminal.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    #[source]
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of class `kind`, told by `message`: one sentence without a full stop at its end.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None }
    }

    /// A failure of class `kind` that `cause` tells of; it stays there as the [`source`](std::error::Error::source), for whoever has
    /// other words for it.
    pub fn caused_by(kind: ErrorKind, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { kind, message: cause.to_string(), cause: Some(Box::new(cause)) }
    }

    /// Its class.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The exit status that documents it.
    #[must_use]
    pub const fn status(&self) -> u8 {
        self.kind.status()
    }
}

/// The host failed to do `what`.
pub(crate) fn host(what: &str, error: &io::Error) -> Error {
    let remedy = remedy(error.raw_os_error().unwrap_or(0));
    Error::new(ErrorKind::HostIo, format!("cannot {what}: {}; {remedy}", plain(error)))
}

/// KVM failed to do `what`.
pub(crate) fn no_kvm(what: &str, error: &io::Error) -> Error {
    let remedy = remedy(error.raw_os_error().unwrap_or(0));
    Error::new(ErrorKind::NoKvm, format!("KVM cannot {what}: {}; {remedy}", plain(error)))
}

/// What the host says, without the error's number.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((plain, _)) => plain.to_lowercase(),
        None => text,
    }
}
