//! What a call that failed returns.

use core::ffi::{c_char, c_int};
use ukvm_runtime::block;
use ukvm_runtime::net::TcpError;

/// The program declares no such device, or it was not given on the command line.
pub const UKVM_NO_DEVICE: c_int = -1;
/// The number stands for nothing, or for something else.
pub const UKVM_BAD_NUMBER: c_int = -2;
/// An offset or a length is no multiple of the disk's block size.
pub const UKVM_UNALIGNED: c_int = -3;
/// The range is not inside the disk.
pub const UKVM_OUT_OF_RANGE: c_int = -4;
/// The disk is read-only.
pub const UKVM_READ_ONLY: c_int = -5;
/// The host has no space left.
pub const UKVM_NO_SPACE: c_int = -6;
/// The host cannot do this.
pub const UKVM_NOT_SUPPORTED: c_int = -7;
/// The host failed.
pub const UKVM_IO: c_int = -8;
/// The program's arguments for the network cannot be understood, or contradict each other.
pub const UKVM_BAD_ARGUMENTS: c_int = -9;
/// The port, or the network device, is in use already.
pub const UKVM_IN_USE: c_int = -10;
/// The peer has ended the connection without having read everything, or refuses it.
pub const UKVM_RESET: c_int = -11;
/// The peer did not answer in time.
pub const UKVM_TIMED_OUT: c_int = -12;
/// There is no such host, or no way to it.
pub const UKVM_UNREACHABLE: c_int = -13;
/// The host wants the program to end.
pub const UKVM_STOPPING: c_int = -14;
/// There is not enough memory.
pub const UKVM_NO_MEMORY: c_int = -15;

/// What the result of a call means, in a few words; for what is no error too.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_error(result: c_int) -> *const c_char {
    let text = match result {
        UKVM_NO_DEVICE => c"there is no such device",
        UKVM_BAD_NUMBER => c"the number stands for nothing of this kind",
        UKVM_UNALIGNED => c"the offset or length is no multiple of the block size",
        UKVM_OUT_OF_RANGE => c"the range is not inside the disk",
        UKVM_READ_ONLY => c"the disk is read-only",
        UKVM_NO_SPACE => c"the host has no space left",
        UKVM_NOT_SUPPORTED => c"the host cannot do this",
        UKVM_IO => c"the host failed",
        UKVM_BAD_ARGUMENTS => c"the arguments for the network make no sense",
        UKVM_IN_USE => c"it is in use already",
        UKVM_RESET => c"the peer has ended the connection",
        UKVM_TIMED_OUT => c"the peer does not answer",
        UKVM_UNREACHABLE => c"the peer cannot be reached",
        UKVM_STOPPING => c"the host wants an end",
        UKVM_NO_MEMORY => c"there is not enough memory",
        0.. => c"no error",
        _ => c"an unknown error",
    };
    text.as_ptr()
}

pub(crate) const fn of_disk(error: block::Error) -> c_int {
    match error {
        block::Error::Unaligned => UKVM_UNALIGNED,
        block::Error::OutOfRange => UKVM_OUT_OF_RANGE,
        block::Error::ReadOnly => UKVM_READ_ONLY,
        block::Error::NoSpace => UKVM_NO_SPACE,
        block::Error::NotSupported => UKVM_NOT_SUPPORTED,
        block::Error::Io => UKVM_IO,
    }
}

pub(crate) const fn of_tcp(error: TcpError) -> c_int {
    match error {
        TcpError::TimedOut => UKVM_TIMED_OUT,
        TcpError::Reset | TcpError::Shutdown => UKVM_RESET,
    }
}
