//! The clock page: keeps the guest's idea of time at the host's.

use crate::memory::SharedArea;
use std::arch::x86_64::_rdtsc;
use ukvm_abi::clock::{Clock, TSC_USABLE};

/// How old the page may be when the guest enters, in nanoseconds.
const MAX_AGE: u64 = 1_000_000_000;
/// Over how long the counter's rate is measured, at least and once the guest has run that long, in nanoseconds.
const SPAN: u64 = 32_000_000_000;
/// A rate that differs from the stated one by more than this part of it was not measured: the host was suspended, or its
/// counter was set.
const MOST_OFF: u64 = 1000;
/// How often a moment is measured, for the best of these: a thread can lose its processor between two clocks.
const TRIES: u32 = 4;
/// What is good enough to try no more, in nanoseconds: three system calls, where the clock is not read through the vDSO.
const GOOD: u64 = 2_000;

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
    measured: Measured,
}

/// The moments between which the counter's rate is measured: the older of them, and the one that follows it.
#[derive(Clone, Copy, Debug)]
struct Measured {
    from: Sample,
    next: Sample,
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
        Self { page, sequence, current, nominal, offset, measured: Measured { from: now, next: now } }
    }

    /// The monotonic clock as the guest reads it now.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.at(counter().wrapping_add(self.offset)).unwrap_or_else(monotonic)
    }

    /// The monotonic clock when the guest's counter read `counter`, which is not long ago; `None` where the counter is no clock.
    #[must_use]
    pub fn at(&self, counter: u64) -> Option<u64> {
        (self.current.flags & TSC_USABLE != 0).then(|| self.current.monotonic_at(counter))
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
        let now = sample(self.offset);
        self.current = next(&self.current, self.measured.rate(self.nominal, now), now);
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

impl Measured {
    /// Nanoseconds a tick up to `now`, `nominal` being about that.
    fn rate(&mut self, nominal: u64, now: Sample) -> u64 {
        let ticks = u128::from(now.tsc.saturating_sub(self.from.tsc)).max(1);
        let time = u128::from(now.monotonic.saturating_sub(self.from.monotonic));
        let rate = ((time << 32) / ticks).try_into().unwrap_or(u64::MAX);
        if nominal.abs_diff(rate) > nominal / MOST_OFF {
            *self = Self { from: now, next: now };
            return nominal;
        }
        if now.monotonic.saturating_sub(self.next.monotonic) >= SPAN {
            *self = Self { from: self.next, next: now };
        }
        rate
    }
}

/// The parameters after `previous`, given what the clocks say `now`, and nanoseconds a tick since the last look.
///
/// The guest's monotonic clock never goes back: it carries on where the old parameters have taken it, at the `rate` of the host's.
/// That the two then read alike matters to nobody, and a rate that made up for a difference would be wrong for a guest that
/// computes for hours without a look at the monitor. The wall clock is the host's at once.
fn next(previous: &Clock, rate: u64, now: Sample) -> Clock {
    let base = if previous.flags & TSC_USABLE != 0 {
        previous.monotonic_at(now.tsc)
    } else {
        now.monotonic.max(previous.monotonic_base)
    };
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

/// What the clocks say now; the counter is taken between two readings of the host's clock, of which it takes the middle.
fn sample(offset: u64) -> Sample {
    best(GOOD, || {
        let before = read(libc::CLOCK_MONOTONIC);
        let tsc = counter().wrapping_add(offset);
        let wall = read(libc::CLOCK_REALTIME);
        let after = read(libc::CLOCK_MONOTONIC);
        let apart = after.saturating_sub(before);
        (Sample { tsc, monotonic: before.saturating_add(apart / 2), wall }, apart)
    })
}

/// The best of some measurements: the one whose second number is the least, the first that is at most `good`.
fn best<T>(good: u64, mut measure: impl FnMut() -> (T, u64)) -> T {
    let mut best = measure();
    for _ in 1..TRIES {
        if best.1 <= good {
            break;
        }
        let other = measure();
        if other.1 < best.1 {
            best = other;
        }
    }
    best.0
}

/// The host's monotonic clock in nanoseconds.
#[must_use]
pub fn monotonic() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// The host's time of day: nanoseconds since 1970-01-01T00:00:00Z.
#[must_use]
pub fn wall() -> u64 {
    read(libc::CLOCK_REALTIME)
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
    best(0, || {
        let before = counter();
        let tsc = guest();
        let apart = counter().wrapping_sub(before);
        (tsc.map(|tsc| tsc.wrapping_sub(before.wrapping_add(apart / 2))), apart)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GHZ_2: u64 = (1 << 32) / 2;

    fn at(tsc: u64, monotonic: u64) -> Sample {
        Sample { tsc, monotonic, wall: monotonic + 1_000_000_000_000 }
    }

    /// A clock that starts at 0, rewritten as its page is.
    struct Guest {
        clock: Clock,
        measured: Measured,
    }

    impl Guest {
        fn new() -> Self {
            let now = at(0, 0);
            Self { clock: first(TSC_USABLE, GHZ_2, now), measured: Measured { from: now, next: now } }
        }

        fn rewrite(&mut self, now: Sample) {
            let before = self.clock.monotonic_at(now.tsc);
            self.clock = next(&self.clock, self.measured.rate(GHZ_2, now), now);
            assert_eq!(self.clock.monotonic_base, before, "it neither goes back nor leaps");
            let wall = self.clock.monotonic_base.wrapping_add(self.clock.wall_offset);
            assert_eq!(wall, now.wall, "the wall clock is exact at once");
        }
    }

    /// The host's clock at `tsc`, where it differs from two ticks a nanosecond.
    fn host(tsc: u64, parts_per_million: i64) -> Sample {
        at(
            tsc,
            (tsc / 2)
                .wrapping_add_signed((i128::from(tsc) * i128::from(parts_per_million) / 2_000_000) as i64),
        )
    }

    #[test]
    fn a_clock_runs_as_the_hosts_does_however_seldom_it_is_looked_at() {
        const SECOND: u64 = 2_000_000_000;
        for parts_per_million in [-500_i64, -50, -1, 0, 1, 50, 500] {
            for long in [3, 100, 1000, 100_000] {
                let mut guest = Guest::new();
                let mut tsc = 0;
                for (step, seconds) in [2, 2, long, 2, long, long, 2, 2, 2, 5, long].into_iter().enumerate() {
                    let from = guest.clock.monotonic_at(tsc);
                    let elapsed = host(tsc + seconds * SECOND, parts_per_million).monotonic
                        - host(tsc, parts_per_million).monotonic;
                    tsc += seconds * SECOND;
                    let off = (guest.clock.monotonic_at(tsc) - from).abs_diff(elapsed);
                    // Before the first look nothing is known of the rate but what KVM states.
                    let most =
                        if step == 0 { 2_000 * parts_per_million.unsigned_abs() + 10 } else { seconds + 10 };
                    assert!(off <= most, "{parts_per_million} {long}: {off} ns in {seconds} s");
                    guest.rewrite(host(tsc, parts_per_million));
                }
            }
        }
    }

    #[test]
    fn a_rate_that_changes_is_followed() {
        let mut guest = Guest::new();
        let (mut tsc, mut time) = (0, 0);
        for step in 0..200 {
            tsc += 2_000_000_000;
            time += if step < 100 { 1_000_100_000 } else { 999_900_000 };
            guest.rewrite(at(tsc, time));
        }
        assert!(guest.clock.tsc_to_ns.abs_diff(GHZ_2 - GHZ_2 / 10_000) < GHZ_2 / 10_000_000);
    }

    #[test]
    fn what_no_rate_explains_changes_none() {
        for (tsc, time) in
            [(2_000, 60_000_000_000), (7_200_000_000_000, 1_000_000_000), (2_200_000_000, 1_090_000_000)]
        {
            let mut guest = Guest::new();
            guest.rewrite(at(tsc, time));
            assert_eq!(guest.clock.tsc_to_ns, GHZ_2);
            guest.rewrite(at(tsc + 2_000_000_000, time + 1_000_010_000));
            assert!((1..GHZ_2 / 50_000).contains(&(guest.clock.tsc_to_ns - GHZ_2)));
        }
    }

    #[test]
    fn a_counter_that_was_set_back_does_not_take_the_clock_along() {
        let mut guest = Guest::new();
        guest.rewrite(at(4_000_000_000, 2_000_000_000));
        guest.rewrite(at(1_000, 3_000_000_000));
        assert_eq!(guest.clock.monotonic_at(2_000_001_000), 3_000_000_000);
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
    fn the_best_measurement_counts() {
        let mut tries = [(1, 50), (2, 30), (3, 40), (4, 31), (5, 0)].into_iter();
        assert_eq!(best(10, || tries.next().unwrap()), 2);
        let mut tries = [(1, 50), (2, 9), (3, 0)].into_iter();
        assert_eq!(best(10, || tries.next().unwrap()), 2);
    }

    #[test]
    fn the_offset_is_that_between_the_counters() {
        let offset = counter_offset(|| Ok(counter().wrapping_add(1 << 40))).unwrap();
        assert!(offset.abs_diff(1 << 40) < 1 << 30);
    }
}
