//! The heap: dlmalloc behind a lock.

use crate::call::{failed, raw};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};
use dlmalloc::Dlmalloc;
use libc::{c_int, size_t};

const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, and another thread waits or is about to.
const WANTED: u32 = 2;

/// The only heap of the process.
struct Heap {
    state: AtomicU32,
    heap: UnsafeCell<Dlmalloc>,
}

// SAFETY: `with` lets one thread at a time reach the heap.
unsafe impl Sync for Heap {}

static HEAP: Heap = Heap { state: AtomicU32::new(FREE), heap: UnsafeCell::new(Dlmalloc::new()) };

impl Heap {
    /// Does `work` while no other thread has the heap. The lock is that of "Futexes Are Tricky" (Drepper, 2011), section 5.
    fn with<R>(&self, work: impl FnOnce(&mut Dlmalloc) -> R) -> R {
        if self.state.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_err() {
            while self.state.swap(WANTED, Ordering::Acquire) != FREE {
                self.futex(libc::FUTEX_WAIT, WANTED);
            }
        }
        // SAFETY: this thread has taken the lock, and gives it back below; no signal handler allocates.
        let result = work(unsafe { &mut *self.heap.get() });
        if self.state.swap(FREE, Ordering::Release) == WANTED {
            self.futex(libc::FUTEX_WAKE, 1);
        }
        result
    }

    fn futex(&self, operation: c_int, value: u32) {
        let operation = operation | libc::FUTEX_PRIVATE_FLAG;
        let arguments = [self.state.as_ptr().addr(), operation as usize, value as usize, 0, 0, 0];
        // SAFETY: the word is live; that a wait ends for no reason is allowed for.
        unsafe { raw(libc::SYS_futex, arguments) };
    }
}

/// The memory, or null with `errno` set.
fn found(memory: *mut u8) -> *mut c_void {
    if memory.is_null() {
        failed(libc::ENOMEM);
    }
    memory.cast()
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn malloc(size: size_t) -> *mut c_void {
    // SAFETY: the call has no preconditions.
    found(HEAP.with(|heap| unsafe { heap.c_malloc(size) }))
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn calloc(count: size_t, size: size_t) -> *mut c_void {
    let Some(size) = count.checked_mul(size) else { return found(ptr::null_mut()) };
    // SAFETY: dlmalloc aligns every piece by 16 bytes.
    found(HEAP.with(|heap| unsafe { heap.calloc(size, 16) }))
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn realloc(old: *mut c_void, size: size_t) -> *mut c_void {
    if old.is_null() {
        return malloc(size);
    }
    // SAFETY: the caller has the piece from this heap, and gives it up.
    found(HEAP.with(|heap| unsafe { heap.c_realloc(old.cast(), size) }))
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn free(memory: *mut c_void) {
    if !memory.is_null() {
        // SAFETY: the caller has the piece from this heap, and gives it up.
        HEAP.with(|heap| unsafe { heap.c_free(memory.cast()) });
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_memalign(to: *mut *mut c_void, alignment: size_t, size: size_t) -> c_int {
    // SAFETY: Rust's standard library asks for powers of two.
    let memory = HEAP.with(|heap| unsafe { heap.c_memalign(alignment, size) });
    if memory.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's pointer is to a place for it.
    unsafe { *to = memory.cast() };
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_the_heap() {
        let work = || {
            let mut pieces = Vec::new();
            for size in (0..2000).map(|number| number % 97 * 31 + 1) {
                let piece = malloc(size).cast::<u8>();
                // SAFETY: the piece has this size.
                unsafe { piece.write_bytes(size as u8, size) };
                pieces.push((piece, size));
                if pieces.len() > 40 {
                    let (piece, size) = pieces.remove(size % 40);
                    // SAFETY: the piece has this size, and was written whole.
                    let bytes = unsafe { std::slice::from_raw_parts(piece, size) };
                    assert!(bytes.iter().all(|byte| *byte == size as u8));
                    // SAFETY: the piece is this heap's, and is forgotten.
                    unsafe { free(piece.cast()) };
                }
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    }

    #[test]
    fn pieces_are_zeroed_aligned_and_grow() {
        let zeroed = calloc(1000, 8).cast::<u64>();
        // SAFETY: the piece has this size.
        assert_eq!(unsafe { std::slice::from_raw_parts(zeroed, 1000) }, [0; 1000]);
        // SAFETY: the piece has this size.
        unsafe { zeroed.write(7) };
        // SAFETY: the piece is this heap's.
        let larger = unsafe { realloc(zeroed.cast(), 100_000) }.cast::<u64>();
        // SAFETY: the piece begins with what was in the old one.
        assert_eq!(unsafe { larger.read() }, 7);
        // SAFETY: the piece is this heap's.
        unsafe { free(larger.cast()) };
        assert!(calloc(usize::MAX, 2).is_null());
        let mut aligned = ptr::null_mut();
        // SAFETY: the place is live.
        assert_eq!(unsafe { posix_memalign(&raw mut aligned, 256, 10) }, 0);
        assert_eq!(aligned.addr() % 256, 0);
    }
}
