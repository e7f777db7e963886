//! What the documentation promises, and whether it is kept.

use crate::stats::Interval;
use serde::Serialize;

/// Pairs below which nothing is said for sure.
pub const FEWEST_PAIRS: usize = 100;

/// A promise: a figure as a ratio to a floor of the same run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Promise {
    /// What is promised.
    pub name: String,
    /// What it is compared with.
    pub floor: String,
    /// The median of the floor, with its unit.
    pub floor_figure: String,
    /// The median of what is promised, with its unit.
    pub figure: String,
    /// The figure by the floor, pair by pair.
    pub ratio: Interval,
    /// What the ratio shall be.
    pub target: Target,
    /// What the ratio is to be one day.
    pub moonshot: f64,
    /// Whether it is kept.
    pub verdict: Verdict,
}

/// What could not be measured on this machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unmeasured {
    /// What would have been measured.
    pub name: String,
    /// What its ratio shall be, where something is promised.
    pub target: Option<Target>,
    /// Why it was not.
    pub reason: String,
}

/// The limit of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Of what costs: time, memory.
    AtMost(f64),
    /// Of what is gained: speed.
    AtLeast(f64),
}

/// Whether a promise is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The unfavourable end of the interval meets the target.
    Met,
    /// It does not.
    Missed,
    /// There are too few pairs to tell.
    TooFewPairs,
}

impl Target {
    /// The end of the interval that is compared with the target.
    #[must_use]
    pub const fn unfavourable(self, ratio: Interval) -> f64 {
        match self {
            Self::AtMost(_) => ratio.high,
            Self::AtLeast(_) => ratio.low,
        }
    }

    /// Whether the target is met.
    #[must_use]
    pub fn verdict(self, ratio: Interval) -> Verdict {
        let met = match self {
            Self::AtMost(limit) => ratio.high <= limit,
            Self::AtLeast(limit) => ratio.low >= limit,
        };
        match met {
            _ if ratio.count < FEWEST_PAIRS => Verdict::TooFewPairs,
            true => Verdict::Met,
            false => Verdict::Missed,
        }
    }

    /// For people.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {limit}"),
            Self::AtLeast(limit) => format!("≥ {limit}"),
        }
    }
}

impl Verdict {
    /// For people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::TooFewPairs => "open: fewer than 100 pairs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unfavourable_end_decides() {
        let ratio = |low, high, count| Interval { low, median: f64::midpoint(low, high), high, count };
        for (target, ratio, verdict) in [
            (Target::AtMost(1.5), ratio(1.2, 1.5, 100), Verdict::Met),
            (Target::AtMost(1.5), ratio(1.2, 1.51, 1000), Verdict::Missed),
            (Target::AtLeast(0.9), ratio(0.9, 1.2, 100), Verdict::Met),
            (Target::AtLeast(0.9), ratio(0.89, 1.2, 100), Verdict::Missed),
            (Target::AtLeast(0.9), ratio(0.95, 1.2, 99), Verdict::TooFewPairs),
            (Target::AtMost(0.9), ratio(5.0, 6.0, 99), Verdict::TooFewPairs),
        ] {
            assert_eq!(target.verdict(ratio), verdict, "{target:?} {ratio:?}");
        }
    }
}
