//! The C functions that crates for the GNU target refer to although they need no C library: those of getrandom 0.2.
//!
//! There are no files and no system calls here, and these functions say so, in the way in which their callers expect it. One
//! system call is carried out: `getrandom`.

use crate::entropy;
use core::ffi::{c_char, c_int, c_long, c_void};
use core::sync::atomic::{AtomicI32, Ordering};

/// Linux's number of the system call `getrandom` on x86-64.
const SYS_GETRANDOM: c_long = 318;
/// Linux's error number for a function that does not exist.
const ENOSYS: c_int = 38;

static ERRNO: AtomicI32 = AtomicI32::new(0);

fn refuse() -> c_int {
    ERRNO.store(ENOSYS, Ordering::Relaxed);
    -1
}

#[unsafe(no_mangle)]
extern "C" fn __errno_location() -> *mut c_int {
    ERRNO.as_ptr()
}

/// `getrandom(2)`.
///
/// # Safety
///
/// `length` bytes at `address` are writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(address: *mut c_void, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller keeps the contract of this very function.
    unsafe { entropy::fill_at(address.cast(), length) };
    length as isize
}

/// `syscall(2)` of the C library, for `getrandom` alone. It is variadic in C, which for integers on x86-64 makes no
/// difference to the one who is called.
///
/// # Safety
///
/// That of the system call.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(number: c_long, address: *mut c_void, length: usize, flags: u32) -> c_long {
    if number == SYS_GETRANDOM {
        // SAFETY: these are the arguments of that system call, and the caller vouches for them.
        return unsafe { getrandom(address, length, flags) } as c_long;
    }
    c_long::from(refuse())
}

#[unsafe(no_mangle)]
extern "C" fn open(_path: *const c_char, _flags: c_int) -> c_int {
    refuse()
}

#[unsafe(no_mangle)]
extern "C" fn read(_file: c_int, _buffer: *mut c_void, _length: usize) -> isize {
    refuse() as isize
}

#[unsafe(no_mangle)]
extern "C" fn close(_file: c_int) -> c_int {
    refuse()
}

#[unsafe(no_mangle)]
extern "C" fn poll(_files: *mut c_void, _count: c_long, _timeout: c_int) -> c_int {
    refuse()
}

/// `strerror_r` in its POSIX form: there are no texts. Who asks shows the number then.
#[unsafe(no_mangle)]
extern "C" fn __xpg_strerror_r(_number: c_int, _buffer: *mut c_char, _length: usize) -> c_int {
    ENOSYS
}

/// With one thread, a lock is always free.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_lock(_mutex: *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_unlock(_mutex: *mut c_void) -> c_int {
    0
}
