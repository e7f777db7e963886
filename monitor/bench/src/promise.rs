//! What the documentation promises, and whether it is kept.

use crate::stats::Interval;
use serde::{Deserialize, Serialize};

/// Pairs below which nothing is said for sure.
pub const FEWEST_PAIRS: usize = 100;

/// What is promised of a figure: a ratio to a floor of the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promised {
    /// What is promised.
    pub name: String,
    /// What it is compared with.
    pub floor: String,
    /// What the ratio shall be.
    pub target: Target,
    /// What the ratio is to be one day.
    pub moonshot: f64,
}

/// A promise beside what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// What is promised.
    #[serde(flatten)]
    pub promised: Promised,
    /// The median of the floor, with its unit.
    pub floor_figure: String,
    /// The median of what is promised, with its unit.
    pub figure: String,
    /// The figure by the floor, pair by pair.
    pub ratio: Interval,
    /// Whether it is kept.
    pub verdict: Verdict,
}

/// A figure that was wanted and not measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unmeasured {
    /// What would have been measured.
    pub name: String,
    /// What it would have been compared with.
    pub floor: String,
    /// What its ratio shall be, where something is promised.
    pub target: Option<Target>,
    /// What the ratio is to be one day, where that is known without measuring.
    pub moonshot: Option<f64>,
    /// Why it was not.
    pub reason: String,
}

impl Promised {
    /// The promise beside what was measured: the floor's figure, its own, and their ratio.
    #[must_use]
    pub fn beside(self, floor_figure: String, figure: String, ratio: Interval) -> Promise {
        let verdict = self.target.verdict(ratio);
        Promise { promised: self, floor_figure, figure, ratio, verdict }
    }

    /// It was not measured.
    #[must_use]
    pub fn unmeasured(self, reason: &str) -> Unmeasured {
        let Self { name, floor, target, moonshot } = self;
        Unmeasured { name, floor, target: Some(target), moonshot: Some(moonshot), reason: reason.to_owned() }
    }
}

/// The limit of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Of what costs: time, memory.
    AtMost(f64),
    /// Of what is gained: speed.
    AtLeast(f64),
}

/// Whether a promise is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// How good a ratio is beside the target, in one direction for all: 1 meets it, 2 is twice as good.
    #[must_use]
    pub const fn goodness(self, ratio: f64) -> f64 {
        match self {
            Self::AtMost(limit) => limit / ratio,
            Self::AtLeast(limit) => ratio / limit,
        }
    }

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

    #[test]
    fn what_is_better_than_the_target_is_above_1() {
        for (target, ratio, goodness) in [
            (Target::AtMost(2.0), 1.0, 2.0),
            (Target::AtMost(2.0), 4.0, 0.5),
            (Target::AtLeast(0.5), 1.0, 2.0),
            (Target::AtLeast(0.5), 0.5, 1.0),
        ] {
            assert_eq!(target.goodness(ratio), goodness);
        }
    }
}
