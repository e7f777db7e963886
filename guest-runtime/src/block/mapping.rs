//! A read-only disk whose bytes the monitor has put into the guest's address space.

use crate::task;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use ukvm_abi::boot_info::{DEVICE_MAPPED, DeviceInfo};

/// From this many bytes on, a read of what was not read [several times](REQUESTS) is a request. The first touch of each page is a fault
/// on the host, and an exit costs less than three to sixteen of them.
pub(crate) const LARGE: usize = 32 << 10;
/// How often a place is read by large requests before its pages are touched. To touch them can cost as much as nine requests, so that
/// a program that reads an image a few times pays for requests only, and one that reads it often soon pays for neither.
const REQUESTS: u8 = 3;
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
    /// For each [`CHUNK`], how many large reads have had it, up to [`REQUESTS`].
    read: Box<[AtomicU8]>,
}

impl Mapping {
    /// That of a disk, if it has one.
    pub(super) fn of(info: &DeviceInfo) -> Option<Self> {
        if info.features & DEVICE_MAPPED == 0 {
            return None;
        }
        let chunks = info.capacity.div_ceil(CHUNK);
        Some(Self { start: info.mapping, read: (0..chunks).map(|_| AtomicU8::new(0)).collect() })
    }

    /// Whether to [`read`](Self::read) here rather than by a request; from now on the range counts as read once more.
    pub(super) fn serves(&self, offset: u64, length: usize) -> bool {
        if length < LARGE {
            return true;
        }
        let mut all = true;
        for chunk in offset / CHUNK..(offset + length as u64).div_ceil(CHUNK) {
            let times = &self.read[chunk as usize];
            let before = times.load(Relaxed);
            if before < REQUESTS {
                times.store(before + 1, Relaxed);
                all = false;
            }
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
