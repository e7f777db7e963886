//! `ukvm-bench`: measures the monitor against the least that the host asks for.

use std::process::ExitCode;
use ukvm_bench::{cli, run};

fn main() -> ExitCode {
    let result = cli::parse(std::env::args_os()).and_then(run::run);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ukvm-bench: {error}");
            ExitCode::from(error.status())
        }
    }
}
