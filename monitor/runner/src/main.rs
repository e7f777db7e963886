//! `ukvm-runner`: the `runner` of cargo's configuration for unikernels.
//!
//! `cargo run` has it run a program, `cargo test` a program of tests. Either way `ukvm-run` does the running; what is added is what people
//! set up by hand otherwise:
//!
//! - [`guest`]: what the program declares, what the project's file gives it, and so what is missing.
//! - [`network`]: a network namespace with a TAP interface for each network device that is missing.
//! - [`forward`]: a way from the host into it.
//! - [`run`]: a program, as `cargo run` starts it.
//! - [`harness`]: tests, each in a guest of its own; [`output`] is what one prints, [`verdict`] whether it has passed, and [`junit`] all
//!   of that for machines.

mod forward;
mod guest;
mod harness;
mod junit;
mod network;
mod options;
mod output;
mod run;
mod verdict;

use clap::Parser;
use clap::error::ErrorKind as Misuse;
use guest::Guest;
use options::Options;
use std::path::PathBuf;
use std::process::ExitCode;
use ukvm::error::{Error, ErrorKind};
use ukvm_abi::exit_status;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            let is_answer = matches!(error.kind(), Misuse::DisplayHelp | Misuse::DisplayVersion);
            return ExitCode::from(if is_answer { 0 } else { exit_status::USAGE });
        }
    };
    match start(&options) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("ukvm-runner: {error}");
            ExitCode::from(error.status())
        }
    }
}

/// Does what the program is for, and gives the exit status.
fn start(options: &Options) -> Result<u8, Error> {
    let (program, arguments) = options.program();
    let monitor = options.monitor.clone().unwrap_or_else(monitor);
    let open = |program, file| Guest::open(monitor, program, file, !options.no_addresses);
    // Cargo tells it the programs that it starts.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    match ukvm::elf::tests(&program)? {
        None => {
            let file = package.map(|package| package.join("vm.toml"));
            let guest = open(program, file)?;
            run::run(&guest, &options.forward, arguments)
        }
        Some(tests) => {
            let name = harness::target_name(&program);
            let file = package.map(|package| harness::options_file(&package.join("tests"), &name));
            let guest = open(program, file)?;
            harness::run(guest, &name, tests, &options.test_timeout, arguments)
        }
    }
}

/// `ukvm-run`: the one beside this program, or else whichever is found in `PATH`.
fn monitor() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.with_file_name("ukvm-run");
    if beside.is_file() { beside } else { "ukvm-run".into() }
}

/// The host has failed, in the way that the sentence tells.
fn host_failed(sentence: impl ToString) -> Error {
    Error::new(ErrorKind::HostIo, sentence.to_string())
}
