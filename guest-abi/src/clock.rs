//! The clock page: the time of day and a monotonic clock without an exit.
//!
//! The monitor rewrites the page, read-only for the guest, under a sequence lock: [`SEQUENCE`] is odd while it writes. A
//! reader loads the sequence, the fields, and the sequence again, and starts over if the two differ or are
//! odd. With `t` the guest's time stamp counter (`RDTSC`):
//!
//! ```text
//! monotonic = MONOTONIC_BASE + ((t - TSC_BASE) * TSC_TO_NS >> 32)
//! wall      = monotonic + WALL_OFFSET  (modulo 2^64)
//! ```
//!
//! Where [`TSC_USABLE`] is clear in [`FLAGS`], the counter is of no use: the guest rings
//! [`Clock`](crate::doorbell::Function::Clock) and takes `MONOTONIC_BASE` as it then stands.
//!
//! All constants are byte offsets from the page's start; each field is 8 bytes but the first two, which are 4.

use crate::ring::SharedWords;

/// `u32`: odd while the monitor writes.
pub const SEQUENCE: usize = 0;
/// `u32`: flags, see [`TSC_USABLE`].
pub const FLAGS: usize = 4;
/// `u64`: the guest's time stamp counter when the page was written.
pub const TSC_BASE: usize = 8;
/// `u64`: nanoseconds a tick, a 32.32 fixed-point number.
pub const TSC_TO_NS: usize = 16;
/// `u64`: the monotonic clock at `TSC_BASE`, in nanoseconds. It starts anywhere and never goes back.
pub const MONOTONIC_BASE: usize = 24;
/// `u64`: what to add to the monotonic clock to get nanoseconds since 1970-01-01T00:00:00Z.
pub const WALL_OFFSET: usize = 32;
/// `u64`: the generation of this virtual machine: 0 at its first start; another value tells a guest that it was
/// cloned and must take a new seed.
pub const GENERATION: usize = 40;

/// In [`FLAGS`]: the time stamp counter runs at a constant rate, so that the formula holds.
pub const TSC_USABLE: u32 = 1;

/// The clock's parameters, as the page holds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// See [`FLAGS`].
    pub flags: u32,
    /// See [`TSC_BASE`].
    pub tsc_base: u64,
    /// See [`TSC_TO_NS`].
    pub tsc_to_ns: u64,
    /// See [`MONOTONIC_BASE`].
    pub monotonic_base: u64,
    /// See [`WALL_OFFSET`].
    pub wall_offset: u64,
    /// See [`GENERATION`].
    pub generation: u64,
}

impl Clock {
    /// The monotonic clock in nanoseconds when the time stamp counter is `tsc`.
    ///
    /// A counter that reads less than the base counts as the base, so that the clock does not jump by centuries.
    #[must_use]
    pub const fn monotonic_at(&self, tsc: u64) -> u64 {
        let ticks = tsc.saturating_sub(self.tsc_base);
        self.monotonic_base.wrapping_add(((ticks as u128 * self.tsc_to_ns as u128) >> 32) as u64)
    }

    /// Reads a consistent set of parameters from the page.
    pub fn read(page: &impl SharedWords) -> Self {
        loop {
            let before = page.load_u32_acquire(SEQUENCE);
            let clock = Self {
                flags: page.load_u32_acquire(FLAGS),
                tsc_base: page.load_u64_acquire(TSC_BASE),
                tsc_to_ns: page.load_u64_acquire(TSC_TO_NS),
                monotonic_base: page.load_u64_acquire(MONOTONIC_BASE),
                wall_offset: page.load_u64_acquire(WALL_OFFSET),
                generation: page.load_u64_acquire(GENERATION),
            };
            // The acquiring loads above keep this one behind them.
            if before.is_multiple_of(2) && page.load_u32_acquire(SEQUENCE) == before {
                return clock;
            }
            core::hint::spin_loop();
        }
    }

    /// Writes the parameters to the page. `sequence` is the writer's own count, even, and is returned advanced; it never
    /// comes from the page. There may be one writer only.
    #[must_use]
    pub fn write(&self, page: &impl SharedWords, sequence: u32) -> u32 {
        page.store_u32_release(SEQUENCE, sequence.wrapping_add(1));
        // The releasing stores keep the order that a reader relies on: odd sequence, fields, even sequence.
        page.store_u32_release(FLAGS, self.flags);
        page.store_u64_release(TSC_BASE, self.tsc_base);
        page.store_u64_release(TSC_TO_NS, self.tsc_to_ns);
        page.store_u64_release(MONOTONIC_BASE, self.monotonic_base);
        page.store_u64_release(WALL_OFFSET, self.wall_offset);
        page.store_u64_release(GENERATION, self.generation);
        page.store_u32_release(SEQUENCE, sequence.wrapping_add(2));
        sequence.wrapping_add(2)
    }
}
