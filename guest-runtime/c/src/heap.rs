//! The C library's functions for memory: a block's size stands in front of it.

use alloc::alloc::{alloc, alloc_zeroed, dealloc, realloc as grow};
use core::alloc::Layout;
use core::ffi::c_void;
use core::ptr;

/// Bytes in front of a block, and its alignment: that of C's `max_align_t` on x86-64 (System V ABI, AMD64 supplement).
const HEAD: usize = 16;

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(HEAD)?, HEAD).ok()
}

/// Notes the size in front of a block.
fn begin(block: *mut u8, size: usize) -> *mut c_void {
    if block.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the allocator has given `HEAD` bytes more than `size`, aligned to that.
    unsafe { block.cast::<usize>().write(size) };
    block.wrapping_add(HEAD).cast()
}

/// The block that `memory` is in, and the size that was asked for.
///
/// # Safety
///
/// `memory` came from a function here and was not freed.
unsafe fn block(memory: *mut c_void) -> (*mut u8, usize) {
    let block = memory.cast::<u8>().wrapping_sub(HEAD);
    // SAFETY: `begin` has put it there.
    (block, unsafe { block.cast::<usize>().read() })
}

/// As the C library's: NULL where there is not so much memory.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    // SAFETY: the layout's size is not 0.
    layout(size).map_or(ptr::null_mut(), |layout| begin(unsafe { alloc(layout) }, size))
}

/// As the C library's.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(size) = count.checked_mul(size) else { return ptr::null_mut() };
    // SAFETY: the layout's size is not 0.
    layout(size).map_or(ptr::null_mut(), |layout| begin(unsafe { alloc_zeroed(layout) }, size))
}

/// As the C library's.
///
/// # Safety
///
/// `memory` is NULL, or came from these functions and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(memory: *mut c_void, size: usize) -> *mut c_void {
    if memory.is_null() {
        return malloc(size);
    }
    // SAFETY: the caller says so.
    let (block, old) = unsafe { block(memory) };
    let (Some(old), Some(new)) = (layout(old), layout(size)) else { return ptr::null_mut() };
    // SAFETY: the block has this layout, as its size was noted; the new size is not 0 and has a layout.
    begin(unsafe { grow(block, old, new.size()) }, size)
}

/// As the C library's.
///
/// # Safety
///
/// `memory` is NULL, or came from these functions and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(memory: *mut c_void) {
    if memory.is_null() {
        return;
    }
    // SAFETY: the caller says so.
    let (block, size) = unsafe { block(memory) };
    if let Some(layout) = layout(size) {
        // SAFETY: the block has this layout, as its size was noted.
        unsafe { dealloc(block, layout) };
    }
}
