//! The console.

use crate::program::to_bytes;
use core::ffi::{c_char, c_void};
use core::slice;
use ukvm_runtime::console;
use ukvm_runtime::task::block_on;

/// Prints the string `text`, at once.
///
/// # Safety
///
/// `text` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_print(text: *const c_char) {
    // SAFETY: the caller says so.
    block_on(console::write_all(unsafe { to_bytes(text) }));
    block_on(console::flush());
}

/// Writes any bytes. They are with the host at the next wait or the end, whichever comes first.
///
/// # Safety
///
/// `length` bytes at `bytes` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_console_write(bytes: *const c_void, length: usize) {
    if length > 0 {
        // SAFETY: the caller says so.
        block_on(console::write_all(unsafe { slice::from_raw_parts(bytes.cast(), length) }));
    }
}

/// Waits for input, and reads at most `length` bytes of it. Gives how many; 0 at its end.
///
/// # Safety
///
/// `length` bytes at `buffer` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_console_read(buffer: *mut c_void, length: usize) -> usize {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller says so; bytes of any value are bytes.
    block_on(console::read(unsafe { slice::from_raw_parts_mut(buffer.cast(), length) }))
}
