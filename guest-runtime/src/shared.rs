//! Memory that the monitor writes, too.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use ukvm_abi::ring::SharedWords;

/// An area of memory that is shared with the monitor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedArea {
    base: NonNull<u8>,
    length: usize,
}

impl SharedArea {
    /// The area of `length` bytes at `address`.
    ///
    /// # Safety
    ///
    /// It is mapped, aligned to 8 bytes, stays so for ever, and nobody makes a reference into it. It is
    /// writable, unless only its loads are used.
    pub(crate) unsafe fn new(address: u64, length: usize) -> Self {
        let base = NonNull::new(address as *mut u8).expect("the monitor maps nothing at address 0");
        Self { base, length }
    }

    fn word(&self, offset: usize, size: usize) -> *mut u8 {
        assert!(
            offset.is_multiple_of(size) && offset <= self.length - size,
            "an access outside the shared area"
        );
        self.base.as_ptr().wrapping_add(offset)
    }

    fn u32_at(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: the address is aligned and in memory that stays mapped; all access to it is atomic.
        unsafe { AtomicU32::from_ptr(self.word(offset, 4).cast()) }
    }

    fn u64_at(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: the address is aligned and in memory that stays mapped; all access to it is atomic.
        unsafe { AtomicU64::from_ptr(self.word(offset, 8).cast()) }
    }
}

impl SharedWords for SharedArea {
    fn load_u32_acquire(&self, offset: usize) -> u32 {
        self.u32_at(offset).load(Ordering::Acquire)
    }

    fn store_u32_release(&self, offset: usize, value: u32) {
        self.u32_at(offset).store(value, Ordering::Release);
    }

    fn load_u64_acquire(&self, offset: usize) -> u64 {
        self.u64_at(offset).load(Ordering::Acquire)
    }

    fn store_u64_release(&self, offset: usize, value: u64) {
        self.u64_at(offset).store(value, Ordering::Release);
    }
}
