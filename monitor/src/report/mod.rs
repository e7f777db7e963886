//! The run report: how it all ended, as JSON for programs and as a table for people.
//!
//! `docs/report.md` describes every field. A field may be added at any time; one that changes its meaning or goes raises
//! [`SCHEMA`].

mod file;

pub use file::ReportFile;

use crate::device::Counters;
use crate::error::Error;
use crate::observe::counts::ExitCounts;
use crate::observe::timeline::Timeline;
use crate::observe::{DeviceObservations, Observations, Placement};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use ukvm_abi::manifest::DeviceKind;

/// The version of the report's form.
pub const SCHEMA: u32 = 1;

/// How a run went.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: u32,
    ukvm: &'static str,
    abi: u32,
    program: String,
    #[serde(flatten)]
    end: End,
    #[serde(flatten)]
    run: Option<Run>,
    memory: Memory,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct End {
    /// One word for what ended it: `exit`, `panic`, `fault`, `timeout`, `signal`, `output-closed`, `error`.
    pub cause: &'static str,
    /// The exit status of the process.
    pub status: u8,
    /// The guest's own status, where it gave one.
    pub guest_status: Option<u8>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What the guest or the monitor had to say: a panic's message, a fault's first line, an error's sentence.
    pub message: Option<String>,
    /// The details of a fault: lines for people, registers among them.
    pub details: Vec<String>,
}

impl From<&Error> for End {
    fn from(error: &Error) -> Self {
        Self {
            cause: "error",
            status: error.status(),
            guest_status: None,
            signal: None,
            message: Some(error.to_string()),
            details: Vec::new(),
        }
    }
}

/// What there is to tell only of a guest that ran.
#[derive(Debug, Serialize)]
struct Run {
    timeline: Vec<Step>,
    exits: Exits,
    console: Counters,
    devices: Vec<Device>,
    placement: Place,
}

#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    at_ns: u64,
    took_ns: u64,
}

#[derive(Debug, Serialize)]
struct Exits {
    total: u64,
    #[serde(flatten)]
    by_reason: ExitCounts,
}

#[derive(Debug, Serialize)]
struct Device {
    kind: &'static str,
    name: String,
    #[serde(flatten)]
    counters: Counters,
}

/// Addresses are strings, as a number in JSON has 53 bits for most readers.
#[derive(Debug, Serialize)]
struct Place {
    slide: String,
    load_bias: String,
    seed: Option<String>,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Memory {
    guest: Option<u64>,
    monitor_pss: Option<u64>,
    monitor_rss: Option<u64>,
    monitor_rss_max: Option<u64>,
}

impl Report {
    /// The report of a guest that ran.
    #[must_use]
    pub fn of_run(program: &Path, end: End, observations: &Observations) -> Self {
        // Destructured, so that nothing observed is forgotten here.
        let Observations { timeline, exits, console, devices, placement } = observations;
        let Placement { memory, slide, load_bias, seed } = *placement;
        let run = Run {
            timeline: steps(timeline),
            exits: Exits { total: exits.total(), by_reason: *exits },
            console: *console,
            devices: devices.iter().map(Device::from).collect(),
            placement: Place {
                slide: format!("{slide:#x}"),
                load_bias: format!("{load_bias:#x}"),
                seed: seed.map(|seed| format!("{seed:016x}")),
            },
        };
        let memory = Memory { guest: Some(memory), ..Memory::default() };
        Self { run: Some(run), memory, ..Self::new(program, end) }
    }

    /// The report of a guest that could not be started, or whose monitor failed.
    #[must_use]
    pub fn of_error(program: &Path, error: &Error) -> Self {
        Self::new(program, End::from(error))
    }

    fn new(program: &Path, end: End) -> Self {
        Self {
            schema: SCHEMA,
            ukvm: env!("CARGO_PKG_VERSION"),
            abi: ukvm_abi::ABI_VERSION,
            program: program.display().to_string(),
            end,
            run: None,
            memory: Memory::default(),
        }
    }
}

impl From<&DeviceObservations> for Device {
    fn from(device: &DeviceObservations) -> Self {
        let DeviceObservations { kind, name, counters } = device;
        let kind = match kind {
            DeviceKind::Net => "net",
            DeviceKind::Block => "block",
        };
        Self { kind, name: name.clone(), counters: *counters }
    }
}

fn steps(timeline: &Timeline) -> Vec<Step> {
    // A u64 of nanoseconds lasts 584 years.
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    timeline
        .steps()
        .map(|(mark, took)| Step { step: mark.step, at_ns: nanoseconds(mark.at), took_ns: nanoseconds(took) })
        .collect()
}

/// The timeline and the placement for people, a line each, as `--verbose` prints them.
#[must_use]
pub fn verbose(observations: &Observations) -> String {
    let Observations { timeline, exits, placement, .. } = observations;
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (mark, took) in timeline.steps() {
        let _ = writeln!(
            text,
            "{:>12.3} ms  +{:.3} ms  {}",
            milliseconds(mark.at),
            milliseconds(took),
            mark.step
        );
    }
    let seed = match placement.seed {
        Some(seed) => format!("--aslr-seed {seed:016x}"),
        None => "--no-aslr".into(),
    };
    let _ = writeln!(text, "slide {:#x}, load bias {:#x} ({seed})", placement.slide, placement.load_bias);
    let _ = writeln!(text, "{} exits, {} of them enter", exits.total(), exits.enter);
    text
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
