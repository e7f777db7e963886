//! What `solo5-hvt` says of a failure, and its exit status: pieces of its sentences, for scripts that look for them, then ours.

use super::solo5::FAILED;
use crate::abi::hvt::boot::CommandLineTooLong;
use crate::bind::BindError;
use crate::device::block::SizeError;
use crate::elf::{Defect, ElfError};
use crate::error::{Error, ErrorKind};
use crate::fault::Fault;
use crate::layout::{LayoutError, size};
use crate::outcome::Cause;
use std::error::Error as _;

/// The exit status of a guest that has run: its own, or 1 for everything that is not its own doing, signals included.
#[must_use]
pub const fn status(cause: &Cause) -> u8 {
    match cause {
        Cause::Exit(status) => *status,
        _ => FAILED,
    }
}

/// Why a guest has ended, where it was not its own doing.
#[must_use]
pub fn end(cause: &Cause) -> Option<String> {
    Some(match cause {
        Cause::Exit(_) => return None,
        Cause::Fault(report) => format!("{}: {report}", of_fault(&report.fault)),
        Cause::Failed(error) => failure(error),
        Cause::Signal(number) => format!("Exiting on signal {number}"),
        Cause::OutputClosed => "the reader of the console has gone".to_owned(),
        // No Solo5 guest says so, and no option sets a time.
        Cause::Panic(message) => format!("guest panic: {message}"),
        Cause::Timeout => "the guest's time is over".to_owned(),
    })
}

/// Why a guest could not be run.
#[must_use]
pub fn failure(error: &Error) -> String {
    let cause = error.source();
    if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<ElfError>()) {
        return format!("{}: {error}", of_defect(error.defect()));
    }
    if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<BindError>()) {
        return of_binding(error);
    }
    if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<LayoutError>()) {
        return of_layout(error);
    }
    if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<SizeError>()) {
        return of_size(error);
    }
    if cause.is_some_and(|cause| cause.is::<CommandLineTooLong>()) {
        return format!("Guest command line too long: {error}");
    }
    match error.kind() {
        ErrorKind::MissingFile | ErrorKind::NoPermission => format!("Could not open: {error}"),
        _ => error.to_string(),
    }
}

const fn of_defect(defect: &Defect) -> &'static str {
    match defect {
        Defect::Missing | Defect::Permission | Defect::Host(_) | Defect::NotRegular(_) => "Could not open",
        Defect::Solo5NoNote(note) if matches!(note.as_bytes(), b"ABI") => "No Solo5 ABI information found",
        Defect::Solo5NoNote(_) => "No Solo5 manifest found",
        // A program with no note of Solo5's at all.
        Defect::OrdinaryProgram | Defect::OrdinaryDynamicProgram | Defect::Manifest(_) => {
            "No Solo5 ABI information found"
        }
        Defect::Solo5Target(_) => "not for the solo5-hvt target",
        Defect::Solo5Version(_) => "unsupported ABI version",
        Defect::Solo5NoteSize { .. } | Defect::MalformedNote(_) => "note does not fall within valid size",
        Defect::Solo5ManifestVersion(_)
        | Defect::Solo5ManifestCount(_)
        | Defect::Solo5ManifestSize { .. }
        | Defect::Solo5FirstEntry
        | Defect::Solo5Name(_)
        | Defect::Solo5Attached(_)
        | Defect::Solo5DeviceType { .. } => "Solo5 manifest is invalid",
        Defect::Entry(_) => "e_entry does not fall within the executable segments",
        Defect::WritableAndExecutable(_) => "segment requests WRITE and EXEC permissions",
        Defect::Unsorted(_) => "segments are not in ascending order",
        Defect::Solo5Place { .. } | Defect::Overlap(..) | Defect::WrapsAround(_) | Defect::FileSize(_) => {
            "segment falls outside of valid range"
        }
        Defect::Misaligned { .. } => "segment is not aligned with architectural page size",
        Defect::DoesNotFit { .. } => "segment is outside of memory range",
        _ => "invalid or unsupported executable",
    }
}

fn of_binding(error: &BindError) -> String {
    match error {
        BindError::Missing { kind, name, option, .. } => {
            let add = if *option == "--net" {
                format!("--net:{name}=IFACE")
            } else {
                format!("--block:{name}=PATH")
            };
            format!(
                "{kind} '{name}' declared but not attached. All declared devices must be attached: add {add}"
            )
        }
        BindError::Unknown { kind, name, declared } => format!(
            "Invalid option: {kind} '{name}': Resource not declared in manifest, which declares {declared}"
        ),
        // An option without a name, and a disk that is only read: neither can be written so.
        BindError::TooMany { .. } | BindError::ReadOnly(_) => error.to_string(),
    }
}

fn of_layout(error: &LayoutError) -> String {
    match error {
        LayoutError::TooSmall { needed } => {
            let mib = needed.div_ceil(1 << 20);
            format!(
                "the guest is outside of memory range: it needs at least {}: use --mem={mib}",
                size(*needed)
            )
        }
        LayoutError::TooLarge(_) => format!("--mem exceeds the max size: {error}"),
        LayoutError::Stack(_) | LayoutError::NoRoomForRing => error.to_string(),
    }
}

fn of_size(error: &SizeError) -> String {
    let fragment = match error {
        SizeError::Block { .. } | SizeError::Sector { .. } => {
            "Block size must be a multiple of 2 greater than or equal 512"
        }
        SizeError::Empty(_) => "Backing storage must be at least 1 block in size",
        SizeError::Partial { .. } | SizeError::TooLarge { .. } => {
            "Backing storage size must be block aligned"
        }
    };
    format!("{fragment}: {error}")
}

const fn of_fault(fault: &Fault) -> &'static str {
    match fault {
        Fault::Port { .. } | Fault::Doorbell(_) => "Invalid guest port access",
        Fault::Hypercall(_) => "Invalid guest hypercall",
        Fault::Access { .. } | Fault::Ring(_) | Fault::NetRing { .. } => "Invalid guest access",
        Fault::Physical { .. } | Fault::Disk { .. } | Fault::Program => "host/guest translation fault",
        Fault::Exception { .. } | Fault::Privileged { .. } | Fault::Halted { .. } | Fault::TripleFault => {
            "unhandled exit"
        }
        Fault::Unrunnable { .. } => "internal error exit",
    }
}

#[cfg(test)]
#[path = "solo5_words_tests.rs"]
mod tests;
