//! The clock.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The monotonic clock: the time since some moment before the program's start.
#[must_use]
pub fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    // The kernel's monotonic clock starts at 0, and its nanoseconds are below a second.
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}
