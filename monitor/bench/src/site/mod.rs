//! `ukvm-bench site` and `ukvm-bench tls`: how fast a web site in a guest is, beside nginx and beside the same program in a process.
//!
//! All three serve the same files to the same wrk. In a round each has its turn: it is started, loaded in each way, looked at for
//! the memory that it has, and killed. The guest and the process are behind the same TAP interface, with the same network stack;
//! nginx is reached without any interface, over the kernel's own loopback.

mod certificate;
mod files;
mod wrk;

use crate::error::Error;
use crate::io::cpus::Cpus;
use crate::io::network;
use crate::load::{self, Speed};
use crate::memory::smaps;
use crate::nginx::{self, Tls};
use crate::program::Program;
use crate::rounds::Rounds;
use crate::session::Session;
use crate::stats::{Interval, Summary};
use crate::table;
use crate::turn::Turn;
use certificate::Certificate;
use files::{BULK, Files, LARGE, SMALL};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wrk::Wrk;

/// How long the first load is kept up before anything is measured, which wrk counts in whole seconds.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long each load is measured in a turn.
const LENGTH: Duration = Duration::from_secs(1);

/// The servers, in the order of their figures.
const SERVERS: usize = 3;
const GUEST: usize = 0;
const PROCESS: usize = 1;
const NGINX: usize = 2;

/// A load: what is asked for, over how many connections at once.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    path: &'static str,
    connections: u32,
    /// Each request has a connection of its own.
    anew: bool,
}

/// What is served how, and asked for in which ways.
#[derive(Debug)]
struct Service {
    /// What a measurement is called.
    name: &'static str,
    /// The servers' names.
    servers: [&'static str; SERVERS],
    scheme: &'static str,
    port: u16,
    loads: &'static [Kind],
}

const PLAIN: Service = Service {
    name: "site",
    servers: ["static-site in a guest", "static-site in a process", "nginx"],
    scheme: "http",
    port: 80,
    loads: &[
        Kind { name: "1 KiB, 64 connections", path: SMALL, connections: 64, anew: false },
        Kind { name: "1 KiB, 1 connection", path: SMALL, connections: 1, anew: false },
        Kind { name: "100 KiB, 16 connections", path: LARGE, connections: 16, anew: false },
    ],
};

const OVER_TLS: Service = Service {
    name: "tls",
    servers: ["https in a guest", "https in a process", "nginx"],
    scheme: "https",
    port: 443,
    loads: &[
        Kind { name: "1 KiB, a handshake for each, 16 at once", path: SMALL, connections: 16, anew: true },
        Kind { name: "1 KiB, a handshake for each, one at a time", path: SMALL, connections: 1, anew: true },
        Kind { name: "1 MiB, 4 connections", path: BULK, connections: 4, anew: false },
    ],
};

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The monitor.
    pub monitor: PathBuf,
    /// The guest.
    pub elf: PathBuf,
    /// The same in a process.
    pub floor: PathBuf,
    /// nginx.
    pub nginx: PathBuf,
    /// wrk.
    pub wrk: PathBuf,
    /// openssl, which makes the certificate: then the site is served over TLS.
    pub openssl: Option<PathBuf>,
}

/// What is measured, and how often.
#[derive(Debug)]
pub struct Plan {
    service: &'static Service,
    servers: [Program; SERVERS],
    wrk: Wrk,
    runs: usize,
    /// Removes the site when the plan goes.
    _files: Files,
}

impl Plan {
    /// Measures these programs in `runs` rounds. Makes the site in `directory`, which goes with the plan.
    ///
    /// # Errors
    ///
    /// Where the site, or a certificate for it, cannot be made.
    pub fn new(programs: Programs, directory: &Path, runs: usize) -> Result<Self, Error> {
        let Programs { monitor, elf, floor, nginx, wrk, openssl } = programs;
        let service = if openssl.is_some() { &OVER_TLS } else { &PLAIN };
        let files = Files::create(directory)?;
        let certificate =
            openssl.map(|openssl| Certificate::create(&openssl, files.directory())).transpose()?;
        let tls = certificate.as_ref().map(|Certificate { certificate, key, .. }| Tls { certificate, key });
        let nginx = nginx::program(&nginx, files.directory(), tls)
            .map_err(|error| Error::output(files.directory(), &error))?;
        let addresses = ["--ip".to_owned(), format!("{}/24", network::GUEST)];
        let images = [Some(files.image()), certificate.map(|certificate| certificate.image)];
        let images: Vec<String> = images.iter().flatten().map(|image| image.display().to_string()).collect();
        let disks = images.iter().flat_map(|image| ["--disk".to_owned(), format!("{image},ro")]);
        let options = network::option("service").into_iter().chain(disks).map(Into::into).collect::<Vec<_>>();
        let guest = Program::unikernel(&monitor, &options, &elf, &addresses.clone().map(Into::into));
        let process = [vec![network::TAP.to_owned()], images, addresses.to_vec()].concat();
        let process =
            Program { arguments: process.into_iter().map(Into::into).collect(), ..Program::at(&floor) };
        let [a, b, c] = service.servers;
        let servers = [guest.named(a), process.named(b), nginx.named(c)];
        Ok(Self { service, servers, wrk: Wrk::new(wrk, files.script()), runs, _files: files })
    }
}

/// What a server has of the machine's memory, in bytes; its guest included.
fn memory(server: &Turn) -> Result<u64, Error> {
    smaps::of(server.id(), &server.name).map(|usage| usage.own + usage.guest)
}

/// How fast a web site is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Site {
    /// Rounds in which all were measured.
    pub rounds: usize,
    /// Rounds that were wanted.
    pub wanted: usize,
    /// By load.
    pub loads: Vec<Load>,
}

/// All servers under one load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// What it is called.
    pub name: String,
    /// How many connections ask at once.
    pub connections: u32,
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
    /// What the process had of the machine's memory after the load (PSS), in bytes: that of a guest with the guest's memory, as far
    /// as it was touched, and the part of the image that is mapped.
    pub memory_bytes: Summary,
    /// Its requests a second by nginx's, round by round; not of nginx itself.
    pub by_nginx: Option<Interval>,
    /// The same by the process'; of the guest alone.
    pub by_process: Option<Interval>,
}

/// Measures, and says why it stopped early if it did.
pub fn measure(plan: &Plan, session: &Session) -> (Option<Site>, Option<Error>) {
    let cpus = match Cpus::choose().and_then(|cpus| network::enter_with_loopback().map(|()| cpus)) {
        Ok(cpus) => cpus,
        Err(error) => return (None, Some(error)),
    };
    let Service { name, servers: names, scheme, port, loads } = plan.service;
    let rounds = Rounds::run(name, SERVERS, plan.runs, session, |which| {
        let (Some(program), address) =
            (plan.servers.get(which), if which == NGINX { network::HOST } else { network::GUEST })
        else {
            return Err(Error::host("there is no such server; start again"));
        };
        let server = cpus.with_subjects(|| Turn::serve(program, (address, *port).into(), session))?;
        let load = |load: &Kind, length| {
            let url = format!("{scheme}://{address}/{}", load.path);
            plan.wrk.load(&url, load.connections, load.anew, length, session)
        };
        let turn = loads.first().map_or(Ok(()), |first| load(first, WARM_UP).map(drop)).and_then(|()| {
            loads
                .iter()
                .map(|kind| Ok((load(kind, LENGTH)?, memory(&server)?)))
                .collect::<Result<Vec<_>, _>>()
        });
        server.end(session)?;
        turn
    });
    cpus.release();
    let loads = loads.iter().enumerate().map(|(number, load)| {
        let turns =
            |server: usize| rounds.values(server).iter().filter_map(move |turn| turn.get(number).copied());
        let of = |server| turns(server).map(|(measured, _)| measured);
        let by = |server, other| load::ratio(of(server), of(other));
        let servers = names.iter().enumerate().map(|(server, name)| {
            Some(Served {
                name: (*name).to_owned(),
                speed: Speed::of(of(server))?,
                memory_bytes: Summary::of(turns(server).map(|(_, memory)| memory as f64))?,
                by_nginx: if server == NGINX { None } else { by(server, NGINX) },
                by_process: if server == GUEST { by(server, PROCESS) } else { None },
            })
        });
        let servers = servers.collect::<Option<_>>()?;
        Some(Load { name: load.name.to_owned(), connections: load.connections, servers })
    });
    let site =
        loads.collect::<Option<_>>().map(|loads| Site { rounds: rounds.count(), wanted: plan.runs, loads });
    (site, rounds.stopped)
}

/// A site as text, for a terminal; `name` is that of the measurement.
#[must_use]
pub fn table(name: &str, site: &Site) -> String {
    let mut text = table::line(
        &format!("{name}, {}", table::rounds(site.rounds, site.wanted)),
        ["a second", "median", "p99", "memory"],
    );
    for load in &site.loads {
        text += &format!("  {}\n", load.name);
        for served in &load.servers {
            let [rate, median, p99] = served.speed.medians();
            let figures = [rate, median, p99, table::size(served.memory_bytes.median)];
            text += &table::line(&format!("    {}", served.name), figures.iter().map(String::as_str));
            for (name, by) in [("nginx", served.by_nginx), ("the process", served.by_process)] {
                if let Some(by) = by {
                    text += &table::ratio_line(&format!("      by {name}"), by);
                }
            }
        }
    }
    text
}
