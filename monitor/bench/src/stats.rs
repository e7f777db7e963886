//! Order statistics, which assume nothing of how the values are spread.

use serde::{Deserialize, Serialize};

/// What is told of a set of values, in their own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The least.
    pub minimum: f64,
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// Nine of ten are not above it.
    pub p90: f64,
    /// 99 of 100 are not above it.
    pub p99: f64,
    /// How many there are.
    pub count: usize,
}

impl Summary {
    /// The summary of at least one value.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values = sorted(values);
        Some(Self {
            minimum: *values.first()?,
            median: median(&values)?,
            p90: at_share(&values, 0.9)?,
            p99: at_share(&values, 0.99)?,
            count: values.len(),
        })
    }
}

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The upper end.
    pub high: f64,
    /// How many values it is of.
    pub count: usize,
}

impl Interval {
    /// Fewer values have no 95 % interval, and [`Interval::of`] gives their whole range.
    pub const FEWEST: usize = 6;

    /// The interval between two of the values that holds the median of the distribution they are from in at least 95 of
    /// 100 cases. How many values lie below that median is a matter of tossing coins, and so the ends' ranks come from the
    /// binomial distribution (the sign test's interval).
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values = sorted(values);
        let below = left_out(values.len());
        let low = *values.get(below)?;
        let high = *values.get(values.len().checked_sub(below + 1)?)?;
        Some(Self { low, median: median(&values)?, high, count: values.len() })
    }
}

/// How many values can be left out at each end of an interval of 95 %: the interval misses the median if no more values than
/// these lie on one side of it, which must not be more probable than 2.5 %.
fn left_out(count: usize) -> usize {
    /// Of an end.
    const PROBABILITY: f64 = 0.025;
    // The logarithm of the probability of so many tails, as 2^-count is no f64 for a large count.
    let mut logarithm = -(count as f64) * std::f64::consts::LN_2;
    let mut probability = 0.0;
    for tails in 0..count {
        probability += logarithm.exp();
        if probability > PROBABILITY {
            return tails.saturating_sub(1);
        }
        logarithm += ((count - tails) as f64 / (tails + 1) as f64).ln();
    }
    0
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The median of sorted values.
fn median(values: &[f64]) -> Option<f64> {
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// The least of the sorted values that at least this share of them is not above (the nearest rank).
fn at_share(values: &[f64], share: f64) -> Option<f64> {
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
#[path = "stats_tests.rs"]
mod tests;
