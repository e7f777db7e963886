//! `ukvm-bench memory`: what a guest costs in memory, and each further one.
//!
//! A program is held at its first output, by a pipe that is full: there it has been started in full and waits. What it then has
//! of the machine's memory (PSS: pages that several processes share count in parts) is read from `/proc`. The guest's memory is
//! told from the monitor's by its mappings, which reserve nothing (`MAP_NORESERVE`).

mod held;
pub(crate) mod smaps;

use crate::error::Error;
use crate::program::Program;
use crate::progress::Progress;
use crate::promise::{Promise, Promised, Target};
use crate::rounds::Rounds;
use crate::session::Session;
use crate::stats::{Interval, Summary};
use crate::table;
use held::Held;
use serde::Serialize;
use smaps::{PARTS, Usage};

/// What is held, and how many of it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The unikernel under `ukvm-run`.
    pub app: Program,
    /// The floor program.
    pub floor: Program,
    /// Rounds with one of each.
    pub runs: usize,
    /// The most guests at once.
    pub guests: usize,
}

/// What guests cost in memory. All sizes in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// Rounds in which both were measured.
    pub rounds: usize,
    /// Rounds that were wanted.
    pub wanted: usize,
    /// The unikernel.
    pub app: Cost,
    /// What it is compared with.
    pub floor: Cost,
    /// The monitor's own memory by the floor's, round by round.
    pub ratio: Interval,
}

/// What a program costs.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Its name.
    pub name: String,
    /// The process less its guest, when it is the only one.
    pub own_bytes: Summary,
    /// The same by what is mapped there.
    pub parts: Vec<Part>,
    /// The pages of the guest that were touched, by whomever.
    pub guest_bytes: Summary,
    /// Several at once.
    pub many: Vec<Many>,
    /// What each further one costs, its guest included, from the first to the most at once.
    pub further_bytes: Option<f64>,
}

/// A part of a process' own memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// What it holds.
    pub name: &'static str,
    /// The median of the rounds.
    pub bytes: f64,
}

/// Several at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Many {
    /// How many.
    pub count: usize,
    /// What their processes have, less their guests.
    pub own_bytes: u64,
    /// What was touched of their guests.
    pub guest_bytes: u64,
    /// What the machine has less to give than before the first, the kernel's own included; other programs of the machine
    /// disturb it, so that it may be negative.
    pub machine_bytes: i64,
}

/// What is promised of memory, beside the floor of this name.
#[must_use]
pub fn promised(floor: &str) -> Promised {
    Promised {
        name: "monitor memory, less what was touched of the guest".into(),
        floor: floor.into(),
        target: Target::AtMost(2.0),
        moonshot: 1.2,
    }
}

/// Measures, and says why it stopped early if it did.
pub fn measure(plan: &Plan, session: &Session) -> (Option<Memory>, Option<Error>) {
    let programs = [&plan.app, &plan.floor];
    let rounds = Rounds::run("memory", 2, plan.runs, session, |subject| {
        let program = if subject == 0 { &plan.app } else { &plan.floor };
        Held::start(program, session)?.usage()
    });
    let (app, floor) = (rounds.values(0), rounds.values(1));
    let ratios = app.iter().zip(floor).map(|(app, floor)| app.own as f64 / floor.own as f64);
    let costs = programs.iter().zip(&rounds.of).map(|(program, usages)| Cost::of(&program.name, usages));
    let (Some(costs), Some(ratio)) = (costs.collect::<Option<Vec<_>>>(), Interval::of(ratios)) else {
        return (None, rounds.stopped);
    };
    let Ok([mut app, mut floor]) = <[Cost; 2]>::try_from(costs) else {
        return (None, rounds.stopped);
    };
    let mut stopped = rounds.stopped;
    for (cost, program) in [&mut app, &mut floor].into_iter().zip(programs) {
        if stopped.is_none() {
            stopped = session
                .unless_interrupted(many(program, plan.guests, session, &mut cost.many))
                .err()
                .map(|error| error.after("the figures of fewer at once are kept"));
            cost.further_bytes = further(&cost.many);
        }
    }
    let count = rounds.of.first().map_or(0, Vec::len);
    (Some(Memory { rounds: count, wanted: plan.runs, app, floor, ratio }), stopped)
}

/// Holds more and more of a program, and looks whenever their number has doubled.
fn many(program: &Program, most: usize, session: &Session, told: &mut Vec<Many>) -> Result<(), Error> {
    let mut progress = Progress::new(&format!("memory of many, {}", program.name), most);
    let before = smaps::available()?;
    let mut held = Vec::with_capacity(most);
    while held.len() < most {
        if session.is_interrupted() {
            return Err(Error::interrupted());
        }
        held.push(Held::start(program, session)?);
        progress.step();
        let count = held.len();
        if count.is_power_of_two() || count == most {
            let available = smaps::available()?;
            let mut all = Usage::default();
            for one in &held {
                let usage = one.usage()?;
                (all.own, all.guest) = (all.own + usage.own, all.guest + usage.guest);
            }
            let machine_bytes = before as i64 - available as i64;
            told.push(Many { count, own_bytes: all.own, guest_bytes: all.guest, machine_bytes });
        }
    }
    Ok(())
}

/// What each further one costs.
fn further(many: &[Many]) -> Option<f64> {
    let (first, last) = (many.first()?, many.last()?);
    let all = |many: &Many| (many.own_bytes + many.guest_bytes) as f64;
    (last.count > first.count).then(|| (all(last) - all(first)) / (last.count - first.count) as f64)
}

impl Cost {
    fn of(name: &str, usages: &[Usage]) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            own_bytes: Summary::of(usages.iter().map(|usage| usage.own as f64))?,
            parts: PARTS
                .into_iter()
                .enumerate()
                .filter_map(|(place, name)| {
                    let sizes = usages.iter().filter_map(|usage| usage.parts.get(place));
                    Some(Part { name, bytes: Summary::of(sizes.map(|size| *size as f64))?.median })
                })
                .collect(),
            guest_bytes: Summary::of(usages.iter().map(|usage| usage.guest as f64))?,
            many: Vec::new(),
            further_bytes: None,
        })
    }
}

impl Memory {
    /// The promise that it bears on.
    #[must_use]
    pub fn promise(&self) -> Promise {
        let figures = [&self.floor, &self.app].map(|cost| table::size(cost.own_bytes.median));
        let [floor, own] = figures;
        promised(&self.floor.name).beside(floor, own, self.ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_further_one_costs_what_comes_on_top() {
        let many =
            |count, own_bytes| Many { count, own_bytes, guest_bytes: count as u64 * 10, machine_bytes: 0 };
        assert_eq!(further(&[many(1, 100), many(2, 120), many(5, 180)]), Some(30.0));
        assert_eq!(further(&[many(1, 100)]), None);
        assert_eq!(further(&[]), None);
    }
}
