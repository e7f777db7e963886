//! Why the vCPU came back to the monitor, counted.

use serde::Serialize;

/// How often the vCPU came back to the monitor, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExitCounts {
    /// The doorbell's `Enter`: requests to be served, or nothing to do until the deadline.
    pub enter: u64,
    /// The doorbell's `Exit`: the guest ended.
    pub exit: u64,
    /// The doorbell's `Panic`: the guest panicked.
    pub panic: u64,
    /// The doorbell's `Clock`: the clock page was to be rewritten.
    pub clock: u64,
    /// An exception of the guest, told by the monitor's ring-0 stubs.
    pub exception: u64,
    /// An access to an I/O port that is not assigned, or of another width or direction than the doorbell's.
    pub port: u64,
    /// An access to an address without memory, or a write to memory that is read-only below the guest.
    pub mmio: u64,
    /// A signal or the timer interrupted the guest.
    pub interrupted: u64,
    /// Any other reason, shutdown by triple fault and failures of KVM among them.
    pub other: u64,
}

impl ExitCounts {
    /// How often in all.
    #[must_use]
    pub const fn total(&self) -> u64 {
        // Destructured, so that a new reason cannot be left out.
        let Self { enter, exit, panic, clock, exception, port, mmio, interrupted, other } = *self;
        enter + exit + panic + clock + exception + port + mmio + interrupted + other
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCounts;

    #[test]
    fn the_total_counts_every_reason_once() {
        let counts = ExitCounts {
            enter: 1,
            exit: 10,
            panic: 100,
            clock: 1_000,
            exception: 10_000,
            port: 100_000,
            mmio: 1_000_000,
            interrupted: 10_000_000,
            other: 100_000_000,
        };
        assert_eq!(counts.total(), 111_111_111);
    }
}
