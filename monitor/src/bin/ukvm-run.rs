//! `ukvm-run`: runs a unikernel in a KVM virtual machine of its own.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use ukvm::attach::attach;
use ukvm::cli::{self, Command, solo5, solo5_words};
use ukvm::config::Config;
use ukvm::error::{Error, ErrorKind};
use ukvm::inspect::inspect;
use ukvm::outcome::Cause;
use ukvm::report::{self, Report, ReportFile};
use ukvm::stderr::{PATIENCE, call_program, print_briefly, say, say_briefly};
use ukvm::vm::Vm;

// The start of the process, and what the standard library asks of a C library.
#[cfg(all(own_start, not(test)))]
use ukvm_crt as _;

fn main() -> ExitCode {
    let started = Instant::now();
    if solo5::is_called(std::env::args_os().next().as_deref()) {
        return ExitCode::from(run_as_solo5(started));
    }
    let result = match cli::parse(std::env::args_os(), started) {
        Ok(Command::Run { config, report }) => run(*config, report.as_deref()),
        Ok(Command::Inspect { program }) => inspect(&program).and_then(|text| print(&text)),
        Ok(Command::Attach { console }) => attach(&console),
        Ok(Command::Print(text)) => print(&text),
        Err(error) => Err(error),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        say(&error, None);
        error.status()
    }))
}

/// Runs a guest, writes the report where one is wanted, and gives the exit status.
fn run(config: Config, report: Option<&Path>) -> Result<u8, Error> {
    let mut file = report.map(|path| ReportFile::create(path, &config)).transpose()?;
    let (program, verbose) = (config.program.clone(), config.verbose);
    // What is left of the whole time is also all that a reader of what follows has.
    let until = config.timeout.and_then(|timeout| config.started.checked_add(timeout));
    let result = Vm::new(config).map(Vm::run);
    let until = until.map(|until| until.max(Instant::now() + PATIENCE));
    // First what waits for nobody.
    let written = file.as_mut().map_or(Ok(()), |file| {
        file.write(match &result {
            Ok(outcome) => Report::of_run(&program, outcome),
            Err(error) => Report::of_error(&program, error),
        })
    });
    if let Ok(outcome) = &result {
        tell(&outcome.cause, until);
        if verbose {
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

/// Does as `solo5-hvt` does. Its messages are read by programs, and none of them is waited for long.
fn run_as_solo5(started: Instant) -> u8 {
    call_program(solo5::NAME);
    let (config, warnings) = match solo5::parse(std::env::args_os(), started) {
        solo5::Command::Run { config, warnings } => (config, warnings),
        solo5::Command::Print { text, status } => {
            print_briefly(&text);
            return status;
        }
    };
    for warning in warnings {
        say_briefly(&warning);
    }
    if let Some(name) = solo5::missing_interface(&config) {
        say_briefly(&format_args!("Could not attach interface: {name}: there is none of this name"));
        return solo5::FAILED;
    }
    match Vm::new(*config).map(Vm::run) {
        Ok(outcome) => {
            if let Some(words) = solo5_words::end(&outcome.cause) {
                say_briefly(&words);
            }
            solo5_words::status(&outcome.cause)
        }
        Err(error) => {
            say_briefly(&solo5_words::failure(&error));
            solo5::FAILED
        }
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
fn print(text: &str) -> Result<u8, Error> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        // A reader such as `head` has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::new(
            ErrorKind::HostIo,
            format!("standard output cannot be written ({error}); direct it to where there is room"),
        )),
        _ => Ok(0),
    }
}
