//! The end-to-end tests: `ukvm-run` as its users see it, on the real KVM, with real guests.
//!
//! `UKVM_TEST_ARTIFACTS=DIR` takes the monitor and the guests from DIR, as in a machine without a compiler; without it they are built
//! first. `UKVM_TEST_IN_RIG=COMMAND` runs the tests in the machine that this command makes, see [`ukvm_tests::rig`].

mod suite;

use anyhow::{Context, Result};
use nix::sys::signal::{SigHandler, Signal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use ukvm_tests::artifacts::Artifacts;
use ukvm_tests::suite::Need;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    act_on_signals();
    if !arguments.list {
        match artifacts() {
            Ok(artifacts) => artifacts.use_for_all(),
            Err(error) => {
                eprintln!("the tests cannot start: {error:#}");
                return ExitCode::FAILURE;
            }
        }
    }
    if let Some(rig) = std::env::var_os("UKVM_TEST_IN_RIG") {
        return ukvm_tests::rig::run(Path::new(&rig), std::env::args().skip(1)).unwrap_or_else(|error| {
            eprintln!("the tests cannot start in {}: {error}", rig.display());
            ExitCode::FAILURE
        });
    }
    ukvm_tests::suite::enter_user_namespace();
    ukvm_tests::suite::run(&arguments, &[Need::Kvm], suite::all()).exit_code()
}

/// A shell's background job inherits SIGINT and SIGQUIT as ignored, and so would every guest that is to be ended by them.
fn act_on_signals() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGTERM] {
        // SAFETY: the default action is no handler that anything could be wrong with.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }.expect("a signal that can be caught");
    }
}

fn artifacts() -> Result<Artifacts> {
    if let Some(directory) = std::env::var_os("UKVM_TEST_ARTIFACTS") {
        return Ok(Artifacts::in_directory(Path::new(&directory)));
    }
    let guests = xtask::guests::build().context("building the guests")?;
    xtask::hvt_guests::build().context("building the hvt guests")?;
    let monitor = xtask::monitor::build().context("building the monitor")?;
    let directory = guests.first().and_then(|guest| guest.parent()).context("there is no guest")?;
    Ok(Artifacts {
        monitor,
        runner: xtask::monitor::build_tool("ukvm-runner").context("building the runner")?,
        odd_monitor: PathBuf::from(env!("CARGO_BIN_EXE_odd-run")),
        guests: directory.into(),
        hvt_guests: xtask::hvt_guests::directory(),
    })
}
