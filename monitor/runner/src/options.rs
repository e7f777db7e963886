//! The command line, of which cargo's configuration has the front and cargo itself the rest.

use crate::forward::Ports;
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLE: &str = "\
In a package's .cargo/config.toml:
  [target.x86_64-unknown-linux-gnu]
  runner = [\"/PATH/TO/ukvm-runner\", \"--forward\", \"8080:80\"]

A program is run by ukvm-run with the options in vm.toml, beside the package's Cargo.toml, and a
program of tests, tests/NAME.rs, with those in tests/NAME.toml, if there is such a file. Network
devices that none of them gives a TAP get one each, in a network of the guest's own: the host is
10.0.0.1 and fd00::1 there, the guest is told --ip 10.0.0.2/24 and --ip fd00::2/64 unless its
arguments name an --ip.";

/// Run a unikernel, or the tests in it, for cargo.
#[derive(Debug, Parser)]
#[command(
    name = "ukvm-runner",
    version,
    override_usage = "ukvm-runner [OPTIONS] APP.ELF [ARGS]...",
    after_help = EXAMPLE,
    max_term_width = 100
)]
pub(crate) struct Options {
    /// Pass connections to this port of 127.0.0.1, or the next that is free, on to a port of the guest, while it has a network of its own;
    /// 'none' for no port; may be repeated
    #[arg(long, value_name = "PORT:GUEST-PORT", default_value = "8080:80")]
    pub(crate) forward: Vec<Ports>,

    /// Tell the guest no addresses of the network that is made for it
    #[arg(long)]
    pub(crate) no_addresses: bool,

    /// The program ukvm-run [default: the one beside this program, or else in PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) monitor: Option<PathBuf>,

    /// How long a test may take, unless its file says so: 500ms, 5s, 2m, 1h
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub(crate) test_timeout: String,

    /// The unikernel, then its own arguments, or for a program of tests those of the harness: see APP.ELF --help
    #[arg(value_name = "APP.ELF", required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

impl Options {
    /// The program, and its arguments, of which a first `--` is none.
    pub(crate) fn program(&self) -> (PathBuf, &[OsString]) {
        // Clap sees to it that there is a word.
        let (program, mut arguments) =
            self.program.split_first().map_or_else(Default::default, |(first, rest)| (first.into(), rest));
        if let [first, rest @ ..] = arguments
            && first == "--"
        {
            arguments = rest;
        }
        (program, arguments)
    }
}
