//! A run of `ukvm-bench`: what is asked for is found, measured, printed and written.

use crate::cli::{
    AllOptions, BootOptions, ChurnOptions, Cli, Command, Common, ComputeOptions, IoOptions, Json,
    MemoryOptions, Subject,
};
use crate::error::Error;
use crate::output::Output;
use crate::program::{self, Places, Program};
use crate::results::Results;
use crate::session::Session;
use crate::{boot, chart, churn, compute, html, io, memory, table};
use std::ffi::OsString;
use std::fs::OpenOptions;
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
        Command::All(options) => run_all(&options),
    }
}

/// What every measurement starts with.
struct Setting {
    places: Places,
    monitor: PathBuf,
    session: Session,
    results: Results,
    stopped: Option<Error>,
}

impl Setting {
    fn new(common: &Common) -> Result<Self, Error> {
        let places = Places::new(common.programs.clone());
        let monitor = places.find("ukvm-run", "--ukvm-run", common.ukvm_run.as_deref())?;
        check_kvm()?;
        let results = Results::here();
        for note in &results.notes {
            eprintln!("ukvm-bench: {note}");
        }
        Ok(Self { places, monitor, session: Session::new(common.patience)?, results, stopped: None })
    }

    fn floor(&self, name: &str, named: Option<&Path>) -> Result<Program, Error> {
        Ok(Program::at(&self.places.find(name, "--floor", named)?))
    }

    /// A guest that the user has not named.
    fn guest(&self, name: &str) -> Result<PathBuf, Error> {
        self.places.find(name, "--programs", None)
    }

    /// Takes a result, and the reason why there is no more of it.
    fn take<T>(&mut self, (result, stopped): (Option<T>, Option<Error>)) -> Option<T> {
        self.stopped = self.stopped.take().or(stopped);
        result
    }

    /// Whether to go on: a partial result is told, but nothing more is measured.
    fn is_going(&self) -> bool {
        self.stopped.is_none()
    }

    fn boot(&mut self, plan: &boot::Plan) {
        let measured = boot::measure(plan, &self.session);
        self.results.boot = self.take(measured);
    }

    fn churn(&mut self, plan: &churn::Plan) {
        let measured = churn::measure(plan, &self.session);
        self.results.churn = self.take(measured);
    }

    fn memory(&mut self, plan: &memory::Plan) {
        let measured = memory::measure(plan, &self.session);
        self.results.memory = self.take(measured);
        self.results.promises.extend(self.results.memory.iter().flat_map(memory::Memory::promises));
    }

    fn compute(&mut self, plan: &compute::Plan) {
        let measured = compute::measure(plan, &self.session);
        self.results.compute = self.take(measured);
        self.results.promises.extend(self.results.compute.iter().flat_map(compute::Compute::promises));
    }

    fn io(&mut self, plan: &io::Plan) {
        let io::Measured { io, unmeasured, stopped, .. } = io::measure(plan, &self.session);
        self.stopped = self.stopped.take().or(stopped);
        self.results.promises.extend(io.promises());
        self.results.io = (!io.rows.is_empty()).then_some(io);
        self.results.unmeasured.extend(unmeasured);
    }

    fn plan_io(&self, groups: &[io::Group], directory: &Path, runs: usize) -> Result<io::Plan, Error> {
        Ok(io::Plan {
            monitor: self.monitor.clone(),
            elf: self.guest(IO)?,
            floor: self.places.find(IO_FLOOR, "--programs", None)?,
            directory: directory.to_owned(),
            groups: if groups.is_empty() { io::Group::ALL.to_vec() } else { groups.to_vec() },
            runs,
        })
    }

    fn plan_compute(&self, runs: usize) -> Result<compute::Plan, Error> {
        let elf = self.guest(COMPUTE)?;
        Ok(compute::Plan {
            app: Program::unikernel(&self.monitor, &[], &elf, &[]),
            floor: self.floor(COMPUTE_FLOOR, None)?,
            runs,
        })
    }

    /// Prints all there is, writes the files, and tells why there is no more.
    fn finish(
        mut self,
        json: Option<Output>,
        others: impl FnOnce(&Results) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // What the machine does not have is told last: it stopped nothing.
        self.stopped = self.stopped.take().or_else(|| self.results.lacking());
        self.results.mark(self.stopped.as_ref());
        let results = &self.results;
        let texts = [
            results.boot.as_ref().map(table::boot),
            results.churn.as_ref().map(table::churn),
            results.memory.as_ref().map(table::memory),
            results.compute.as_ref().map(table::compute),
            results.io.as_ref().map(table::io),
            (!results.promises.is_empty()).then(|| table::promises(&results.promises)),
            (!results.unmeasured.is_empty()).then(|| table::unmeasured(&results.unmeasured)),
        ];
        let texts: Vec<String> = texts.into_iter().flatten().collect();
        print!("{}", texts.join("\n"));
        let written = json.map_or(Ok(()), |output| output.write(&results.json()?));
        let others = others(results);
        // The first that failed is the reason for the others.
        self.stopped.map_or(Ok(()), Err).and(written).and(others)
    }
}

/// Says at once if nothing can be measured at all.
fn check_kvm() -> Result<(), Error> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    opened.map(drop).map_err(|error| {
        Error::no_kvm(format!(
            "/dev/kvm cannot be opened ({error}); measure on a host with KVM, as a user who may use it"
        ))
    })
}

fn output(path: Option<&Path>) -> Result<Option<Output>, Error> {
    path.map(Output::create).transpose()
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
    let BootOptions { runs, compare, svg, subject, json: Json { json }, common } = options;
    let mut setting = Setting::new(common)?;
    let (json, svg) = (output(json.as_deref())?, output(svg.as_deref())?);
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
        runs: *runs,
    };
    setting.boot(&plan);
    setting.finish(json, |results| match (svg, &results.boot) {
        (Some(svg), Some(boot)) => svg.write(&chart::boot(boot, &results.machine)?),
        _ => Ok(()),
    })
}

fn run_churn(options: &ChurnOptions) -> Result<(), Error> {
    let ChurnOptions { runs, lives, subject, json: Json { json }, common } = options;
    let mut setting = Setting::new(common)?;
    let json = output(json.as_deref())?;
    let (app, _) = app(&setting, subject)?;
    let floor = setting.floor(START_FLOOR, subject.floor.as_deref())?;
    let cpus = setting.results.machine.cpus;
    setting.churn(&churn::Plan { app, floor, runs: *runs, lives: *lives, cpus });
    setting.finish(json, |_| Ok(()))
}

fn run_memory(options: &MemoryOptions) -> Result<(), Error> {
    let MemoryOptions { runs, guests, subject, json: Json { json }, common } = options;
    let mut setting = Setting::new(common)?;
    let json = output(json.as_deref())?;
    let (app, _) = app(&setting, subject)?;
    let floor = setting.floor(START_FLOOR, subject.floor.as_deref())?;
    setting.memory(&memory::Plan { app, floor, runs: *runs, guests: *guests });
    setting.finish(json, |_| Ok(()))
}

fn run_compute(options: &ComputeOptions) -> Result<(), Error> {
    let ComputeOptions { runs, json: Json { json }, common } = options;
    let mut setting = Setting::new(common)?;
    let json = output(json.as_deref())?;
    let plan = setting.plan_compute(*runs)?;
    setting.compute(&plan);
    setting.finish(json, |_| Ok(()))
}

fn run_io(options: &IoOptions) -> Result<(), Error> {
    let IoOptions { runs, only, disk, json: Json { json }, common } = options;
    let mut setting = Setting::new(common)?;
    let json = output(json.as_deref())?;
    let plan = setting.plan_io(only, &disk.directory, *runs)?;
    setting.io(&plan);
    setting.finish(json, |_| Ok(()))
}

fn run_all(options: &AllOptions) -> Result<(), Error> {
    let AllOptions { runs, guests, disk, json, html, common } = options;
    let mut setting = Setting::new(common)?;
    let (json, html) = (output(Some(json))?, Output::create(html)?);
    let elf = setting.guest(HELLO)?;
    let app = Program::unikernel(&setting.monitor, &[], &elf, &[]);
    let floor = setting.floor(START_FLOOR, None)?;
    let compute = setting.plan_compute(*runs)?;
    let io = setting.plan_io(&[], &disk.directory, *runs)?;
    let cpus = setting.results.machine.cpus;

    setting.boot(&boot::Plan {
        app: app.clone(),
        app_with_report: boot::timeline::Reported {
            monitor: setting.monitor.clone(),
            options: Vec::new(),
            elf,
            arguments: Vec::new(),
        },
        floor: floor.clone(),
        compare: Vec::new(),
        runs: *runs,
    });
    setting.results.promises.extend(setting.results.boot.iter().flat_map(boot::Boot::promises));
    if setting.is_going() {
        setting.churn(&churn::Plan {
            app: app.clone(),
            floor: floor.clone(),
            runs: *runs,
            lives: LIVES,
            cpus,
        });
    }
    if setting.is_going() {
        setting.memory(&memory::Plan { app, floor, runs: *runs, guests: *guests });
    }
    if setting.is_going() {
        setting.compute(&compute);
    }
    // Last: it moves this process into another network.
    if setting.is_going() {
        setting.io(&io);
    }
    setting.finish(json, |results| html.write(&html::report(results)?))
}
