//! `ukvm-bench boot`: how long a start takes.

pub mod timeline;

use crate::error::Error;
use crate::life;
use crate::program::Program;
use crate::promise::{Promise, Promised, Target};
use crate::rounds::Rounds;
use crate::session::Session;
use crate::stats::{Interval, Summary};
use crate::table;
use serde::Serialize;
use std::time::Duration;
use timeline::Timeline;

/// Separate runs that the timeline is made of: the report that it comes from takes time itself.
const TIMELINE_RUNS: usize = 25;

/// What is started, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The unikernel under `ukvm-run`.
    pub app: Program,
    /// The same, writing a run report to the file that is appended to these words.
    pub app_with_report: timeline::Reported,
    /// The floor program.
    pub floor: Program,
    /// Other commands.
    pub compare: Vec<Program>,
    /// Rounds.
    pub runs: usize,
}

/// How long starts took.
#[derive(Clone, Debug, Serialize)]
pub struct Boot {
    /// Rounds in which all were measured.
    pub rounds: usize,
    /// Rounds that were wanted.
    pub wanted: usize,
    /// What was started, the unikernel first, the floor second.
    pub programs: Vec<Started>,
    /// The unikernel by each of the others.
    pub ratios: Vec<Ratio>,
    /// Where the unikernel's time goes.
    pub timeline: Option<Timeline>,
}

/// How long one program's starts took.
#[derive(Clone, Debug, Serialize)]
pub struct Started {
    /// Its name.
    pub name: String,
    /// From before the process was made to the first byte of output.
    pub first_byte_ns: Summary,
    /// To the end of the process.
    pub reaped_ns: Summary,
    /// To the end of the last process that it left behind, or of its own.
    pub whole_life_ns: Summary,
    /// Processes that it left behind, in all rounds.
    pub helpers: usize,
    /// Each round's time to the first byte.
    pub first_bytes_ns: Vec<u64>,
    /// Each round's whole life.
    pub whole_lives_ns: Vec<u64>,
}

/// A ratio of two programs' times, round by round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Whose time is divided.
    pub of: String,
    /// By whose.
    pub to: String,
    /// Of the times to the first byte.
    pub first_byte: Interval,
    /// Of the whole lives.
    pub whole_life: Interval,
}

/// One start.
#[derive(Clone, Copy, Debug)]
struct Start {
    first_byte: Duration,
    reaped: Duration,
    whole: Duration,
    helpers: usize,
}

/// What is promised of starts, beside the floor of this name.
#[must_use]
pub fn promised(floor: &str) -> [Promised; 2] {
    [("cold start, to the first byte of output", 1.1), ("whole life of hello", 1.0)].map(
        |(name, moonshot)| Promised {
            name: name.into(),
            floor: floor.into(),
            target: Target::AtMost(1.5),
            moonshot,
        },
    )
}

/// Measures, and says why it stopped early if it did.
pub fn measure(plan: &Plan, session: &Session) -> (Option<Boot>, Option<Error>) {
    let programs: Vec<&Program> = [&plan.app, &plan.floor].into_iter().chain(&plan.compare).collect();
    let rounds = Rounds::run("boot", programs.len(), plan.runs, session, |subject| {
        start(programs.get(subject).copied().unwrap_or(&plan.app), session)
    });
    let started = programs.iter().zip(&rounds.of).map(|(program, starts)| Started::of(&program.name, starts));
    let Some(started) = started.collect::<Option<Vec<_>>>() else {
        return (None, rounds.stopped);
    };
    let app = rounds.values(0);
    let ratios = programs.iter().zip(&rounds.of).skip(1).filter_map(|(other, starts)| {
        let ratio = |pick: fn(&Start) -> Duration| {
            Interval::of(app.iter().zip(starts).map(|(a, b)| pick(a).as_secs_f64() / pick(b).as_secs_f64()))
        };
        Some(Ratio {
            of: plan.app.name.clone(),
            to: other.name.clone(),
            first_byte: ratio(|start| start.first_byte)?,
            whole_life: ratio(|start| start.whole)?,
        })
    });
    let mut boot = Boot {
        rounds: rounds.count(),
        wanted: plan.runs,
        ratios: ratios.collect(),
        programs: started,
        timeline: None,
    };
    let mut stopped = rounds.stopped;
    if stopped.is_none() {
        (boot.timeline, stopped) =
            timeline::measure(&plan.app_with_report, TIMELINE_RUNS.min(plan.runs), session);
    }
    (Some(boot), stopped)
}

fn nanoseconds(duration: Duration) -> u64 {
    // A u64 of nanoseconds lasts 584 years.
    duration.as_nanos() as u64
}

fn start(program: &Program, session: &Session) -> Result<Start, Error> {
    let (life, helpers, whole) = life::follow_all(program, session)?;
    Ok(Start { first_byte: life.first_byte, reaped: life.reaped, whole, helpers })
}

impl Started {
    fn of(name: &str, starts: &[Start]) -> Option<Self> {
        let each = |pick: fn(&Start) -> Duration| starts.iter().map(pick).map(nanoseconds);
        let summary = |pick| Summary::of(each(pick).map(|time| time as f64));
        Some(Self {
            name: name.to_owned(),
            first_byte_ns: summary(|start| start.first_byte)?,
            reaped_ns: summary(|start| start.reaped)?,
            whole_life_ns: summary(|start| start.whole)?,
            helpers: starts.iter().map(|start| start.helpers).sum(),
            first_bytes_ns: each(|start| start.first_byte).collect(),
            whole_lives_ns: each(|start| start.whole).collect(),
        })
    }
}

impl Boot {
    /// The promises that it bears on, if the unikernel is the one that they are about.
    #[must_use]
    pub fn promises(&self) -> Vec<Promise> {
        let (Some([app, floor]), Some(ratio)) = (self.programs.first_chunk(), self.ratios.first()) else {
            return Vec::new();
        };
        let figures = [
            (ratio.first_byte, app.first_byte_ns, floor.first_byte_ns),
            (ratio.whole_life, app.whole_life_ns, floor.whole_life_ns),
        ];
        let promised = promised(&floor.name).into_iter().zip(figures);
        promised
            .map(|(promised, (ratio, own, floor))| {
                promised.beside(table::time(floor.median), table::time(own.median), ratio)
            })
            .collect()
    }
}
