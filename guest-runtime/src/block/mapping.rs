//! A read-only disk whose bytes the monitor has put into the guest's address space.

use crate::task;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use ukvm_abi::boot_info::{DEVICE_MAPPED, DeviceInfo};

/// From this many bytes on, a read of what was not read before is a request. The first touch of each page is a fault on the
/// host, and an exit costs less than three to sixteen of them. The second time the pages are worth being touched.
const LARGE: usize = 32 << 10;
/// Bytes whose large reads are remembered together.
const CHUNK: u64 = LARGE as u64;
/// Bytes after which other tasks have their turn. A read counts as a page at least.
const BUDGET: usize = 128 << 10;

/// What was read since other tasks last had their turn.
static SPENT: AtomicUsize = AtomicUsize::new(0);

/// The disk's bytes.
#[derive(Debug)]
pub(super) struct Mapping {
    start: u64,
    /// A bit for each [`CHUNK`]: whether a large read has had it.
    read: Box<[AtomicU64]>,
}

impl Mapping {
    /// That of a disk, if it has one.
    pub(super) fn of(info: &DeviceInfo) -> Option<Self> {
        if info.features & DEVICE_MAPPED == 0 {
            return None;
        }
        let words = info.capacity.div_ceil(CHUNK * 64);
        Some(Self { start: info.mapping, read: (0..words).map(|_| AtomicU64::new(0)).collect() })
    }

    /// Whether to [`read`](Self::read) here rather than by a request; from now on the range counts as read.
    pub(super) fn serves(&self, offset: u64, length: usize) -> bool {
        if length < LARGE {
            return true;
        }
        let mut all = true;
        for chunk in offset / CHUNK..(offset + length as u64).div_ceil(CHUNK) {
            let (word, bit) = (&self.read[(chunk / 64) as usize], 1 << (chunk % 64));
            let before = word.load(Relaxed);
            all &= before & bit != 0;
            word.store(before | bit, Relaxed);
        }
        all
    }

    /// Copies the bytes at `offset`, all of which are inside the disk. Lets other tasks run now and then.
    pub(super) async fn read(&self, offset: u64, buffer: &mut [u8]) {
        let mut at = self.start + offset;
        for piece in buffer.chunks_mut(BUDGET) {
            // SAFETY: the boot information says that the disk's bytes are there, readable and for ever, and the piece lies
            // inside the disk; it is no memory of this program, so that the two do not overlap.
            unsafe { core::ptr::copy_nonoverlapping(at as *const u8, piece.as_mut_ptr(), piece.len()) };
            at += piece.len() as u64;
            let spent = SPENT.load(Relaxed) + piece.len().max(4096);
            SPENT.store(spent % BUDGET, Relaxed);
            if spent >= BUDGET {
                task::yield_now().await;
            }
        }
    }
}
