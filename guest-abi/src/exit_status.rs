//! The exit status of the process that ran a guest.
//!
//! The guest's own status, 0 to 255, passes through unchanged, so a guest that exits with one of these values looks
//! the same from outside; the run report tells them apart. The values from 64 to 78 are those of BSD's `sysexits.h`, 124 is
//! that of coreutils' `timeout`, 134 and 139 are what a shell shows for SIGABRT and SIGSEGV.

/// The command line could not be understood (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// The ELF file or its manifest cannot be run (`EX_DATAERR`).
pub const BAD_ELF: u8 = 65;
/// A file or device that was named does not exist (`EX_NOINPUT`).
pub const MISSING_FILE: u8 = 66;
/// KVM cannot be used on this host (`EX_UNAVAILABLE`).
pub const NO_KVM: u8 = 69;
/// The host failed while the monitor worked (`EX_IOERR`).
pub const HOST_IO: u8 = 74;
/// The host does not permit what was asked for (`EX_NOPERM`).
pub const NO_PERMISSION: u8 = 77;
/// What was asked for contradicts the guest's manifest, the host or itself (`EX_CONFIG`).
pub const BAD_CONFIG: u8 = 78;
/// `--timeout` ended the guest.
pub const TIMEOUT: u8 = 124;
/// A signal ended the guest: the status is this plus the signal's number.
pub const SIGNAL_BASE: u8 = 128;
/// The guest panicked.
pub const PANIC: u8 = 134;
/// The guest did something that it may not: an exception, a bad doorbell value, a corrupt ring.
pub const FAULT: u8 = 139;

/// The status when the signal with this number ended the guest.
#[must_use]
pub const fn of_signal(number: i32) -> u8 {
    SIGNAL_BASE | (number & 0x7f) as u8
}
