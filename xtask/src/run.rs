//! `cargo xtask run`: builds an example and runs it, in a virtual machine or without.

use crate::{UsageError, guests, hosted, monitor};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How the command is used.
pub const USAGE: &str = "\
Usage: cargo xtask run [--hosted] NAME [OPTIONS] [-- ARGUMENTS]

Builds the example unikernel NAME and runs it: `cargo xtask run static-site --net tap0 --disk site.img -- --ip dhcp`.

  --hosted  as a process of this system, without KVM: for debuggers, sanitizers and valgrind
  OPTIONS   those of ukvm-run, hosted or not";

/// What is to be run.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    hosted: bool,
    name: String,
    options: Vec<OsString>,
    /// With the `--` before them.
    arguments: Vec<OsString>,
}

/// Runs what the arguments describe, in this process's place.
///
/// # Errors
///
/// A [`UsageError`], or where it cannot be built or started.
pub fn run(arguments: &[OsString]) -> Result<()> {
    if arguments.first().is_none_or(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    let Wish { hosted, name, options, arguments } = parse(arguments)?;
    let mut command = if hosted {
        let programs = hosted::build(Some(&name))?;
        Command::new(&programs.first().with_context(|| format!("cargo built no {name}"))?.path)
    } else {
        Command::new(monitor::build()?)
    };
    command.args(options);
    if !hosted {
        let file = guests::directory().join(&name).with_added_extension("elf");
        let built = guests::build()?;
        command.arg(
            built.iter().find(|guest| **guest == file).with_context(|| format!("cargo built no {name}"))?,
        );
    }
    Err(command.args(arguments).exec()).with_context(|| format!("{name} cannot be started"))
}

fn parse(arguments: &[OsString]) -> Result<Wish, UsageError> {
    let hosted = arguments.first().is_some_and(|argument| argument == "--hosted");
    let mut words = arguments.iter().skip(usize::from(hosted));
    let name = words.next().and_then(|name| name.to_str()).filter(|name| !name.starts_with('-'));
    let Some(name) = name else {
        return Err(UsageError(
            "name an example: cargo xtask run [--hosted] NAME [OPTIONS] [-- ARGUMENTS]".into(),
        ));
    };
    let words: Vec<_> = words.cloned().collect();
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let (options, arguments) = words.split_at(end);
    Ok(Wish { hosted, name: name.to_owned(), options: options.to_vec(), arguments: arguments.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Wish, UsageError> {
        parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_end_where_arguments_begin() {
        let wish = parsed(&["--hosted", "echo", "--net", "tap0", "--", "--ip", "dhcp", "--"]).unwrap();
        let strings = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let expected = Wish {
            hosted: true,
            name: "echo".into(),
            options: strings(&["--net", "tap0"]),
            arguments: strings(&["--", "--ip", "dhcp", "--"]),
        };
        assert_eq!(wish, expected);
        let expected = Wish { hosted: false, name: "hello".into(), options: vec![], arguments: vec![] };
        assert_eq!(parsed(&["hello"]).unwrap(), expected);
    }

    #[test]
    fn a_name_is_needed() {
        for words in [&["--hosted"][..], &["--net", "tap0", "echo"], &["--hosted", "--", "echo"]] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }
}
