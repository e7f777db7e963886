//! The heap: talc on the memory that the monitor left over.
//!
//! First the small piece in 4 KiB pages; the rest, in 2 MiB pages, only once that is full, and one page after the other, as the
//! first touch of each costs the host the zeroing of 2 MiB.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use talc::TalcCell;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;
use ukvm_abi::boot_info::Range;

/// What the heap grows by, in bytes: the size of its pages.
const STEP: u64 = 2 << 20;
/// What talc may need beside the bytes that were asked for: its own tags, and its table of bins where a heap is new. Generous.
const OVERHEAD: u64 = 4096;

#[global_allocator]
static HEAP: Heap = Heap(TalcCell::new(BootMemory { small_claimed: false, heap_end: None, used: 0 }));

static EXHAUSTED: AtomicBool = AtomicBool::new(false);

/// Whether an allocation ever failed.
pub(crate) fn is_exhausted() -> bool {
    EXHAUSTED.load(Ordering::Relaxed)
}

struct Heap(TalcCell<BootMemory>);

// SAFETY: a guest has one vCPU and no interrupt handlers, and talc calls nobody back but `BootMemory`, which does not
// allocate.
unsafe impl Sync for Heap {}

// SAFETY: talc's own implementation does the work.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { self.0.dealloc(address, layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { self.0.realloc(address, layout, new_size) }
    }
}

/// Where talc gets its memory from.
#[derive(Debug)]
struct BootMemory {
    small_claimed: bool,
    /// The end of the part of the big heap that talc has.
    heap_end: Option<NonNull<u8>>,
    /// Bytes of the big heap that talc has.
    used: u64,
}

// SAFETY: the pointer is talc's own token; there is one thread of execution.
unsafe impl Send for BootMemory {}

// SAFETY: neither function allocates.
unsafe impl Source for BootMemory {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let result = grow(talc, layout);
        if result.is_err() {
            EXHAUSTED.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// Gives talc the next piece, large enough for `layout`.
fn grow<B: Binning>(talc: &mut Talc<BootMemory, B>, layout: Layout) -> Result<(), ()> {
    let boot_info = crate::boot_info();
    if !talc.source.small_claimed {
        talc.source.small_claimed = true;
        let Range { start, length } = boot_info.small_heap;
        // SAFETY: the monitor left this memory to the guest, and nothing else in the guest uses it. Where it
        // is too small for talc, it stays unused.
        if unsafe { talc.claim(start as *mut u8, length as usize) }.is_some() {
            return Ok(());
        }
    }
    let Range { start, length } = boot_info.heap;
    let wanted = (layout.size() as u64).checked_add(layout.align() as u64 + OVERHEAD).ok_or(())?;
    let left = length - talc.source.used;
    // All that is left may do, together with what is free before it; if not, talc asks again, and nothing is left.
    let step = wanted.checked_next_multiple_of(STEP).ok_or(())?.min(left);
    if step == 0 {
        return Err(());
    }
    let used = talc.source.used + step;
    let end = match talc.source.heap_end {
        // SAFETY: the memory up to the new end is the monitor's gift, not used by anything else, and behind the old
        // end that talc itself returned.
        Some(old) => unsafe { talc.extend(old, (start + used) as *mut u8) },
        // SAFETY: the monitor left this memory to the guest, and nothing else in the guest uses it.
        None => unsafe { talc.claim(start as *mut u8, step as usize) }.ok_or(())?,
    };
    talc.source.used = used;
    talc.source.heap_end = Some(end);
    Ok(())
}
