//! A run of `ukvm-bench`: what is asked for is found, then measured.

use crate::cli::{
    AllOptions, BootOptions, ChurnOptions, Cli, Command, ComputeOptions, Guests, IoOptions, Json,
    MemoryOptions, ServiceOptions, Subject,
};
use crate::error::Error;
use crate::output::Output;
use crate::program::{self, Program};
use crate::setting::{Files, Setting};
use crate::{boot, churn, compute, io, job, kv, memory, site};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The floor of a start.
const START_FLOOR: &str = "start-floor";
/// The floor of computing.
const COMPUTE_FLOOR: &str = "compute-floor";
/// The guests that are measured where the user names none.
const HELLO: &str = "hello.elf";
const COMPUTE: &str = "compute.elf";
const IO: &str = "io.elf";
/// The floor of input and output.
const IO_FLOOR: &str = "io-floor";
/// The guest with a web site.
const SITE: &str = "static-site.elf";
/// The same in a process.
const SITE_FLOOR: &str = "site-floor";
/// The guest with a web site over TLS.
const HTTPS: &str = "https.elf";
/// The same in a process.
const HTTPS_FLOOR: &str = "https-floor";
/// The guest that fetches a file.
const JOB: &str = "cron-job.elf";
/// The guest with a key/value service.
const KV: &str = "kv-server.elf";
/// Lives that each processor has in a round of `all`.
const LIVES: usize = 16;

/// Does what the command line asks for.
///
/// # Errors
///
/// A sentence and a status; what was measured before is printed and written all the same.
pub fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Boot(options) => run_boot(&options),
        Command::Churn(options) => run_churn(&options),
        Command::Memory(options) => run_memory(&options),
        Command::Compute(options) => run_compute(&options),
        Command::Io(options) => run_io(&options),
        Command::Site(options) => run_site(&options, false),
        Command::Tls(options) => run_site(&options, true),
        Command::Job(options) => run_job(&options),
        Command::Kv(options) => run_kv(&options),
        Command::All(options) => run_all(&options),
    }
}

/// The files of one measurement.
fn json_only(json: &Json) -> Result<Files, Error> {
    let [json] = Output::create_all([json.json.as_deref()])?;
    Ok(Files { json, ..Files::default() })
}

fn plan_compute(setting: &Setting, runs: usize) -> Result<compute::Plan, Error> {
    let elf = setting.guest(COMPUTE)?;
    Ok(compute::Plan {
        app: Program::unikernel(&setting.monitor, &[], &elf, &[]),
        floor: setting.floor(COMPUTE_FLOOR, None)?,
        runs,
    })
}

fn plan_io(
    setting: &Setting,
    groups: &[io::Group],
    directory: &Path,
    runs: usize,
) -> Result<io::Plan, Error> {
    let groups = if groups.is_empty() { io::Group::ALL.to_vec() } else { groups.to_vec() };
    let (elf, floor) = (setting.guest(IO)?, setting.places.find(IO_FLOOR, "--programs", None)?);
    io::Plan::new(setting.monitor.clone(), elf, floor, groups, directory, runs)
}

/// The unikernel that is measured, with the options for its monitor.
fn app(setting: &Setting, subject: &Subject) -> Result<(Program, Vec<OsString>), Error> {
    let options = program::split("--options", &subject.options)?;
    if !subject.app.is_file() {
        return Err(Error::missing(format!("there is no file {}; name a unikernel", subject.app.display())));
    }
    Ok((Program::unikernel(&setting.monitor, &options, &subject.app, &subject.arguments), options))
}

fn run_boot(options: &BootOptions) -> Result<(), Error> {
    let BootOptions { compare, svg, subject } = options;
    let mut setting = Setting::new(&subject.common)?;
    let (app, monitor_options) = app(&setting, subject)?;
    let plan = boot::Plan {
        app,
        app_with_report: boot::timeline::Reported {
            monitor: setting.monitor.clone(),
            options: monitor_options,
            elf: subject.app.clone(),
            arguments: subject.arguments.clone(),
        },
        floor: setting.floor(START_FLOOR, subject.floor.as_deref())?,
        compare: compare
            .iter()
            .map(|words| Program::of_words("--compare", words))
            .collect::<Result<_, _>>()?,
        runs: subject.common.runs,
    };
    let [json, svg] = Output::create_all([subject.json.json.as_deref(), svg.as_deref()])?;
    setting.boot(&plan, false);
    setting.finish(Files { json, svg, ..Files::default() })
}

fn run_churn(options: &ChurnOptions) -> Result<(), Error> {
    let ChurnOptions { lives, subject } = options;
    let mut setting = Setting::new(&subject.common)?;
    let (app, _) = app(&setting, subject)?;
    let floor = setting.floor(START_FLOOR, subject.floor.as_deref())?;
    let files = json_only(&subject.json)?;
    let cpus = setting.results.machine.cpus;
    setting.churn(&churn::Plan { app, floor, runs: subject.common.runs, lives: *lives, cpus });
    setting.finish(files)
}

fn run_memory(options: &MemoryOptions) -> Result<(), Error> {
    let MemoryOptions { guests: Guests { guests }, subject } = options;
    let mut setting = Setting::new(&subject.common)?;
    let (app, _) = app(&setting, subject)?;
    let floor = setting.floor(START_FLOOR, subject.floor.as_deref())?;
    let files = json_only(&subject.json)?;
    setting.memory(&memory::Plan { app, floor, runs: subject.common.runs, guests: *guests });
    setting.finish(files)
}

fn run_compute(options: &ComputeOptions) -> Result<(), Error> {
    let ComputeOptions { json, common } = options;
    let mut setting = Setting::new(common)?;
    let plan = plan_compute(&setting, common.runs)?;
    let files = json_only(json)?;
    setting.compute(&plan);
    setting.finish(files)
}

fn run_io(options: &IoOptions) -> Result<(), Error> {
    let IoOptions { only, disk, json, common } = options;
    let mut setting = Setting::new(common)?;
    let plan = plan_io(&setting, only, &disk.directory, common.runs)?;
    let files = json_only(json)?;
    setting.io(&plan);
    setting.finish(files)
}

/// A program of others that is measured, or measured with. Debian keeps some where not every user's PATH leads.
fn installed(setting: &Setting, name: &str) -> Result<PathBuf, Error> {
    let place = Path::new("/usr/sbin").join(name);
    let found = setting.places.find(name, "PATH", None);
    found.or_else(|_| setting.places.find(name, "PATH", Some(&place))).map_err(|_| {
        Error::missing(format!(
            "{name} is neither in PATH nor in /usr/sbin; install it, as it is measured with"
        ))
    })
}

fn run_job(options: &ServiceOptions) -> Result<(), Error> {
    let ServiceOptions { markdown, directory, json, common } = options;
    let mut setting = Setting::new(common)?;
    let programs = job::Programs {
        monitor: setting.monitor.clone(),
        elf: setting.guest(JOB)?,
        nginx: installed(&setting, "nginx")?,
        dnsmasq: installed(&setting, "dnsmasq")?,
        curl: installed(&setting, "curl")?,
        mkfs: installed(&setting, "mkfs.vfat")?,
    };
    let plan = job::Plan::new(&programs, directory, common.runs)?;
    let [json, markdown] = Output::create_all([json.json.as_deref(), markdown.as_deref()])?;
    setting.job(&plan);
    setting.finish(Files { json, markdown, ..Files::default() })
}

fn run_site(options: &ServiceOptions, tls: bool) -> Result<(), Error> {
    let ServiceOptions { markdown, directory, json, common } = options;
    let mut setting = Setting::new(common)?;
    let programs = site::Programs {
        monitor: setting.monitor.clone(),
        elf: setting.guest(if tls { HTTPS } else { SITE })?,
        floor: setting.places.find(if tls { HTTPS_FLOOR } else { SITE_FLOOR }, "--programs", None)?,
        nginx: installed(&setting, "nginx")?,
        wrk: installed(&setting, "wrk")?,
        openssl: tls.then(|| installed(&setting, "openssl")).transpose()?,
    };
    let plan = site::Plan::new(programs, directory, common.runs)?;
    let [json, markdown] = Output::create_all([json.json.as_deref(), markdown.as_deref()])?;
    setting.site(&plan, tls);
    setting.finish(Files { json, markdown, ..Files::default() })
}

fn run_kv(options: &ServiceOptions) -> Result<(), Error> {
    let ServiceOptions { markdown, directory, json, common } = options;
    let mut setting = Setting::new(common)?;
    let programs = kv::Programs {
        monitor: setting.monitor.clone(),
        elf: setting.guest(KV)?,
        redis: installed(&setting, "redis-server")?,
        client: installed(&setting, "redis-benchmark")?,
    };
    let plan = kv::Plan::new(programs, directory, common.runs)?;
    let [json, markdown] = Output::create_all([json.json.as_deref(), markdown.as_deref()])?;
    setting.kv(&plan);
    setting.finish(Files { json, markdown, ..Files::default() })
}

fn run_all(options: &AllOptions) -> Result<(), Error> {
    let AllOptions { json, html, markdown, guests: Guests { guests }, disk, common } = options;
    let (runs, guests) = (common.runs, *guests);
    let mut setting = Setting::new(common)?;
    let elf = setting.guest(HELLO)?;
    let app = Program::unikernel(&setting.monitor, &[], &elf, &[]);
    let floor = setting.floor(START_FLOOR, None)?;
    let compute = plan_compute(&setting, runs)?;
    let io = plan_io(&setting, &[], &disk.directory, runs)?;
    let [json, html, markdown] = Output::create_all([Some(json), Some(html), markdown.as_deref()])?;
    let cpus = setting.results.machine.cpus;
    let boot = boot::Plan {
        app: app.clone(),
        app_with_report: boot::timeline::Reported {
            monitor: setting.monitor.clone(),
            options: Vec::new(),
            elf,
            arguments: Vec::new(),
        },
        floor: floor.clone(),
        compare: Vec::new(),
        runs,
    };
    setting.boot(&boot, true);
    setting.churn(&churn::Plan { app: app.clone(), floor: floor.clone(), runs, lives: LIVES, cpus });
    setting.memory(&memory::Plan { app, floor, runs, guests });
    setting.compute(&compute);
    // Last: it moves this process into another network.
    setting.io(&io);
    setting.finish(Files { json, html, markdown, svg: None })
}
