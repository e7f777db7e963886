//! `ukvm-bench churn`: lives a second on all processors.

use crate::error::Error;
use crate::life;
use crate::program::Program;
use crate::promise::Unmeasured;
use crate::rounds::Rounds;
use crate::session::Session;
use crate::stats::{Interval, Summary};
use serde::Serialize;
use std::thread;
use std::time::Instant;

/// What lives, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The unikernel under `ukvm-run`.
    pub app: Program,
    /// The floor program.
    pub floor: Program,
    /// Rounds.
    pub runs: usize,
    /// Lives that each processor has in a round.
    pub lives: usize,
    /// Processors.
    pub cpus: usize,
}

/// Lives a second.
#[derive(Clone, Debug, Serialize)]
pub struct Churn {
    /// Rounds in which both were measured.
    pub rounds: usize,
    /// Rounds that were wanted.
    pub wanted: usize,
    /// Lives at the same time.
    pub at_once: usize,
    /// Lives of one program in a round.
    pub lives: usize,
    /// What lived.
    pub app: String,
    /// What it is compared with.
    pub floor: String,
    /// The unikernel's lives a second.
    pub app_per_second: Summary,
    /// The floor's.
    pub floor_per_second: Summary,
    /// The unikernel's by the floor's, round by round.
    pub ratio: Interval,
}

/// It was not measured beside the floor of this name. Nothing is promised of it.
#[must_use]
pub fn unmeasured(floor: &str, reason: &str) -> Unmeasured {
    Unmeasured {
        name: "starts and ends a second".into(),
        floor: floor.into(),
        target: None,
        moonshot: None,
        reason: reason.into(),
    }
}

/// Measures, and says why it stopped early if it did.
pub fn measure(plan: &Plan, session: &Session) -> (Option<Churn>, Option<Error>) {
    let rounds = Rounds::run("churn", 2, plan.runs, session, |subject| {
        per_second(if subject == 0 { &plan.app } else { &plan.floor }, plan, session)
    });
    let (app, floor) = (rounds.values(0), rounds.values(1));
    let churn = || {
        Some(Churn {
            rounds: rounds.count(),
            wanted: plan.runs,
            at_once: plan.cpus,
            lives: plan.cpus * plan.lives,
            app: plan.app.name.clone(),
            floor: plan.floor.name.clone(),
            app_per_second: Summary::of(app.iter().copied())?,
            floor_per_second: Summary::of(floor.iter().copied())?,
            ratio: Interval::of(app.iter().zip(floor).map(|(app, floor)| app / floor))?,
        })
    };
    (churn(), rounds.stopped)
}

/// Lives a second of one program on all processors, to the end of the last process that it leaves behind.
fn per_second(program: &Program, plan: &Plan, session: &Session) -> Result<f64, Error> {
    let start = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.cpus)
            .map(|_| {
                scope.spawn(|| (0..plan.lives).try_for_each(|_| life::follow(program, session).map(drop)))
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(Error::host("a thread of the measurement failed; start again")))
        })
    })?;
    life::wait_for_helpers(session)?;
    Ok((plan.cpus * plan.lives) as f64 / start.elapsed().as_secs_f64())
}
