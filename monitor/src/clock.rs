//! The clock page: keeps the guest's idea of time at the host's.

use crate::memory::SharedArea;
use std::arch::x86_64::_rdtsc;
use ukvm_abi::clock::{Clock, TSC_USABLE};

/// How old the page may be when the guest enters, in nanoseconds.
const MAX_AGE: u64 = 1_000_000_000;
/// Over how long an error of the monotonic clock is worked off, in nanoseconds.
const SLEW: i64 = 1_000_000_000;

/// A moment on the guest's counter and on the host's clocks, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The guest's time stamp counter.
    pub tsc: u64,
    /// `CLOCK_MONOTONIC`.
    pub monotonic: u64,
    /// `CLOCK_REALTIME`.
    pub wall: u64,
}

/// Writes the clock page.
#[derive(Debug)]
pub struct ClockPage {
    page: SharedArea,
    sequence: u32,
    current: Clock,
    /// Nanoseconds a tick as KVM states the counter's rate, 32.32 fixed point.
    nominal: u64,
    /// What to add to the host's counter to get the guest's.
    offset: u64,
}

impl ClockPage {
    /// Writes the page for the first time. `khz` is the rate of the guest's counter, `offset` what to add to the host's counter
    /// to get it; `usable` says whether it runs at that rate always.
    #[must_use]
    pub fn new(page: SharedArea, khz: u32, offset: u64, usable: bool) -> Self {
        let nominal = tick(khz);
        let flags = if usable { TSC_USABLE } else { 0 };
        let now = sample(offset);
        let current = first(flags, nominal, now);
        let sequence = current.write(&page, 0);
        Self { page, sequence, current, nominal, offset }
    }

    /// The monotonic clock as the guest reads it now.
    #[must_use]
    pub fn now(&self) -> u64 {
        if self.current.flags & TSC_USABLE == 0 {
            return sample(self.offset).monotonic;
        }
        self.current.monotonic_at(counter().wrapping_add(self.offset))
    }

    /// Rewrites the page if it is older than a second.
    pub fn refresh(&mut self) {
        let age = self.now().saturating_sub(self.current.monotonic_base);
        if age > MAX_AGE {
            self.rewrite();
        }
    }

    /// Rewrites the page.
    pub fn rewrite(&mut self) {
        self.current = next(&self.current, self.nominal, sample(self.offset));
        self.sequence = self.current.write(&self.page, self.sequence);
    }
}

/// Nanoseconds a tick at `khz`, 32.32 fixed point; a counter that does not run counts as 1 GHz.
fn tick(khz: u32) -> u64 {
    (1_000_000_u64 << 32) / u64::from(if khz == 0 { 1_000_000 } else { khz })
}

fn first(flags: u32, nominal: u64, now: Sample) -> Clock {
    Clock {
        flags,
        tsc_base: now.tsc,
        tsc_to_ns: nominal,
        monotonic_base: now.monotonic,
        wall_offset: now.wall.wrapping_sub(now.monotonic),
        generation: 0,
    }
}

/// The parameters after `previous`, given what the clocks say `now`.
///
/// The guest's monotonic clock never goes back: it carries on where the old parameters have taken it, at the rate that the host
/// measured since, bent so that an error is gone after a second. If it lags by more than that allows, it leaps ahead.
fn next(previous: &Clock, nominal: u64, now: Sample) -> Clock {
    let usable = previous.flags & TSC_USABLE != 0;
    let guest = if usable { previous.monotonic_at(now.tsc) } else { previous.monotonic_base };
    let ahead = guest.wrapping_sub(now.monotonic).cast_signed();
    // Half a second behind is a suspended host, not a rate; ahead can only be a rate.
    let base = if ahead < -SLEW / 2 || !usable { now.monotonic.max(guest) } else { guest };
    let error = base.wrapping_sub(now.monotonic).cast_signed().clamp(-SLEW / 2, SLEW / 2);
    let bend = i128::from(nominal) * i128::from(error) / i128::from(SLEW);
    let rate = (i128::from(nominal) - bend).try_into().unwrap_or(nominal);
    Clock {
        tsc_base: now.tsc,
        tsc_to_ns: rate,
        monotonic_base: base,
        wall_offset: now.wall.wrapping_sub(base),
        ..*previous
    }
}

fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux lets processes use it.
    unsafe { _rdtsc() }
}

/// What the clocks say now; the counter is taken between the two readings of the host's clock, of which it takes the middle.
fn sample(offset: u64) -> Sample {
    let before = read(libc::CLOCK_MONOTONIC);
    let tsc = counter().wrapping_add(offset);
    let wall = read(libc::CLOCK_REALTIME);
    let after = read(libc::CLOCK_MONOTONIC);
    Sample { tsc, monotonic: before + (after - before) / 2, wall }
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is live; both clocks exist on every Linux, so that the call cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    (time.tv_sec.cast_unsigned()).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.cast_unsigned())
}

/// What to add to the host's counter to get the guest's, `guest` reading the latter.
///
/// # Errors
///
/// What `guest` says.
pub fn counter_offset(mut guest: impl FnMut() -> std::io::Result<u64>) -> std::io::Result<u64> {
    let before = counter();
    let tsc = guest()?;
    let after = counter();
    Ok(tsc.wrapping_sub(before + after.wrapping_sub(before) / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GHZ_2: u64 = (1 << 32) / 2;

    fn at(tsc: u64, monotonic: u64) -> Sample {
        Sample { tsc, monotonic, wall: monotonic + 1_000_000_000_000 }
    }

    #[test]
    fn a_host_whose_clock_runs_otherwise_is_followed_without_going_back() {
        for parts_per_million in [-500_i64, -20, 0, 20, 500] {
            let mut clock = first(TSC_USABLE, GHZ_2, at(0, 0));
            let (mut tsc, mut last) = (0_u64, 0);
            for _ in 0..200 {
                for _ in 0..10 {
                    tsc += 220_000_000;
                    let now = clock.monotonic_at(tsc);
                    assert!(now > last);
                    last = now;
                }
                let host = (tsc / 2).wrapping_add_signed(tsc as i64 / 2_000_000 * parts_per_million);
                clock = next(&clock, GHZ_2, at(tsc, host));
                assert!(clock.monotonic_at(tsc) >= last, "{parts_per_million}");
                assert!(clock.monotonic_base.abs_diff(host) < 3_000_000, "{parts_per_million}");
                let wall = clock.monotonic_base.wrapping_add(clock.wall_offset);
                assert_eq!(wall, host + 1_000_000_000_000, "the wall clock is exact at once");
            }
        }
    }

    #[test]
    fn a_host_that_was_suspended_is_caught_up_with() {
        let clock = first(TSC_USABLE, GHZ_2, at(0, 0));
        let clock = next(&clock, GHZ_2, at(2_000, 60_000_000_000));
        assert_eq!(clock.monotonic_base, 60_000_000_000);
        assert_eq!(clock.tsc_to_ns, GHZ_2);
    }

    #[test]
    fn without_a_counter_the_base_is_the_clock() {
        let clock = first(0, GHZ_2, at(0, 500));
        assert_eq!(next(&clock, GHZ_2, at(u64::MAX, 400)).monotonic_base, 500);
        assert_eq!(next(&clock, GHZ_2, at(0, 600)).monotonic_base, 600);
    }

    #[test]
    fn rates_are_nanoseconds_a_tick() {
        assert_eq!(tick(1_000_000), 1 << 32);
        assert_eq!(tick(2_000_000), GHZ_2);
        assert_eq!(tick(0), 1 << 32);
    }

    #[test]
    fn the_offset_is_that_between_the_counters() {
        let offset = counter_offset(|| Ok(counter().wrapping_add(1 << 40))).unwrap();
        assert!(offset.abs_diff(1 << 40) < 1 << 30);
    }
}
