//! What a run of `ukvm-bench` collects: results, why it stopped, and the files that all of it goes to.

use crate::cli::Common;
use crate::error::Error;
use crate::output::Output;
use crate::program::{Places, Program};
use crate::promise::Unmeasured;
use crate::results::Results;
use crate::session::Session;
use crate::{boot, chart, churn, compute, html, io, job, kv, markdown, memory, results, site, table};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What every measurement starts with, and what comes of it.
pub(crate) struct Setting {
    pub(crate) places: Places,
    pub(crate) monitor: PathBuf,
    session: Session,
    pub(crate) results: Results,
    stopped: Option<Error>,
}

/// The files that results go to, open before anything is measured.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) json: Option<Output>,
    pub(crate) svg: Option<Output>,
    pub(crate) html: Option<Output>,
    pub(crate) markdown: Option<Output>,
}

impl Setting {
    pub(crate) fn new(common: &Common) -> Result<Self, Error> {
        let places = Places::new(common.programs.clone());
        let monitor = places.find("ukvm-run", "--ukvm-run", common.ukvm_run.as_deref())?;
        check_kvm()?;
        let results = Results::here();
        for note in &results.notes {
            eprintln!("ukvm-bench: {note}");
        }
        Ok(Self { places, monitor, session: Session::new(common.patience)?, results, stopped: None })
    }

    pub(crate) fn floor(&self, name: &str, named: Option<&Path>) -> Result<Program, Error> {
        Ok(Program::at(&self.places.find(name, "--floor", named)?))
    }

    /// A guest that the user has not named.
    pub(crate) fn guest(&self, name: &str) -> Result<PathBuf, Error> {
        self.places.find(name, "--programs", None)
    }

    /// Measures, unless something stopped it before: then nothing more is.
    fn measure<T>(&mut self, measure: impl FnOnce(&Session) -> (Option<T>, Option<Error>)) -> Option<T> {
        if self.stopped.is_some() {
            return None;
        }
        let (result, stopped) = measure(&self.session);
        self.stopped = stopped;
        result
    }

    /// Notes what was left out, if something stopped it: of `all` what has not been measured.
    fn leave_out<I: IntoIterator<Item = Unmeasured>>(&mut self, all: impl FnOnce(&str) -> I) {
        let Some(error) = &self.stopped else { return };
        let all = all(&format!("not reached: {}", error.cause()));
        let left_out: Vec<_> = all.into_iter().filter(|figure| !self.results.tell_of(&figure.name)).collect();
        self.results.unmeasured.extend(left_out);
    }

    /// `are_promised`: what is measured is what the promises are about.
    pub(crate) fn boot(&mut self, plan: &boot::Plan, are_promised: bool) {
        self.results.boot = self.measure(|session| boot::measure(plan, session));
        if are_promised {
            self.results.promises.extend(self.results.boot.iter().flat_map(boot::Boot::promises));
            self.leave_out(|reason| boot::promised(&plan.floor.name).map(|figure| figure.unmeasured(reason)));
        }
    }

    pub(crate) fn churn(&mut self, plan: &churn::Plan) {
        self.results.churn = self.measure(|session| churn::measure(plan, session));
        if self.results.churn.is_none() {
            self.leave_out(|reason| [churn::unmeasured(&plan.floor.name, reason)]);
        }
    }

    pub(crate) fn memory(&mut self, plan: &memory::Plan) {
        self.results.memory = self.measure(|session| memory::measure(plan, session));
        self.results.promises.extend(self.results.memory.as_ref().map(memory::Memory::promise));
        self.leave_out(|reason| [memory::promised(&plan.floor.name).unmeasured(reason)]);
    }

    pub(crate) fn compute(&mut self, plan: &compute::Plan) {
        self.results.compute = self.measure(|session| compute::measure(plan, session));
        self.results.promises.extend(self.results.compute.iter().flat_map(compute::Compute::promises));
        self.leave_out(|reason| compute::promised(&plan.floor.name).map(|figure| figure.unmeasured(reason)));
    }

    pub(crate) fn io(&mut self, plan: &io::Plan) {
        let measured = self.measure(|session| {
            let measured = io::measure(plan, session);
            (Some((measured.io, measured.unmeasured)), measured.stopped)
        });
        if let Some((io, unmeasured)) = measured {
            self.results.promises.extend(io.promises());
            self.results.io = (!io.rows.is_empty()).then_some(io);
            self.results.unmeasured.extend(unmeasured);
        }
        self.leave_out(|reason| {
            let groups = plan.groups.iter();
            groups.flat_map(|group| io::unmeasured(*group, reason)).collect::<Vec<_>>()
        });
    }

    pub(crate) fn site(&mut self, plan: &site::Plan, tls: bool) {
        let measured = self.measure(|session| site::measure(plan, session));
        *(if tls { &mut self.results.tls } else { &mut self.results.site }) = measured;
    }

    pub(crate) fn job(&mut self, plan: &job::Plan) {
        self.results.job = self.measure(|session| job::measure(plan, session));
    }

    pub(crate) fn kv(&mut self, plan: &kv::Plan) {
        self.results.kv = self.measure(|session| kv::measure(plan, session));
    }

    /// Prints all there is, writes the files, and tells why there is no more.
    pub(crate) fn finish(mut self, files: Files) -> Result<(), Error> {
        let lacking = self.results.unmeasured.len();
        self.stopped = match self.stopped.take() {
            Some(error) if lacking > 0 => {
                Some(error.after(&format!("{} not measured", results::figures(lacking))))
            }
            Some(error) => Some(error),
            // What the machine does not have stopped nothing.
            None => self.results.lacking(),
        };
        self.results.mark(self.stopped.as_ref());
        let results = &self.results;
        let printed = print(&table::all(results));
        let Files { json, svg, html, markdown } = files;
        let written = [
            write(json, || results.json()),
            write(svg.filter(|_| results.boot.is_some()), || {
                results
                    .boot
                    .as_ref()
                    .map_or_else(|| Ok(String::new()), |boot| chart::boot(boot, &results.machine))
            }),
            write(html, || html::report(results)),
            write(markdown, || {
                let site = results.site.as_ref().or(results.tls.as_ref());
                let site = site.map(|site| markdown::site(site, &results.machine));
                let job = results.job.as_ref().map(|job| markdown::job(job, &results.machine));
                let kv = results.kv.as_ref().map(|kv| markdown::kv(kv, &results.machine));
                Ok(site.or(job).or(kv).unwrap_or_else(|| markdown::promises(results)))
            }),
        ];
        // The first that failed is the reason for the others.
        self.stopped.map_or(Ok(()), Err)?;
        written.into_iter().collect::<Result<(), Error>>()?;
        printed
    }
}

fn write(output: Option<Output>, text: impl FnOnce() -> Result<String, Error>) -> Result<(), Error> {
    output.map_or(Ok(()), |output| output.write(&text()?))
}

fn print(text: &str) -> Result<(), Error> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Who reads has read enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::output(Path::new("standard output"), &error))
        }
        _ => Ok(()),
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
