//! A server under load: what its client measured in a turn, and what that comes to over all.

use crate::stats::{Interval, Summary};
use crate::table;
use serde::{Deserialize, Serialize};

/// What a client measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    /// Answers a second.
    pub(crate) per_second: f64,
    /// The time within which half of them came, in nanoseconds.
    pub(crate) p50_ns: f64,
    /// That within which 99 of 100 came.
    pub(crate) p99_ns: f64,
}

/// How fast a server answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Speed {
    /// Answers a second.
    pub requests_per_second: Summary,
    /// The time within which half of the answers came, in nanoseconds.
    pub p50_ns: Summary,
    /// That within which 99 of 100 came.
    pub p99_ns: Summary,
}

impl Speed {
    /// That of at least one turn.
    pub(crate) fn of(turns: impl Iterator<Item = Measured> + Clone) -> Option<Self> {
        let summary = |value: fn(Measured) -> f64| Summary::of(turns.clone().map(value));
        Some(Self {
            requests_per_second: summary(|turn| turn.per_second)?,
            p50_ns: summary(|turn| turn.p50_ns)?,
            p99_ns: summary(|turn| turn.p99_ns)?,
        })
    }

    /// The medians as text, in their order.
    pub(crate) fn medians(&self) -> [String; 3] {
        [
            format!("{:.0}", self.requests_per_second.median),
            table::time(self.p50_ns.median),
            table::time(self.p99_ns.median),
        ]
    }
}

/// The answers a second of one by those of another, round by round.
pub(crate) fn ratio(
    one: impl Iterator<Item = Measured>,
    other: impl Iterator<Item = Measured>,
) -> Option<Interval> {
    Interval::of(one.zip(other).map(|(one, other)| one.per_second / other.per_second))
}
