//! Tests of the statistics against distributions whose answers are known.

use super::*;

/// Numbers from 0 to 1 that are spread evenly, the same each time (splitmix64).
struct Even(u64);

impl Even {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponentially distributed with mean 1: its median is ln 2.
    fn exponential(&mut self) -> f64 {
        -(1.0 - self.next()).ln()
    }
}

#[test]
fn a_summary_takes_the_nearest_ranks() {
    let summary = Summary::of((1..=100).rev().map(f64::from)).unwrap();
    assert_eq!(summary, Summary { minimum: 1.0, median: 50.5, p90: 90.0, p99: 99.0, count: 100 });
    let one = Summary::of([3.0]).unwrap();
    assert_eq!(one, Summary { minimum: 3.0, median: 3.0, p90: 3.0, p99: 3.0, count: 1 });
    assert_eq!(Summary::of([]), None);
}

#[test]
fn a_summary_of_an_exponential_distribution_is_its_quantiles() {
    let mut even = Even(1);
    let summary = Summary::of((0..200_000).map(|_| even.exponential())).unwrap();
    assert!(summary.minimum < 1e-4);
    for (found, share) in [(summary.median, 0.5), (summary.p90, 0.9), (summary.p99, 0.99)] {
        let expected = -(1.0_f64 - share).ln();
        assert!((found / expected - 1.0).abs() < 0.02, "{found} is not near {expected}");
    }
}

#[test]
fn the_ranks_are_those_of_the_tables() {
    // From published tables of the sign test at 5 %, two-sided: critical value plus 1 is the rank of an end.
    for (count, expected) in
        [(5, 0), (6, 0), (8, 0), (9, 1), (10, 1), (15, 3), (20, 5), (25, 7), (50, 17), (100, 39)]
    {
        assert_eq!(left_out(count), expected, "of {count}");
    }
    // Far beyond what 2^-count can be as an f64, where the normal approximation is exact enough.
    let expected = 5000.0 - 0.98 * 10_000_f64.sqrt();
    assert!((left_out(10_000) as f64 - expected).abs() < 2.0);
}

#[test]
fn an_interval_holds_the_median_in_95_of_100_cases() {
    let mut even = Even(2);
    let mut held = 0;
    for _ in 0..4000 {
        let interval = Interval::of((0..101).map(|_| even.exponential())).unwrap();
        assert!(interval.low <= interval.median && interval.median <= interval.high);
        held += u32::from(interval.low <= std::f64::consts::LN_2 && std::f64::consts::LN_2 <= interval.high);
    }
    // At least 95 %, and not much more: a wider one would hide what there is to see. 1 % is 3 standard deviations.
    assert!((3760..3920).contains(&held), "{held} of 4000");
}

#[test]
fn small_sets_have_their_range_as_interval() {
    assert_eq!(Interval::of([]), None);
    let one = Interval::of([2.0]).unwrap();
    assert_eq!((one.low, one.median, one.high), (2.0, 2.0, 2.0));
    let few = Interval::of([4.0, 1.0, 2.0]).unwrap();
    assert_eq!((few.low, few.median, few.high, few.count), (1.0, 2.0, 4.0, 3));
}
