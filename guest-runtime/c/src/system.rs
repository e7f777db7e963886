//! Time, random numbers, and the host's wish for an end.

use core::ffi::c_void;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use ukvm_runtime::task::{block_on, spawn, turn};
use ukvm_runtime::{entropy, shutdown, time};

/// Nanoseconds since some moment before the start. Never goes back.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_monotonic() -> u64 {
    time::monotonic().as_nanos() as u64
}

/// Nanoseconds since 1970-01-01T00:00:00Z. Follows the host's clock, backwards too.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_wall() -> u64 {
    time::wall().as_nanos() as u64
}

/// Waits for so many nanoseconds. The network goes on meanwhile, as in every call that waits.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_sleep(nanoseconds: u64) {
    block_on(time::sleep(Duration::from_nanos(nanoseconds)));
}

/// Fills `length` bytes with random numbers fit for keys.
///
/// # Safety
///
/// `length` bytes at `buffer` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_random(buffer: *mut c_void, length: usize) {
    if length > 0 {
        // SAFETY: the caller says so; bytes of any value are bytes.
        entropy::fill(unsafe { slice::from_raw_parts_mut(buffer.cast(), length) });
    }
}

/// Whether the host wants the program to end (SIGTERM or SIGINT to the monitor). Asks the monitor, which takes some microseconds. A
/// program that never asks, and uses no network, is ended at once.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_stopping() -> bool {
    static ASKED: AtomicBool = AtomicBool::new(false);
    static STOPPING: AtomicBool = AtomicBool::new(false);
    if !ASKED.swap(true, Ordering::Relaxed) {
        drop(spawn(async {
            shutdown::requested().await;
            STOPPING.store(true, Ordering::Relaxed);
        }));
    }
    turn();
    STOPPING.load(Ordering::Relaxed)
}
