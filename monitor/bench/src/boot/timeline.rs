//! Where the time of a start goes: the monitor's own timeline between the times seen from outside.

use super::nanoseconds;
use crate::error::Error;
use crate::life;
use crate::program::Program;
use crate::progress::Progress;
use crate::session::Session;
use crate::stats::Summary;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// A unikernel that is started with `--report`.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The monitor.
    pub monitor: PathBuf,
    /// Its options, but for the report.
    pub options: Vec<OsString>,
    /// The unikernel.
    pub elf: PathBuf,
    /// The unikernel's arguments.
    pub arguments: Vec<OsString>,
}

impl Reported {
    fn program(&self, report: &Path) -> Program {
        let mut options = vec!["--report".into(), report.into()];
        options.extend_from_slice(&self.options);
        Program::unikernel(&self.monitor, &options, &self.elf, &self.arguments)
    }
}

/// Where the time of a start goes: medians of several runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timeline {
    /// Runs.
    pub runs: usize,
    /// The phases in their order, without gaps, the first from 0 on.
    pub phases: Vec<Phase>,
    /// The first byte of output as seen from outside.
    pub first_byte_ns: f64,
}

/// A phase of a life.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase {
    /// What happens in it.
    pub name: String,
    /// Who works.
    pub who: Who,
    /// When it begins.
    pub at_ns: f64,
    /// How long it takes.
    pub took_ns: f64,
}

/// Who works in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// The process, as any process: it is made, loaded and torn down by the kernel, and started by the C library.
    Process,
    /// The monitor, with what it has the kernel do.
    Monitor,
    /// The guest, with what it has the monitor do.
    Guest,
}

/// What is read of a run report.
#[derive(Debug, Deserialize)]
struct Report {
    started_ns: u64,
    timeline: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    step: String,
    took_ns: u64,
}

/// Runs the unikernel with a report `runs` times, and says why it stopped early if it did.
pub fn measure(reported: &Reported, runs: usize, session: &Session) -> (Option<Timeline>, Option<Error>) {
    let file = std::env::temp_dir().join(format!("ukvm-bench-{}.json", std::process::id()));
    let program = reported.program(&file);
    let mut progress = Progress::new("timeline", runs);
    let mut lives = Vec::with_capacity(runs);
    let mut stopped = None;
    while lives.len() < runs && stopped.is_none() {
        match session.unless_interrupted(one(&program, &file, session)) {
            Ok(life) => {
                lives.push(life);
                progress.step();
            }
            Err(error) => {
                stopped = Some(error.after(&format!("the timeline is of {} runs only", lives.len())))
            }
        }
        // What is not there any more needs no removing.
        let _ = fs::remove_file(&file);
    }
    ((!lives.is_empty()).then(|| combine(&lives)), stopped)
}

/// One run: its phases with their times, and the time to the first byte. In nanoseconds.
type Run = (Vec<(String, f64)>, f64);

fn one(program: &Program, file: &Path, session: &Session) -> Result<Run, Error> {
    let (life, _, whole) = life::follow_all(program, session)?;
    let began = monotonic_ns().saturating_sub(nanoseconds(life.start.elapsed()));
    let text = fs::read_to_string(file)
        .map_err(|error| Error::host(format!("the report in {} cannot be read ({error})", file.display())))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| {
        Error::program(format!(
            "the report of ukvm-run has another form ({error}); use the ukvm-run that belongs to this ukvm-bench"
        ))
    })?;
    let exec = report.started_ns.saturating_sub(began);
    let steps: u64 = report.timeline.iter().map(|step| step.took_ns).sum();
    let exit = nanoseconds(life.closed).saturating_sub(exec + steps);
    let teardown = nanoseconds(whole.saturating_sub(life.closed));
    let of_report = report.timeline.into_iter().map(|step| (step.step, step.took_ns as f64));
    let mut phases = vec![("exec".to_owned(), exec as f64)];
    phases.extend(of_report);
    phases.extend([("exit".to_owned(), exit as f64), ("teardown".to_owned(), teardown as f64)]);
    Ok((phases, nanoseconds(life.first_byte) as f64))
}

/// The clock that the report's times are of.
fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec * 1_000_000_000 + now.tv_nsec) as u64
}

/// The medians of the runs' phases, one behind the other.
fn combine(runs: &[Run]) -> Timeline {
    let median = |values: Vec<f64>| Summary::of(values).map_or(0.0, |summary| summary.median);
    // A report leaves out a step whose time it does not believe.
    let fullest = runs.iter().rev().max_by_key(|run| run.0.len());
    let names = fullest.map(|run| run.0.iter().map(|(name, _)| name.clone())).into_iter().flatten();
    let mut phases = Vec::new();
    let mut at_ns = 0.0;
    for name in names {
        let of_run = |run: &Run| run.0.iter().find(|(other, _)| *other == name).map(|(_, took)| *took);
        let took_ns = median(runs.iter().filter_map(of_run).collect());
        let who = match &*name {
            "exec" | "exit" | "teardown" => Who::Process,
            "guest entry" | "main" | "first exit" | "first byte" | "ended" => Who::Guest,
            _ => Who::Monitor,
        };
        phases.push(Phase { name, who, at_ns, took_ns });
        at_ns += took_ns;
    }
    let first_byte_ns = median(runs.iter().map(|run| run.1).collect());
    Timeline { runs: runs.len(), phases, first_byte_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other_to_the_end_of_the_life() {
        let run = |exec, vcpu, exit, first| {
            let phases = [
                ("exec", exec),
                ("vCPU ready", vcpu),
                ("first exit", exit),
                ("exit", 25.0),
                ("teardown", 100.0),
            ];
            (phases.map(|(name, took)| (name.to_owned(), took)).to_vec(), first)
        };
        let runs =
            [run(300.0, 50.0, 10.0, 380.0), run(310.0, 40.0, 30.0, 390.0), run(900.0, 45.0, 20.0, 999.0)];
        let timeline = combine(&runs);
        let mut one_without = runs.to_vec();
        one_without.first_mut().unwrap().0.remove(2);
        assert_eq!(combine(&one_without).phases.len(), timeline.phases.len());
        let told: Vec<_> = timeline
            .phases
            .iter()
            .map(|phase| (&*phase.name, phase.who, phase.at_ns, phase.took_ns))
            .collect();
        assert_eq!(
            told,
            [
                ("exec", Who::Process, 0.0, 310.0),
                ("vCPU ready", Who::Monitor, 310.0, 45.0),
                ("first exit", Who::Guest, 355.0, 20.0),
                ("exit", Who::Process, 375.0, 25.0),
                ("teardown", Who::Process, 400.0, 100.0),
            ]
        );
        assert_eq!((timeline.runs, timeline.first_byte_ns), (3, 390.0));
    }
}
