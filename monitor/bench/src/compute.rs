//! `ukvm-bench compute`: how fast a guest computes.
//!
//! Guest and floor are linked with the same object file. Each prints a line when it begins and the result when it is done; the
//! time between the two is taken outside, so no clock of the guest's is believed.

use crate::error::Error;
use crate::life;
use crate::program::Program;
use crate::promise::{Promise, Promised, Target};
use crate::rounds::Rounds;
use crate::session::Session;
use crate::stats::{Interval, Summary};
use crate::table;
use serde::Serialize;
use std::ffi::OsString;

/// What is computed: the argument of guest and floor, and what it is called.
const KERNELS: [(&str, &str); 4] = [
    ("integer", "integers"),
    ("float", "floating point"),
    ("memory", "random reads of 16 MiB"),
    ("now", NOW),
];
/// What is not computing, but measured in the same way.
const NOW: &str = "the clock, a million times";

/// What computes, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The unikernel under `ukvm-run`, without arguments.
    pub app: Program,
    /// The floor program.
    pub floor: Program,
    /// Rounds.
    pub runs: usize,
}

/// How fast a guest computes.
#[derive(Clone, Debug, Serialize)]
pub struct Compute {
    /// What it is compared with.
    pub floor: String,
    /// What is computed.
    pub kernels: Vec<Kernel>,
}

/// How fast a guest computes one thing.
#[derive(Clone, Debug, Serialize)]
pub struct Kernel {
    /// What is computed.
    pub name: String,
    /// Rounds in which both were measured.
    pub rounds: usize,
    /// Rounds that were wanted.
    pub wanted: usize,
    /// The guest's time.
    pub guest_ns: Summary,
    /// The host's.
    pub host_ns: Summary,
    /// The guest's speed by the host's, round by round.
    pub speed: Interval,
    /// The guest's time by the host's, round by round.
    pub time: Interval,
}

/// What is promised of computing, beside the floor of this name.
#[must_use]
pub fn promised(floor: &str) -> [Promised; 4] {
    KERNELS.map(|(_, name)| promised_of(name, floor))
}

fn promised_of(kernel: &str, floor: &str) -> Promised {
    if kernel == NOW {
        return Promised {
            name: "now() in the guest, a million times".into(),
            floor: "clock_gettime by the vDSO of the host".into(),
            target: Target::AtMost(1.5),
            moonshot: 1.0,
        };
    }
    Promised {
        name: format!("guest computing, {kernel}"),
        floor: format!("the same object code in {floor}"),
        target: Target::AtLeast(0.97),
        moonshot: 0.995,
    }
}

/// Measures, and says why it stopped early if it did.
pub fn measure(plan: &Plan, session: &Session) -> (Option<Compute>, Option<Error>) {
    let mut compute = Compute { floor: plan.floor.name.clone(), kernels: Vec::new() };
    for (argument, name) in KERNELS {
        let (kernel, stopped) = one(plan, argument, name, session);
        compute.kernels.extend(kernel);
        if stopped.is_some() {
            return ((!compute.kernels.is_empty()).then_some(compute), stopped);
        }
    }
    (Some(compute), None)
}

fn one(plan: &Plan, argument: &str, name: &str, session: &Session) -> (Option<Kernel>, Option<Error>) {
    let with_argument = |program: &Program| {
        let mut program = program.clone();
        program.arguments.push(OsString::from(argument));
        program
    };
    let (guest, host) = (with_argument(&plan.app), with_argument(&plan.floor));
    let mut expected: Option<Vec<u8>> = None;
    let rounds = Rounds::run(&format!("compute, {name}"), 2, plan.runs, session, |subject| {
        let program = if subject == 0 { &guest } else { &host };
        let life = life::follow(program, session)?;
        life::wait_for_helpers(session)?;
        // What is computed must be the same, or the times say nothing.
        if *expected.get_or_insert_with(|| life.output.clone()) != life.output {
            return Err(Error::program(format!(
                "{} and {} give different results; build both anew with cargo xtask bench",
                plan.app.name, plan.floor.name
            )));
        }
        Ok((life.last_byte - life.first_byte).as_nanos() as f64)
    });
    let (guest, host) = (rounds.values(0), rounds.values(1));
    let kernel = || {
        Some(Kernel {
            name: name.to_owned(),
            rounds: rounds.count(),
            wanted: plan.runs,
            guest_ns: Summary::of(guest.iter().copied())?,
            host_ns: Summary::of(host.iter().copied())?,
            speed: Interval::of(guest.iter().zip(host).map(|(guest, host)| host / guest))?,
            time: Interval::of(guest.iter().zip(host).map(|(guest, host)| guest / host))?,
        })
    };
    (kernel(), rounds.stopped)
}

impl Compute {
    /// The promises that it bears on.
    #[must_use]
    pub fn promises(&self) -> Vec<Promise> {
        let promise = |kernel: &Kernel| {
            let promised = promised_of(&kernel.name, &self.floor);
            // A target of at most something is one of a time.
            let ratio = if matches!(promised.target, Target::AtMost(_)) { kernel.time } else { kernel.speed };
            promised.beside(table::time(kernel.host_ns.median), table::time(kernel.guest_ns.median), ratio)
        };
        self.kernels.iter().map(promise).collect()
    }
}
