//! The run report: how it all ended, as JSON for programs and as a table for people.
//!
//! `docs/report.md` describes every field. A field may be added at any time; one that changes its meaning or goes raises
//! [`SCHEMA`].

mod file;

pub use file::ReportFile;

use crate::device::Counters;
use crate::error::Error;
use crate::fault::{self, Caller, FaultReport, Registers};
use crate::observe::counts::ExitCounts;
use crate::observe::timeline::Timeline;
use crate::observe::{DeviceObservations, Observations, Placement};
use crate::outcome::{Cause, Outcome};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use ukvm_abi::manifest::DeviceKind;
use ukvm_abi::ring::Corrupt;

/// The version of the report's form.
pub const SCHEMA: u32 = 1;

/// The vector of the one exception that comes with an address (#PF).
const PAGE_FAULT: u8 = 14;

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
struct End {
    /// One word for what ended it: `exit`, `panic`, `fault`, `timeout`, `signal`, `output-closed`, `error`.
    cause: &'static str,
    /// The exit status of the process.
    status: u8,
    /// The guest's own status, where it gave one.
    guest_status: Option<u8>,
    /// The signal that ended it.
    signal: Option<i32>,
    /// What the guest or the monitor had to say: a panic's message, a fault's first line, an error's sentence.
    message: Option<String>,
    /// What the guest did that it may not.
    fault: Option<Fault>,
}

/// A fault: what the processor had to say, and where in the program it was. Addresses are strings, as a number in JSON has 53
/// bits for most readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Fault {
    #[serde(flatten)]
    what: What,
    registers: BTreeMap<&'static str, String>,
    backtrace: Vec<Place>,
}

/// What was done, with the numbers that belong to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum What {
    Exception { vector: u8, error_code: String, address: Option<String> },
    Port { port: String, width: u8, write: bool },
    Doorbell { value: String },
    Ring { field: usize, value: u32 },
    Physical { address: String, write: bool },
    Disk { device: usize },
    Hypercall { number: u16 },
    Access { address: String, bytes: u64 },
    NetRing { index: &'static str, value: u32 },
    Privileged { instruction: Box<str> },
    Halted,
    Program,
    TripleFault,
    Unrunnable { reason: u64 },
}

/// A place in the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Place {
    address: String,
    link_address: Option<String>,
    function: Option<String>,
    offset: Option<u64>,
}

impl End {
    /// An end of which there is nothing more to tell than its cause.
    fn plain(cause: &'static str, status: u8) -> Self {
        Self { cause, status, guest_status: None, signal: None, message: None, fault: None }
    }
}

impl From<&Error> for End {
    fn from(error: &Error) -> Self {
        Self { message: Some(error.to_string()), ..Self::plain("error", error.status()) }
    }
}

impl From<&Cause> for End {
    fn from(cause: &Cause) -> Self {
        let plain = |word| Self::plain(word, cause.status());
        match cause {
            Cause::Exit(status) => Self { guest_status: Some(*status), ..plain("exit") },
            Cause::Panic(message) => Self { message: Some(message.clone()), ..plain("panic") },
            Cause::Fault(report) => Self {
                message: Some(report.sentence.clone()),
                fault: Some(Fault::from(&**report)),
                ..plain("fault")
            },
            Cause::Timeout => plain("timeout"),
            Cause::Signal(number) => Self { signal: Some(*number), ..plain("signal") },
            Cause::OutputClosed => plain("output-closed"),
            Cause::Failed(error) => Self::from(error),
        }
    }
}

impl From<&FaultReport> for Fault {
    fn from(report: &FaultReport) -> Self {
        let FaultReport { fault, sentence: _, registers: Registers { general, cr2 }, callers } = report;
        let what = match fault.clone() {
            fault::Fault::Exception { vector, error, address } => What::Exception {
                vector,
                error_code: hex(error),
                address: (vector == PAGE_FAULT).then(|| hex(address)),
            },
            fault::Fault::Port { port, width, write } => What::Port { port: hex(port.into()), width, write },
            fault::Fault::Doorbell(value) => What::Doorbell { value: hex(value.into()) },
            fault::Fault::Ring(Corrupt { field, value }) => What::Ring { field, value },
            fault::Fault::Physical { gpa, write } => What::Physical { address: hex(gpa), write },
            fault::Fault::Disk { device } => What::Disk { device: device + 1 },
            fault::Fault::Hypercall(number) => What::Hypercall { number },
            fault::Fault::Access { address, length } => What::Access { address: hex(address), bytes: length },
            fault::Fault::NetRing { index, value } => What::NetRing { index, value },
            fault::Fault::Privileged { name, .. } => What::Privileged { instruction: name },
            fault::Fault::Halted { .. } => What::Halted,
            fault::Fault::Program => What::Program,
            fault::Fault::TripleFault => What::TripleFault,
            fault::Fault::Unrunnable { reason } => What::Unrunnable { reason },
        };
        let registers = [
            ("rip", general.rip),
            ("rsp", general.rsp),
            ("rbp", general.rbp),
            ("rflags", general.rflags),
            ("rax", general.rax),
            ("rbx", general.rbx),
            ("rcx", general.rcx),
            ("rdx", general.rdx),
            ("rsi", general.rsi),
            ("rdi", general.rdi),
            ("r8", general.r8),
            ("r9", general.r9),
            ("r10", general.r10),
            ("r11", general.r11),
            ("r12", general.r12),
            ("r13", general.r13),
            ("r14", general.r14),
            ("r15", general.r15),
            ("cr2", *cr2),
        ];
        Self {
            what,
            registers: registers.into_iter().map(|(name, value)| (name, hex(value))).collect(),
            backtrace: callers.iter().map(Place::from).collect(),
        }
    }
}

impl From<&Caller> for Place {
    fn from(caller: &Caller) -> Self {
        let Caller { address, link_address, symbol } = caller;
        let (function, offset) = symbol.clone().unzip();
        Self { address: hex(*address), link_address: link_address.map(hex), function, offset }
    }
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

/// What there is to tell only of a guest that ran.
#[derive(Debug, Serialize)]
struct Run {
    started_ns: u64,
    timeline: Vec<Step>,
    exits: Exits,
    console: Counters,
    devices: Vec<Device>,
    placement: Placed,
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

/// Where the guest was put.
#[derive(Debug, Serialize)]
struct Placed {
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
    pub fn of_run(program: &Path, outcome: &Outcome) -> Self {
        let Outcome { cause, observations } = outcome;
        // Destructured, so that nothing observed is forgotten here.
        let Observations { timeline, exits, console, devices, placement } = observations;
        let Placement { memory, slide, load_bias, seed } = *placement;
        let run = Run {
            started_ns: timeline.began(),
            timeline: steps(timeline),
            exits: Exits { total: exits.total(), by_reason: *exits },
            console: *console,
            devices: devices.iter().map(Device::from).collect(),
            placement: Placed {
                slide: hex(slide),
                load_bias: hex(load_bias),
                seed: seed.map(|seed| format!("{seed:016x}")),
            },
        };
        let memory = Memory { guest: Some(memory), ..Memory::default() };
        Self { run: Some(run), memory, ..Self::new(program, End::from(cause)) }
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

/// The timeline for people, a line for each step, as `--verbose` prints it at the end.
#[must_use]
pub fn timeline(observations: &Observations) -> String {
    let mut text = String::new();
    for (mark, took) in observations.timeline.steps() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:>12.3} ms  +{:.3} ms  {}",
            milliseconds(mark.at),
            milliseconds(took),
            mark.step
        );
    }
    text
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
