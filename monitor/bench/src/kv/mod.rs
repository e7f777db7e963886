//! `ukvm-bench kv`: how fast a key/value service in a guest is that flushes each write, beside Redis that does.
//!
//! Both write into the same directory and are loaded by the same redis-benchmark. In a round each has its turn: it is started with
//! nothing in it, loaded in each way, and killed. The guest is behind a TAP interface; Redis is reached without any, over the kernel's own
//! loopback.

mod benchmark;

use crate::directory::Directory;
use crate::error::Error;
use crate::io::cpus::Cpus;
use crate::io::network;
use crate::load::{self, Speed};
use crate::program::Program;
use crate::rounds::Rounds;
use crate::session::Session;
use crate::stats::Interval;
use crate::table;
use crate::turn::Turn;
use benchmark::Benchmark;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

/// The port of Redis.
const PORT: u16 = 6379;
/// Bytes of the guest's disk, as a file without blocks at first.
const DISK: u64 = 1 << 30;

/// The servers, in the order of their figures.
const SERVERS: [&str; 2] = ["kv-server in a guest", "redis-server"];
const GUEST: usize = 0;
const REDIS: usize = 1;

/// The commands, as redis-benchmark names them.
const COMMANDS: [&str; 3] = ["SET", "GET", "INCR"];

/// Loads: connections, requests under way on each, and how many are sent in a turn.
const LOADS: [(u32, u32, u32); 4] = [(1, 1, 1_000), (1, 16, 8_000), (50, 1, 10_000), (50, 16, 50_000)];

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The monitor.
    pub monitor: PathBuf,
    /// The guest.
    pub elf: PathBuf,
    /// redis-server.
    pub redis: PathBuf,
    /// redis-benchmark.
    pub client: PathBuf,
}

/// What is measured, and how often.
#[derive(Debug)]
pub struct Plan {
    servers: [Program; SERVERS.len()],
    client: Benchmark,
    runs: usize,
    place: Place,
}

impl Plan {
    /// Measures these programs in `runs` rounds. What they write is in `directory`, and goes with the plan.
    ///
    /// # Errors
    ///
    /// Where it cannot be made.
    pub fn new(programs: Programs, directory: &Path, runs: usize) -> Result<Self, Error> {
        let place = Place::create(directory)?;
        let Programs { monitor, elf, redis, client } = programs;
        let addresses = ["--ip".to_owned(), format!("{}/24", network::GUEST)];
        let disk = ["--disk".to_owned(), place.image().display().to_string()];
        let options = network::option("service").into_iter().chain(disk).map(Into::into).collect::<Vec<_>>();
        let guest = Program::unikernel(&monitor, &options, &elf, &addresses.map(Into::into));
        let words = [
            ("--bind", network::HOST.to_string()),
            ("--port", PORT.to_string()),
            ("--dir", place.log().display().to_string()),
            ("--save", String::new()),
            ("--appendonly", "yes".to_owned()),
            ("--appendfsync", "always".to_owned()),
            // It would answer clients on its own loopback only.
            ("--protected-mode", "no".to_owned()),
            // The log is not written anew while it is measured.
            ("--auto-aof-rewrite-percentage", "0".to_owned()),
        ];
        let words = words.into_iter().flat_map(|(name, value)| [name.into(), value.into()]).collect();
        let redis = Program { arguments: words, ..Program::at(&redis) };
        let [a, b] = SERVERS;
        let servers = [guest.named(a), redis.named(b)];
        Ok(Self { servers, client: Benchmark(client), runs, place })
    }
}

/// What the servers write: a directory of this process and user alone, which is removed when this is dropped.
#[derive(Debug)]
struct Place(Directory);

impl Place {
    fn create(parent: &Path) -> Result<Self, Error> {
        Directory::create(parent, "kv").map(Self)
    }

    /// The guest's disk.
    fn image(&self) -> PathBuf {
        self.0.path().join("data.img")
    }

    /// The directory of Redis.
    fn log(&self) -> PathBuf {
        self.0.path().join("redis")
    }

    /// Makes both empty.
    fn empty(&self) -> Result<(), Error> {
        let empty = || {
            match fs::remove_dir_all(self.log()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fs::create_dir(self.log())?,
            }
            File::create(self.image())?.set_len(DISK)
        };
        empty().map_err(|error| Error::output(self.0.path(), &error))
    }
}

/// How fast a key/value service is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kv {
    /// Rounds in which both were measured.
    pub rounds: usize,
    /// Rounds that were wanted.
    pub wanted: usize,
    /// By load.
    pub loads: Vec<Load>,
}

/// Both servers under one load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// What it is called.
    pub name: String,
    /// The command that is sent.
    pub command: String,
    /// How many connections ask at once.
    pub clients: u32,
    /// How many requests each has under way.
    pub pipeline: u32,
    /// What the servers did.
    pub servers: Vec<Served>,
}

/// A server under one load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// How fast it answered.
    #[serde(flatten)]
    pub speed: Speed,
    /// Its requests a second by those of Redis, round by round; not of Redis itself.
    pub by_redis: Option<Interval>,
}

/// All loads: each command in each way.
fn loads() -> impl Iterator<Item = (&'static str, (u32, u32, u32))> {
    COMMANDS.into_iter().flat_map(|command| LOADS.into_iter().map(move |load| (command, load)))
}

/// Measures, and says why it stopped early if it did.
pub fn measure(plan: &Plan, session: &Session) -> (Option<Kv>, Option<Error>) {
    let cpus = match Cpus::choose().and_then(|cpus| network::enter_with_loopback().map(|()| cpus)) {
        Ok(cpus) => cpus,
        Err(error) => return (None, Some(error)),
    };
    let rounds = Rounds::run("kv", SERVERS.len(), plan.runs, session, |which| {
        let address = SocketAddrV4::new(if which == REDIS { network::HOST } else { network::GUEST }, PORT);
        let Some(program) = plan.servers.get(which) else {
            return Err(Error::host("there is no such server; start again"));
        };
        plan.place.empty()?;
        let server = cpus.with_subjects(|| Turn::serve(program, address.into(), session))?;
        let turn = loads()
            .map(|(command, load)| plan.client.load(address, command, load, session))
            .collect::<Result<Vec<_>, _>>();
        server.end(session)?;
        turn
    });
    cpus.release();
    let loads = loads().enumerate().map(|(number, (command, (clients, pipeline, _)))| {
        let of =
            |server: usize| rounds.values(server).iter().filter_map(move |turn| turn.get(number).copied());
        let servers = SERVERS.iter().enumerate().map(|(server, name)| {
            Some(Served {
                name: (*name).to_owned(),
                speed: Speed::of(of(server))?,
                by_redis: if server == GUEST { load::ratio(of(server), of(REDIS)) } else { None },
            })
        });
        let servers = servers.collect::<Option<_>>()?;
        let s = if clients == 1 { "" } else { "s" };
        let name = format!("{command}, {clients} client{s}, {pipeline} under way on each");
        Some(Load { name, command: command.to_owned(), clients, pipeline, servers })
    });
    let kv =
        loads.collect::<Option<_>>().map(|loads| Kv { rounds: rounds.count(), wanted: plan.runs, loads });
    (kv, rounds.stopped)
}

/// The figures as text, for a terminal.
#[must_use]
pub fn table(kv: &Kv) -> String {
    let mut text =
        table::line(&format!("kv, {}", table::rounds(kv.rounds, kv.wanted)), ["a second", "median", "p99"]);
    for load in &kv.loads {
        text += &format!("  {}\n", load.name);
        for served in &load.servers {
            let figures = served.speed.medians();
            text += &table::line(&format!("    {}", served.name), figures.iter().map(String::as_str));
            if let Some(by) = served.by_redis {
                text += &table::ratio_line("      by redis-server", by);
            }
        }
    }
    text
}
