//! `cargo guests`, `cargo demo`, and what `cargo xtask` has besides.

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands, each also without 'xtask':
  demo    boot a unikernel with a disk and a network, and make HTTP requests to it
  guests  build the example unikernels and the guests of the test suite into target/guests

Commands under 'cargo xtask' only:
  bench ARGUMENTS
          build ukvm-bench with all that it measures, and run it: `bench --help`, or
          `bench all --markdown FILE` for every promise as JSON, HTML and a table
  c       make the runtime's library for programs in C, with its header, in target/c
  completions [DIR]
          write the completions of ukvm-run for bash, zsh and fish to DIR, or target/completions
  image DIR -o FILE --format tar|fat [--size SIZE]
          make a disk image of the files in DIR: `image --help`
  man [DIR]
          write the manual pages of ukvm-run to DIR, or target/man
  new PATH [--name NAME]
          make a project of your own, whose `cargo run` and `cargo test` run and test a unikernel
  run [--hosted] NAME [OPTIONS] [-- ARGUMENTS]
          build the example unikernel NAME and run it with the OPTIONS of ukvm-run;
          with --hosted as a process of this system, without KVM, for debuggers and sanitizers";

/// The status where arguments make no sense: `EX_USAGE` of `sysexits.h`.
const MISUSED: u8 = 64;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let result = match words.iter().map(|word| word.to_str()).collect::<Vec<_>>()[..] {
        [Some("demo")] => xtask::demo::run(),
        [Some("guests")] => guests(),
        [Some("bench"), ..] => xtask::bench::run(words.get(1..).unwrap_or_default()),
        [Some("c")] => c(),
        [Some(what @ ("man" | "completions"))] => xtask::manual::run(what, None),
        [Some(what @ ("man" | "completions")), _] => xtask::manual::run(what, words.get(1)),
        [Some("image"), ..] => xtask::image::run(words.get(1..).unwrap_or_default()),
        [Some("new"), ..] => xtask::project::run(words.get(1..).unwrap_or_default()),
        [Some("run"), ..] => xtask::run::run(words.get(1..).unwrap_or_default()),
        [Some("help" | "--help" | "-h")] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(MISUSED);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            if error.is::<xtask::UsageError>() { ExitCode::from(MISUSED) } else { ExitCode::FAILURE }
        }
    }
}

fn c() -> anyhow::Result<()> {
    let directory = xtask::c::build()?;
    println!("cc program.c @{}/flags -o program.elf", directory.display());
    Ok(())
}

fn guests() -> anyhow::Result<()> {
    for guest in xtask::guests::build()?.into_iter().chain(xtask::hvt_guests::build()?) {
        let bytes = std::fs::metadata(&guest)?.len();
        println!("{:>9} bytes  {}", bytes, guest.display());
    }
    Ok(())
}
