//! `cargo guests`, `cargo demo`.

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands, each also without 'xtask':
  demo    boot a unikernel with a disk and a network, and make HTTP requests to it
  guests  build the example unikernels and the guests of the test suite into target/guests

Commands under 'cargo xtask' only:
  start-time [PAIRS]
          measure a start of `hello` against a bare KVM program, in turn";

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let result = match words.iter().map(|word| word.to_str()).collect::<Vec<_>>()[..] {
        [Some("demo")] => xtask::demo::run(),
        [Some("guests")] => guests(),
        [Some("start-time")] => xtask::start_time::run(xtask::start_time::DEFAULT_PAIRS),
        [Some("start-time"), Some(pairs)] => match pairs.parse() {
            Ok(pairs) => xtask::start_time::run(pairs),
            Err(_) => {
                eprintln!("xtask: start-time takes a number of pairs, not `{pairs}`");
                return ExitCode::from(64);
            }
        },
        [Some("help" | "--help" | "-h")] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn guests() -> anyhow::Result<()> {
    for guest in xtask::guests::build()? {
        let bytes = std::fs::metadata(&guest)?.len();
        println!("{:>9} bytes  {}", bytes, guest.display());
    }
    Ok(())
}
