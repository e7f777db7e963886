//! A figure of I/O beside its floor.

use super::{Group, target};
use crate::promise::{Promise, Promised, Unmeasured};
use crate::stats::{Interval, Summary};
use crate::table;
use serde::Serialize;

/// In what a figure is told. It is kept as the time of one: of a request, a frame, a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// So many a second.
    Rate,
    /// Bits a second, where one is a byte.
    Bits,
    /// The time of each.
    Each,
}

impl Unit {
    /// A time of one as a figure for people.
    #[must_use]
    pub fn show(self, ns: f64) -> String {
        match self {
            Self::Rate => format!("{:.0} k/s", 1e6 / ns),
            Self::Bits => format!("{:.2} Gbit/s", 8.0 / ns),
            Self::Each => table::precise_time(ns),
        }
    }
}

/// How a figure is compared with its floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The floor's time by the guest's: how much of the floor's speed the guest has.
    Speed,
    /// The guest's time by the floor's.
    ByFloor,
    /// The guest's time by that of the floor and one exit of the same guest: 1 is the least for a guest that has to ask.
    ByFloorAndExit,
}

impl Form {
    /// For people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Speed => "speed by the floor's",
            Self::ByFloor => "time by the floor's",
            Self::ByFloorAndExit => "time by (floor + 1 exit)",
        }
    }
}

/// Behind the name of a floor, where an exit comes on top of it.
const AND_EXIT: &str = ", + 1 exit";

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    name: &'static str,
    unit: Unit,
    form: Form,
    /// Which subject of the round is the floor, and which of its figures.
    pub(super) floor: (usize, usize),
    /// Target and moonshot.
    promised: Option<(f64, f64)>,
}

/// A figure beside its floor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The part of the measurement that it is of.
    pub group: Group,
    /// In what it is told.
    pub unit: Unit,
    /// How it is compared.
    pub form: Form,
    /// What it is compared with.
    pub floor: String,
    /// Rounds in which both were measured.
    pub rounds: usize,
    /// Rounds that were wanted.
    pub wanted: usize,
    /// The guest's time of one, in nanoseconds.
    pub guest_ns: Summary,
    /// The floor's.
    pub floor_ns: Summary,
    /// What an exit cost in the same rounds, where it counts.
    pub exit_ns: Option<Summary>,
    /// The comparison, round by round.
    pub ratio: Interval,
    /// Target and moonshot of the ratio, where something is promised.
    pub promised: Option<(f64, f64)>,
}

impl Spec {
    pub(super) const fn new(name: &'static str, unit: Unit, form: Form, floor: (usize, usize)) -> Self {
        Self { name, unit, form, floor, promised: None }
    }

    /// The same, with a target and a moonshot. Where the time of an exit is part of the comparison, the moonshot is told as a
    /// multiple of the floor alone.
    pub(super) const fn promised(self, target: f64, moonshot: f64) -> Self {
        Self { promised: Some((target, moonshot)), ..self }
    }

    /// It was not measured beside the floor of this name.
    pub(super) fn unmeasured(&self, floor_name: &str, reason: &str) -> Unmeasured {
        // With an exit in it, the moonshot depends on what that costs.
        let is_known = self.form != Form::ByFloorAndExit;
        Unmeasured {
            name: self.name.to_owned(),
            floor: floor_name.to_owned() + if is_known { "" } else { AND_EXIT },
            target: self.promised.map(|(limit, _)| target(self.form, limit)),
            moonshot: self.promised.map(|(_, moonshot)| moonshot).filter(|_| is_known),
            reason: reason.to_owned(),
        }
    }

    /// The figure, if it was measured at least once.
    pub(super) fn row(
        &self,
        group: Group,
        floor_name: &str,
        wanted: usize,
        guest: &[f64],
        floor: &[f64],
        exit: &[f64],
    ) -> Option<Row> {
        let pairs = guest.iter().zip(floor);
        let ratio = match self.form {
            Form::Speed => Interval::of(pairs.map(|(guest, floor)| floor / guest)),
            Form::ByFloor => Interval::of(pairs.map(|(guest, floor)| guest / floor)),
            Form::ByFloorAndExit => {
                Interval::of(pairs.zip(exit).map(|((guest, floor), exit)| guest / (floor + exit)))
            }
        };
        let (guest_ns, floor_ns) = (Summary::of(guest.iter().copied())?, Summary::of(floor.iter().copied())?);
        let exit_ns = Summary::of(exit.iter().copied()).filter(|_| self.form == Form::ByFloorAndExit);
        let promised = self.promised.map(|(limit, moonshot)| {
            let by = exit_ns.map_or(1.0, |exit| floor_ns.median / (floor_ns.median + exit.median));
            (limit, moonshot * by)
        });
        Some(Row {
            name: self.name.to_owned(),
            group,
            unit: self.unit,
            form: self.form,
            floor: floor_name.to_owned(),
            rounds: guest.len().min(floor.len()),
            wanted,
            guest_ns,
            floor_ns,
            exit_ns,
            ratio: ratio?,
            promised,
        })
    }
}

impl Row {
    /// The promise that it bears on, if there is one.
    pub(super) fn promise(&self) -> Option<Promise> {
        let (limit, moonshot) = self.promised?;
        let and_exit =
            self.exit_ns.map_or(String::new(), |exit| format!(" + {}", self.unit.show(exit.median)));
        let promised = Promised {
            name: self.name.clone(),
            floor: self.floor.clone() + if self.exit_ns.is_some() { AND_EXIT } else { "" },
            target: target(self.form, limit),
            moonshot,
        };
        let floor_figure = self.unit.show(self.floor_ns.median) + &and_exit;
        Some(promised.beside(floor_figure, self.unit.show(self.guest_ns.median), self.ratio))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promise::Verdict;

    fn row(form: Form, guest: f64, floor: f64, exit: &[f64]) -> Row {
        let spec = Spec::new("a", Unit::Each, form, (1, 0)).promised(1.0, 1.0);
        spec.row(Group::Block, "pread", 100, &[guest; 100], &[floor; 100], exit).unwrap()
    }

    #[test]
    fn a_ratio_has_the_form_that_was_asked_for() {
        let exit = [25.0; 100];
        for (form, median, verdict) in [
            (Form::Speed, 0.5, Verdict::Missed),
            (Form::ByFloor, 2.0, Verdict::Missed),
            (Form::ByFloorAndExit, 1.2, Verdict::Missed),
        ] {
            let row = row(form, 60.0, if form == Form::ByFloorAndExit { 25.0 } else { 30.0 }, &exit);
            assert!((row.ratio.median - median).abs() < 1e-9, "{row:?}");
            assert_eq!(row.promise().unwrap().verdict, verdict);
        }
        let good = row(Form::ByFloorAndExit, 50.0, 25.0, &exit);
        let promise = good.promise().unwrap();
        assert_eq!((promise.verdict, promise.promised.moonshot), (Verdict::Met, 0.5));
        assert_eq!(promise.floor_figure, "25 ns + 25 ns");
    }

    #[test]
    fn without_what_an_exit_costs_there_is_no_such_ratio() {
        let spec = Spec::new("a", Unit::Each, Form::ByFloorAndExit, (1, 0));
        assert_eq!(spec.row(Group::Block, "pread", 1, &[1.0], &[1.0], &[]), None);
    }

    #[test]
    fn figures_are_told_in_their_unit() {
        assert_eq!(Unit::Rate.show(1250.0), "800 k/s");
        assert_eq!(Unit::Bits.show(0.8), "10.00 Gbit/s");
        assert_eq!(Unit::Each.show(27_340.0), "27.34 µs");
    }
}
