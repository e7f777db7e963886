//! What is written and said once a run has ended.

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::outcome::{Cause, Outcome};
use crate::report::{self, Report, ReportFile};
use crate::stderr::{PATIENCE, say};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What is kept of a [`Config`] until the run has ended.
#[derive(Debug)]
pub struct Conclusion {
    file: Option<ReportFile>,
    program: PathBuf,
    verbose: bool,
    /// What is left of the whole time is also all that a reader of what follows has.
    until: Option<Instant>,
}

impl Conclusion {
    /// Prepares for the end of a run, the file `report` included.
    ///
    /// # Errors
    ///
    /// A sentence where the file cannot be made.
    pub fn new(config: &Config, report: Option<&Path>) -> Result<Self, Error> {
        Ok(Self {
            file: report.map(|path| ReportFile::create(path, config)).transpose()?,
            program: config.program.clone(),
            verbose: config.verbose,
            until: config.timeout.and_then(|timeout| config.started.checked_add(timeout)),
        })
    }

    /// Writes the report, says why the guest ended, and gives the exit status.
    ///
    /// # Errors
    ///
    /// That of `result`.
    pub fn draw(mut self, result: Result<Outcome, Error>) -> Result<u8, Error> {
        let until = self.until.map(|until| until.max(Instant::now() + PATIENCE));
        // First what waits for nobody.
        let written = self.file.as_mut().map_or(Ok(()), |file| {
            file.write(match &result {
                Ok(outcome) => Report::of_run(&self.program, outcome),
                Err(error) => Report::of_error(&self.program, error),
            })
        });
        if let Ok(outcome) = &result {
            tell(&outcome.cause, until);
            if self.verbose {
                let steps = report::timeline(&outcome.observations);
                say(&format_args!("the time of each step:\n{}", steps.trim_end()), until);
            }
        }
        // Whatever becomes of the report, the status is that of the guest.
        if let Err(error) = written {
            say(&error, until);
        }
        result.map(|outcome| outcome.cause.status())
    }
}

/// Says why the guest ended where its own output can't.
fn tell(cause: &Cause, until: Option<Instant>) {
    match cause {
        Cause::Panic(message) => say(&format_args!("guest panic: {message}"), until),
        Cause::Fault(report) => say(report, until),
        Cause::Timeout => say(&"the guest has run for as long as --timeout permits and was ended", until),
        Cause::Failed(error) => say(error, until),
        // The first says itself what it has to say, the second was wanted, and of the third nobody wants to hear.
        Cause::Exit(_) | Cause::Signal(_) | Cause::OutputClosed => {}
    }
}

/// Prints what was asked for on standard output.
///
/// # Errors
///
/// A sentence where it takes no more.
pub fn print(text: &str) -> Result<u8, Error> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        // A reader such as `head` has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::new(
            ErrorKind::HostIo,
            format!("standard output cannot be written ({error}); direct it to where there is room"),
        )),
        _ => Ok(0),
    }
}
