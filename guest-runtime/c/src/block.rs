//! Disks.

use crate::error::{UKVM_NO_DEVICE, of_disk};
use crate::object::{Object, find, insert};
use crate::program::to_str;
use core::ffi::{c_char, c_int, c_void};
use core::slice;
use ukvm_runtime::block::Disk;
use ukvm_runtime::task::block_on;

/// Opens the disk that the program declares by `name`. Gives its number, or an error below 0.
///
/// # Safety
///
/// `name` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_disk_open(name: *const c_char) -> c_int {
    // SAFETY: the caller says so.
    Disk::open(unsafe { to_str(name) }).map_or(UKVM_NO_DEVICE, |disk| insert(Object::Disk(disk)))
}

fn disk(number: c_int) -> Result<Disk, c_int> {
    find(number, |object| match object {
        Object::Disk(disk) => Some(disk.clone()),
        _ => None,
    })
}

/// The disk's size in bytes; 0 where the number is no disk's.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_disk_size(number: c_int) -> u64 {
    disk(number).map_or(0, |disk| disk.len())
}

/// The unit of offsets and lengths in bytes, a power of two; 0 where the number is no disk's.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_disk_block_size(number: c_int) -> usize {
    disk(number).map_or(0, |disk| disk.block_size())
}

/// Whether the disk can only be read.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_disk_is_read_only(number: c_int) -> bool {
    disk(number).is_ok_and(|disk| disk.is_read_only())
}

/// Reads `length` bytes at `offset`. Gives 0 or an error.
///
/// # Safety
///
/// `length` bytes at `buffer` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_disk_read(
    number: c_int,
    offset: u64,
    buffer: *mut c_void,
    length: usize,
) -> c_int {
    let bytes: &mut [u8] = match length {
        0 => &mut [],
        // SAFETY: the caller says so; bytes of any value are bytes.
        _ => unsafe { slice::from_raw_parts_mut(buffer.cast(), length) },
    };
    result(disk(number).and_then(|disk| block_on(disk.read(offset, bytes)).map_err(of_disk)))
}

/// Writes `length` bytes at `offset`; they are durable after a flush. Gives 0 or an error.
///
/// # Safety
///
/// `length` bytes at `bytes` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_disk_write(
    number: c_int,
    offset: u64,
    bytes: *const c_void,
    length: usize,
) -> c_int {
    let bytes: &[u8] = match length {
        0 => &[],
        // SAFETY: the caller says so.
        _ => unsafe { slice::from_raw_parts(bytes.cast(), length) },
    };
    result(disk(number).and_then(|disk| block_on(disk.write(offset, bytes)).map_err(of_disk)))
}

/// Makes all that was written durable. Gives 0 or an error.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_disk_flush(number: c_int) -> c_int {
    result(disk(number).and_then(|disk| block_on(disk.flush()).map_err(of_disk)))
}

fn result(done: Result<(), c_int>) -> c_int {
    done.err().unwrap_or(0)
}
