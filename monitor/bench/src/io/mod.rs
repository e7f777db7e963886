//! `ukvm-bench io`: how fast packets and blocks go in and out of a guest, beside a process that has the same TAP interface or
//! the same file.
//!
//! In a round guest and floors have their turns one after the other: each is started, measured for some hundredths of a second
//! with each load, and killed, as only one can be attached to the interface. The peer that loads them is the same for all, in
//! this process, on a processor of its own if there are two.

mod bulk;
pub(crate) mod cpus;
mod disk;
mod echo;
pub(crate) mod network;
mod row;
mod subject;

pub use row::{Form, Row, Unit};

use crate::error::Error;
use crate::program::Program;
use crate::promise::{Promise, Target, Unmeasured};
use crate::rounds::Rounds;
use crate::session::Session;
use crate::stats::Summary;
use bulk::{Bulk, Direction};
use cpus::Cpus;
use disk::DiskFile;
use echo::Echo;
use row::Spec;
use serde::Serialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use subject::Subject;

/// How long a load is kept up before it is measured: time to touch all buffers.
const WARM_UP: Duration = Duration::from_millis(4);
/// How long each load is measured in a turn.
const LENGTH: Duration = Duration::from_millis(12);
/// The guest's address with its network, for what has sockets.
const ADDRESS: [&str; 2] = ["--ip", "10.0.0.2/24"];

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Raw frames that come back
    Frames,
    /// Datagrams that come back from a socket
    Udp,
    /// Much data over TCP
    Tcp,
    /// A disk in the page cache
    Block,
    /// A read-only disk in the page cache
    ReadOnly,
    /// A disk read past the page cache
    Direct,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Frames, Self::Udp, Self::Tcp, Self::Block, Self::ReadOnly, Self::Direct];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Block => "block",
            Self::ReadOnly => "read-only block",
            Self::Direct => "direct block",
        }
    }

    const fn needs_network(self) -> bool {
        matches!(self, Self::Frames | Self::Udp | Self::Tcp)
    }

    /// What is measured, in the order of the guest's figures.
    fn specs(self) -> Vec<Spec> {
        use Form::{ByFloor, ByFloorAndExit, Speed};
        use Unit::{Bits, Each, Rate};
        let spec = Spec::new;
        match self {
            Self::Frames => vec![
                spec("raw frames, 256 in flight", Rate, Speed, (1, 0)).promised(0.9, 0.98),
                spec("raw frames, 64 in flight", Rate, Speed, (1, 1)).promised(0.6, 0.9),
                spec("raw frames, 16 in flight", Rate, Speed, (1, 2)),
                spec("round trip of one frame", Each, ByFloorAndExit, (2, 0)).promised(1.0, 1.0),
            ],
            Self::Udp => vec![
                spec("UDP sockets, 256 in flight", Rate, Speed, (1, 0)).promised(0.9, 0.98),
                spec("UDP sockets, 64 in flight", Rate, Speed, (1, 1)).promised(0.6, 0.9),
                spec("UDP round trip of one", Each, ByFloor, (1, 2)),
            ],
            Self::Tcp => vec![
                spec("TCP out, one connection", Bits, Speed, (1, 0)).promised(0.9, 1.0),
                spec("TCP in, one connection", Bits, Speed, (1, 1)).promised(0.6, 0.9),
            ],
            Self::Block => vec![
                spec("cached 4 KiB random, depth 1", Each, ByFloorAndExit, (1, 0)).promised(1.0, 2.0),
                spec("cached 4 KiB random, depth 32", Each, Speed, (1, 1)).promised(0.4, 0.9),
                spec("cached 4 KiB random, depth 128", Each, Speed, (1, 2)).promised(0.7, 0.95),
                spec("cached 4 KiB sequential, depth 32", Each, Speed, (1, 3)),
                spec("cached 128 KiB sequential, depth 1", Each, ByFloorAndExit, (1, 4)),
                spec("cached 128 KiB sequential, depth 8", Each, Speed, (1, 5)),
                spec("cached 128 KiB sequential, depth 32", Each, Speed, (1, 6)),
            ],
            Self::ReadOnly => vec![
                spec("read-only 4 KiB random, warm", Each, Speed, (1, 0)).promised(1.0, 1.8),
                spec("read-only 128 KiB random, warm", Each, Speed, (1, 1)).promised(1.0, 1.8),
                spec("read-only 4 KiB random, depth 32, warm", Each, Speed, (1, 2)),
                spec("read-only 128 KiB sequential, warm", Each, Speed, (1, 3)),
            ],
            Self::Direct => vec![
                spec("O_DIRECT 4 KiB random, depth 1", Each, Speed, (1, 0)).promised(0.6, 0.9),
                spec("O_DIRECT 4 KiB random, depth 32", Each, Speed, (1, 1)).promised(0.9, 0.98),
                spec("O_DIRECT 4 KiB random, depth 128", Each, Speed, (1, 2)),
                spec("O_DIRECT 128 KiB sequential, depth 1", Each, Speed, (1, 3)),
                spec("O_DIRECT 128 KiB sequential, depth 8", Each, Speed, (1, 4)),
            ],
        }
    }

    /// What its floors are called.
    const fn floors(self) -> &'static [&'static str] {
        match self {
            Self::Frames => {
                &["a process that spins on the same TAP", "a process that blocks on the same TAP"]
            }
            Self::Udp | Self::Tcp => &["the same stack in a process, same TAP"],
            Self::Block | Self::ReadOnly => &["pread of the same file"],
            Self::Direct => &["pread or io_uring of the same file, O_DIRECT"],
        }
    }

    /// What the floor of a figure is called.
    fn floor_of(self, spec: &Spec) -> &'static str {
        self.floors().get(spec.floor.0 - 1).copied().unwrap_or("the floor")
    }

    /// The phases of a disk.
    const fn phases(self) -> &'static [&'static str] {
        match self {
            Self::Block => &[
                "random-4096-1",
                "random-4096-32",
                "random-4096-128",
                "sequential-4096-32",
                "sequential-131072-1",
                "sequential-131072-8",
                "sequential-131072-32",
            ],
            Self::ReadOnly => &["random-4096-1", "random-131072-1", "random-4096-32", "sequential-131072-1"],
            Self::Direct => &[
                "random-4096-1",
                "random-4096-32",
                "random-4096-128",
                "sequential-131072-1",
                "sequential-131072-8",
            ],
            Self::Frames | Self::Udp | Self::Tcp => &[],
        }
    }
}

/// What is measured, and how often.
#[derive(Debug)]
pub struct Plan {
    monitor: PathBuf,
    elf: PathBuf,
    floor: PathBuf,
    /// What is measured.
    pub groups: Vec<Group>,
    /// The file that is the disk, if one is needed.
    disk: Option<DiskFile>,
    runs: usize,
}

impl Plan {
    /// Measures `groups` of the guest `elf` under `monitor` and of the program `floor`, each in `runs` rounds. Makes the file of the
    /// disk in `directory`, which goes with the plan.
    ///
    /// # Errors
    ///
    /// Where the file cannot be made.
    pub fn new(
        monitor: PathBuf,
        elf: PathBuf,
        floor: PathBuf,
        groups: Vec<Group>,
        directory: &Path,
        runs: usize,
    ) -> Result<Self, Error> {
        let needs_disk = groups.iter().any(|group| !group.needs_network());
        let disk = needs_disk.then(|| DiskFile::create(directory)).transpose()?;
        Ok(Self { monitor, elf, floor, groups, disk, runs })
    }
}

/// How fast packets and blocks go in and out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Io {
    /// The figures.
    pub rows: Vec<Row>,
    /// What an exit costs that has nothing to do, in nanoseconds; as the guest's clock has it.
    pub exit_ns: Option<Summary>,
    /// Datagrams of the peer that got no answer, guest and floors together.
    pub lost: usize,
}

/// What came of a measurement.
#[derive(Debug, Default)]
pub struct Measured {
    /// The figures there are.
    pub io: Io,
    /// What this machine does not have what it takes for.
    pub unmeasured: Vec<Unmeasured>,
    /// Why it stopped early, if it did.
    pub stopped: Option<Error>,
    /// What exits cost.
    exits: Vec<f64>,
}

/// All figures of a group, where none is measured.
pub(crate) fn unmeasured(group: Group, reason: &str) -> impl Iterator<Item = Unmeasured> {
    group.specs().into_iter().map(move |spec| spec.unmeasured(group.floor_of(&spec), reason))
}

/// Measures group after group. What the machine cannot is left out with the reason.
pub fn measure(plan: &Plan, session: &Session) -> Measured {
    let mut measured = Measured::default();
    measured.stopped = measure_all(plan, session, &mut measured).err();
    measured.io.exit_ns = Summary::of(std::mem::take(&mut measured.exits));
    measured
}

fn measure_all(plan: &Plan, session: &Session, measured: &mut Measured) -> Result<(), Error> {
    let (blocks, networks): (Vec<Group>, Vec<Group>) =
        plan.groups.iter().partition(|group| !group.needs_network());
    let cpus = Cpus::choose()?;
    if let Some(file) = &plan.disk {
        for group in blocks {
            let missing = if group == Group::Direct { why_not_direct(plan, file, session)? } else { None };
            let turn = |program: &Program| block_turn(group, program, file, session);
            measured.group(group, plan, missing, session, turn)?;
        }
    }
    if !networks.is_empty() {
        let missing = network::enter().err().map(|error| error.to_string());
        for group in networks {
            let mut lost = 0;
            let turn = |program: &Program| {
                let subject = cpus.with_subjects(|| Subject::start(program, session))?;
                let times = network_turn(group, program, &subject, &cpus, &mut lost, session);
                subject.end(session)?;
                times
            };
            let result = measured.group(group, plan, missing.clone(), session, turn);
            measured.io.lost += lost;
            cpus.release();
            result?;
        }
    }
    Ok(())
}

/// One subject's turn with the disk: the times of its rows, and of an exit if it is a guest.
fn block_turn(
    group: Group,
    program: &Program,
    file: &DiskFile,
    session: &Session,
) -> Result<Vec<f64>, Error> {
    /// More often, the machine has no time to measure.
    const TRIES: usize = 20;
    for _ in 0..TRIES {
        file.wait_until_free(session)?;
        let mut subject = Subject::start(program, session)?;
        let times = disk::phases(&mut subject, group.phases(), session)?;
        let exit = subject.exit_ns;
        subject.end(session)?;
        if let Some(mut times) = times {
            times.extend(exit);
            return Ok(times);
        }
    }
    Err(Error::host(format!(
        "this machine is so busy that phases of a disk were seen too late to be measured {TRIES} times; measure when it is idle"
    )))
}

/// One subject's turn on the network: the times of its rows, and of an exit if it is a guest.
fn network_turn(
    group: Group,
    program: &Program,
    subject: &Subject,
    cpus: &Cpus,
    lost: &mut usize,
    session: &Session,
) -> Result<Vec<f64>, Error> {
    let mut times = Vec::new();
    if group == Group::Tcp {
        let mut bulk = Bulk::connect(session)?;
        for direction in [Direction::Out, Direction::In] {
            times.push(bulk.measure(direction, LENGTH)?);
        }
    } else {
        let mut echo = Echo::new(cpus.are_two(), session)?;
        let blocking = program.arguments.iter().any(|word| word == BLOCKING);
        let windows: &[usize] = match group {
            Group::Frames if blocking => &[1],
            Group::Frames if subject.exit_ns.is_none() => &[256, 64, 16],
            Group::Frames => &[256, 64, 16, 1],
            _ => &[256, 64, 1],
        };
        for &window in windows {
            times.push(echo.measure(window, WARM_UP, LENGTH, session)?);
        }
        *lost += echo.lost;
    }
    times.extend(subject.exit_ns);
    Ok(times)
}

/// The floor that sleeps while there is no frame.
const BLOCKING: &str = "frames-blocking";

/// Why a disk cannot be read past the page cache here, if it cannot.
fn why_not_direct(plan: &Plan, file: &DiskFile, session: &Session) -> Result<Option<String>, Error> {
    if let Some(reason) = file.why_not_direct() {
        return Ok(Some(reason));
    }
    let Some(guest) = programs(plan, Group::Direct).into_iter().next() else { return Ok(None) };
    file.wait_until_free(session)?;
    match Subject::start(&guest, session) {
        Ok(subject) => subject.end(session).map(|()| None),
        Err(_) if session.is_interrupted() => Err(Error::interrupted()),
        Err(error) => Ok(Some(format!("this ukvm-run has no direct disks: {error}"))),
    }
}

/// The guest, then the floors.
fn programs(plan: &Plan, group: Group) -> Vec<Program> {
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let floor = |arguments: Vec<OsString>| Program { arguments, ..Program::at(&plan.floor) };
    let guest = |options: Vec<OsString>, arguments: Vec<OsString>| {
        Program::unikernel(&plan.monitor, &options, &plan.elf, &arguments)
    };
    let on_network = |device: &str, arguments: &[&str]| {
        guest(network::option(device).map(OsString::from).to_vec(), words(arguments))
    };
    let [ip, address] = ADDRESS;
    match (group, &plan.disk) {
        (Group::Frames, _) => vec![
            on_network("raw", &["frames"]),
            floor(words(&["frames", network::TAP])),
            floor(words(&[BLOCKING, network::TAP])),
        ],
        (Group::Udp, _) => {
            vec![on_network("lan", &["udp", ip, address]), floor(words(&["udp", network::TAP, ip, address]))]
        }
        (Group::Tcp, _) => {
            vec![on_network("lan", &["tcp", ip, address]), floor(words(&["tcp", network::TAP, ip, address]))]
        }
        (Group::Block | Group::ReadOnly | Group::Direct, Some(file)) => {
            let (device, suffix, mode) = match group {
                Group::ReadOnly => ("image=", ",ro", "block"),
                Group::Direct => ("data=", ",direct", "block-direct"),
                _ => ("data=", "", "block"),
            };
            let mut disk = OsString::from(device);
            disk.push(file.path());
            disk.push(suffix);
            let mut own = vec![OsString::from(mode), file.path().into()];
            own.extend(words(group.phases()));
            let mut arguments = words(&["block"]);
            arguments.extend(words(group.phases()));
            vec![guest(vec!["--disk".into(), disk], arguments), floor(own)]
        }
        (Group::Block | Group::ReadOnly | Group::Direct, None) => Vec::new(),
    }
}

impl Measured {
    /// Measures a group, unless something is `missing`.
    fn group(
        &mut self,
        group: Group,
        plan: &Plan,
        missing: Option<String>,
        session: &Session,
        mut turn: impl FnMut(&Program) -> Result<Vec<f64>, Error>,
    ) -> Result<(), Error> {
        let specs = group.specs();
        if let Some(reason) = missing {
            self.unmeasured.extend(unmeasured(group, &reason));
            return Ok(());
        }
        let programs = programs(plan, group);
        let rounds = Rounds::run(group.name(), programs.len(), plan.runs, session, |subject| {
            programs.get(subject).map_or_else(|| Ok(Vec::new()), &mut turn)
        });
        // Behind the guest's figures comes what an exit costs it.
        let exit: Vec<f64> =
            rounds.values(0).iter().filter_map(|values| values.get(specs.len())).copied().collect();
        let rows = specs.iter().enumerate().filter_map(|(place, spec)| {
            let of = |subject: usize, place: usize| -> Vec<f64> {
                rounds.values(subject).iter().filter_map(|values| values.get(place)).copied().collect()
            };
            let (subject, column) = spec.floor;
            spec.row(group, group.floor_of(spec), plan.runs, &of(0, place), &of(subject, column), &exit)
        });
        self.io.rows.extend(rows);
        self.exits.extend(exit);
        rounds.stopped.map_or(Ok(()), Err)
    }
}

impl Io {
    /// The promises that it bears on.
    #[must_use]
    pub fn promises(&self) -> Vec<Promise> {
        self.rows.iter().filter_map(Row::promise).collect()
    }
}

/// The target of a row that has one.
pub(crate) const fn target(form: Form, limit: f64) -> Target {
    match form {
        Form::Speed => Target::AtLeast(limit),
        Form::ByFloor | Form::ByFloorAndExit => Target::AtMost(limit),
    }
}
