//! What the numbers of errors mean, in the words that people know from every other program on Linux.

use core::ffi::{c_char, c_int};

/// By number, from 0 on; empty where there is none.
static MESSAGES: [&str; 134] = [
    "Success",
    "Operation not permitted",
    "No such file or directory",
    "No such process",
    "Interrupted system call",
    "Input/output error",
    "No such device or address",
    "Argument list too long",
    "Exec format error",
    "Bad file descriptor",
    "No child processes",
    "Resource temporarily unavailable",
    "Cannot allocate memory",
    "Permission denied",
    "Bad address",
    "Block device required",
    "Device or resource busy",
    "File exists",
    "Invalid cross-device link",
    "No such device",
    "Not a directory",
    "Is a directory",
    "Invalid argument",
    "Too many open files in system",
    "Too many open files",
    "Inappropriate ioctl for device",
    "Text file busy",
    "File too large",
    "No space left on device",
    "Illegal seek",
    "Read-only file system",
    "Too many links",
    "Broken pipe",
    "Numerical argument out of domain",
    "Numerical result out of range",
    "Resource deadlock avoided",
    "File name too long",
    "No locks available",
    "Function not implemented",
    "Directory not empty",
    "Too many levels of symbolic links",
    "",
    "No message of desired type",
    "Identifier removed",
    "Channel number out of range",
    "Level 2 not synchronized",
    "Level 3 halted",
    "Level 3 reset",
    "Link number out of range",
    "Protocol driver not attached",
    "No CSI structure available",
    "Level 2 halted",
    "Invalid exchange",
    "Invalid request descriptor",
    "Exchange full",
    "No anode",
    "Invalid request code",
    "Invalid slot",
    "",
    "Bad font file format",
    "Device not a stream",
    "No data available",
    "Timer expired",
    "Out of streams resources",
    "Machine is not on the network",
    "Package not installed",
    "Object is remote",
    "Link has been severed",
    "Advertise error",
    "Srmount error",
    "Communication error on send",
    "Protocol error",
    "Multihop attempted",
    "RFS specific error",
    "Bad message",
    "Value too large for defined data type",
    "Name not unique on network",
    "File descriptor in bad state",
    "Remote address changed",
    "Can not access a needed shared library",
    "Accessing a corrupted shared library",
    ".lib section in a.out corrupted",
    "Attempting to link in too many shared libraries",
    "Cannot exec a shared library directly",
    "Invalid or incomplete multibyte or wide character",
    "Interrupted system call should be restarted",
    "Streams pipe error",
    "Too many users",
    "Socket operation on non-socket",
    "Destination address required",
    "Message too long",
    "Protocol wrong type for socket",
    "Protocol not available",
    "Protocol not supported",
    "Socket type not supported",
    "Operation not supported",
    "Protocol family not supported",
    "Address family not supported by protocol",
    "Address already in use",
    "Cannot assign requested address",
    "Network is down",
    "Network is unreachable",
    "Network dropped connection on reset",
    "Software caused connection abort",
    "Connection reset by peer",
    "No buffer space available",
    "Transport endpoint is already connected",
    "Transport endpoint is not connected",
    "Cannot send after transport endpoint shutdown",
    "Too many references: cannot splice",
    "Connection timed out",
    "Connection refused",
    "Host is down",
    "No route to host",
    "Operation already in progress",
    "Operation now in progress",
    "Stale file handle",
    "Structure needs cleaning",
    "Not a XENIX named type file",
    "No XENIX semaphores available",
    "Is a named type file",
    "Remote I/O error",
    "Disk quota exceeded",
    "No medium found",
    "Wrong medium type",
    "Operation canceled",
    "Required key not available",
    "Key has expired",
    "Key has been revoked",
    "Key was rejected by service",
    "Owner died",
    "State not recoverable",
    "Operation not possible due to RF-kill",
    "Memory page has hardware error",
];

/// The message of an error.
fn message(number: c_int) -> &'static str {
    usize::try_from(number)
        .ok()
        .and_then(|number| MESSAGES.get(number))
        .filter(|text| !text.is_empty())
        .map_or("Unknown error", |text| text)
}

/// In the form of POSIX. What does not fit is cut off.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn __xpg_strerror_r(number: c_int, to: *mut c_char, size: usize) -> c_int {
    let message = message(number);
    let Some(room) = size.checked_sub(1) else { return libc::ERANGE };
    let length = message.len().min(room);
    // SAFETY: the caller's buffer has room for so many bytes and the NUL behind them.
    unsafe { core::ptr::copy_nonoverlapping(message.as_ptr().cast(), to, length) };
    // SAFETY: as above.
    unsafe { to.wrapping_add(length).write(0) };
    if length < message.len() { libc::ERANGE } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;

    fn text(number: c_int, size: usize) -> (c_int, String) {
        let mut buffer = [1; 64];
        // SAFETY: the buffer is at least so large.
        let result = unsafe { __xpg_strerror_r(number, buffer.as_mut_ptr(), size) };
        // SAFETY: it ends with a NUL.
        (result, unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_str().unwrap().to_owned())
    }

    #[test]
    fn messages_are_those_of_the_hosts_c_library() {
        for number in 1..134 {
            let theirs = std::io::Error::from_raw_os_error(number).to_string();
            let theirs = theirs.split(" (os error").next().unwrap();
            let ours = text(number, 64).1;
            assert!(ours == theirs || theirs.starts_with("Unknown error"), "{number}: {ours}, {theirs}");
        }
    }

    #[test]
    fn a_message_is_cut_to_its_room() {
        assert_eq!(text(libc::ENOENT, 64), (0, "No such file or directory".into()));
        assert_eq!(text(libc::ENOENT, 8), (libc::ERANGE, "No such".into()));
        assert_eq!(text(-1, 64).1, "Unknown error");
        assert_eq!(text(100_000, 64).1, "Unknown error");
    }
}
