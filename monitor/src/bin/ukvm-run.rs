//! `ukvm-run`: runs a unikernel in a KVM virtual machine of its own.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use ukvm::attach::attach;
use ukvm::cli::{self, Command, solo5, solo5_words};
use ukvm::conclusion::{Conclusion, print};
use ukvm::config::Config;
use ukvm::error::Error;
use ukvm::inspect::inspect;
use ukvm::stderr::{call_program, print_briefly, say, say_briefly};
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
    let conclusion = Conclusion::new(&config, report)?;
    conclusion.draw(Vm::new(config).map(Vm::run))
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
