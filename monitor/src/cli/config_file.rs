//! The file of `--config`: the options of the command line, in TOML.
//!
//! What can be in it is not written down a second time: a key is the long name of an option, and its value is what the option takes. The
//! file becomes words of a command line, in front of those that the user wrote.

use super::value;
use crate::config::ConsoleConfig;
use crate::error::{Error, ErrorKind, plain};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use toml_writer::ToTomlValue;

/// The most bytes of a file, so that one that never ends is an error, too.
const MAX_SIZE: u64 = 1 << 20;
/// The key of the ELF file, and of what the command line has behind it.
const PROGRAM: &str = "program";
const ARGUMENTS: &str = "args";
/// What the command line adds to, and does not replace, since the last of a name counts.
const ADDED_TO: &str = "env";
/// Options of which one may exclude the other.
const CONSOLE: &str = "console";
const RAW: &str = "raw";
/// Options about the file itself.
const ABOUT_FILE: [&str; 2] = ["config", "print-config"];
/// From which likeness on a name is suggested for one that is unknown; as clap has it for options.
const LIKE: f64 = 0.7;

/// A configuration file.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    path: PathBuf,
    /// By option, what stands for it on a command line.
    options: Vec<(String, Vec<OsString>)>,
    program: Option<OsString>,
    arguments: Vec<OsString>,
}

impl ConfigFile {
    /// Reads the file for a program with the options of `command`. Paths in it are relative to its folder.
    ///
    /// # Errors
    ///
    /// One sentence about the first thing that is wrong.
    pub(super) fn read(path: &Path, command: &Command) -> Result<Self, Error> {
        let failed = |error: &std::io::Error| {
            let sentence = format!(
                "--config: {} cannot be read ({}); name a file in TOML",
                path.display(),
                plain(error)
            );
            let kind = match error.kind() {
                // It is no text.
                std::io::ErrorKind::InvalidData => ErrorKind::Usage,
                _ => ErrorKind::of_file(error),
            };
            Error::new(kind, sentence)
        };
        let mut text = String::new();
        let file = File::open(path).map_err(|error| failed(&error))?;
        let size = file.take(MAX_SIZE + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
        if size as u64 > MAX_SIZE {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("--config: {} has more than 1 MiB; name a file with options", path.display()),
            ));
        }
        let whole = std::path::absolute(path).map_err(|error| failed(&error))?;
        Self::parse(path, whole.parent().unwrap_or(Path::new("/")), &text, command)
    }

    fn parse(path: &Path, folder: &Path, text: &str, command: &Command) -> Result<Self, Error> {
        let wrong = |place: Range<usize>, sentence: String| {
            let before = text.get(..place.start).unwrap_or_default();
            let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
            Error::new(ErrorKind::Usage, format!("{}, line {line}: {sentence}", path.display()))
        };
        let table = DeTable::parse(text).map_err(|error| {
            let what = error.message().lines().next().unwrap_or_default();
            wrong(error.span().unwrap_or_default(), format!("{what}; see https://toml.io for what TOML is"))
        })?;
        let mut this = Self { path: path.into(), ..Self::default() };
        for (key, value) in table.get_ref().iter() {
            let (name, place) = (key.get_ref().as_ref(), value.span());
            match name {
                PROGRAM => {
                    let text =
                        scalar(value.get_ref()).filter(|text| value.get_ref().is_str() && !text.is_empty());
                    let sentence = || {
                        wrong(place, format!("{PROGRAM} is the path of an ELF file: write it as a string"))
                    };
                    this.program = Some(place_in(folder, PROGRAM, text.ok_or_else(sentence)?.as_ref()));
                }
                ARGUMENTS => {
                    let words = values(value.get_ref()).filter(|_| value.get_ref().is_array());
                    let sentence =
                        || wrong(place, format!("{ARGUMENTS} are strings: write them as [\"A\", \"B\"]"));
                    this.arguments = words.ok_or_else(sentence)?;
                }
                _ => {
                    let option = settable(command).find(|option| option.get_long() == Some(name));
                    let option = option.ok_or_else(|| wrong(key.span(), unknown(name, command)))?;
                    let words = words(option, name, value.get_ref(), folder);
                    this.options.push((name.to_owned(), words.map_err(|sentence| wrong(place, sentence))?));
                }
            }
        }
        Ok(this)
    }

    /// The options as words of a command line.
    pub(super) fn words(&self) -> impl Iterator<Item = &OsString> {
        self.options.iter().flat_map(|(_, words)| words)
    }

    /// The options that hold beside those which the user wrote on the command line, as words of one.
    pub(super) fn words_beside<'a>(
        &'a self,
        command: &'a Command,
        written: &'a ArgMatches,
    ) -> impl Iterator<Item = &'a OsString> {
        let is_written =
            |option: &Arg| written.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine);
        let excludes = |one: &Arg, other: &Arg| {
            command.get_arg_conflicts_with(one).iter().any(|found| found.get_id() == other.get_id())
        };
        let is_replaced = move |name: &str| {
            settable(command).filter(|option| is_written(option)).any(|option| {
                let own = settable(command).find(|option| option.get_long() == Some(name));
                own.is_some_and(|own| {
                    let is_same = own.get_id() == option.get_id() && name != ADDED_TO;
                    is_same || excludes(own, option) || excludes(option, own)
                })
            }) || is_excluded_by_value(name, written)
        };
        self.options.iter().filter(move |(name, _)| !is_replaced(name)).flat_map(|(_, words)| words)
    }

    /// The program's arguments.
    pub(super) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// Program and arguments as they are on a command line; nothing where the file has no program.
    pub(super) fn program(&self) -> Vec<OsString> {
        let Some(program) = &self.program else { return Vec::new() };
        [program, &OsString::from("--")].into_iter().chain(&self.arguments).cloned().collect()
    }

    /// What is wrong with its options, as a sentence of the command line says it.
    pub(super) fn wrong(&self, sentence: &str) -> Error {
        Error::new(ErrorKind::Usage, format!("{}: {sentence}", self.path.display()))
    }
}

/// Whether an option that is written excludes the one of this name by a value, of which clap knows nothing: raw mode is for the console
/// on standard input.
fn is_excluded_by_value(name: &str, written: &ArgMatches) -> bool {
    let is_written = |id| written.value_source(id) == Some(ValueSource::CommandLine);
    match name {
        RAW => {
            let console = written.get_one(CONSOLE);
            is_written(CONSOLE) && !matches!(console, Some(ConsoleConfig::Descriptors { .. }))
        }
        CONSOLE => is_written(RAW),
        _ => false,
    }
}

/// The options that can be in a file.
fn settable(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|option| {
        let is_action =
            matches!(option.get_action(), ArgAction::SetTrue | ArgAction::Set | ArgAction::Append);
        is_action && option.get_long().is_some_and(|name| !ABOUT_FILE.contains(&name))
    })
}

/// The words for an option with a value of the file, or what is wrong with that.
fn words(option: &Arg, name: &str, value: &DeValue<'_>, folder: &Path) -> Result<Vec<OsString>, String> {
    let word = |text: OsString| {
        let mut word = OsString::from(format!("--{name}="));
        word.push(place_in(folder, name, &text));
        word
    };
    match (option.get_action(), value) {
        (ArgAction::SetTrue, DeValue::Boolean(true)) => Ok(vec![format!("--{name}").into()]),
        (ArgAction::SetTrue, DeValue::Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => Err(format!("{name} is a switch: write true or false")),
        (ArgAction::Append, value) => match values(value) {
            Some(values) => Ok(values.into_iter().map(word).collect()),
            None => Err(format!("{name} takes strings: write them as [\"A\", \"B\"]")),
        },
        (_, value) => match scalar(value) {
            Some(text) => Ok(vec![word(text.into())]),
            None => Err(format!("{name} takes one value: write it as a string")),
        },
    }
}

/// A value that can stand on a command line.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) if !text.contains('\0') => Some(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    }
}

/// One such value, or an array of them.
fn values(value: &DeValue<'_>) -> Option<Vec<OsString>> {
    match value {
        DeValue::Array(items) => {
            items.iter().map(|item| scalar(item.get_ref()).map(OsString::from)).collect()
        }
        value => scalar(value).map(|text| vec![text.into()]),
    }
}

/// The value of an option with the path in it, if there is one, taken from `folder` on.
fn place_in(folder: &Path, option: &str, value: &OsStr) -> OsString {
    let Some((before, path)) = value::path_in(option, value) else { return value.into() };
    let mut placed = before.to_owned();
    placed.push(folder.join(path));
    placed
}

fn unknown(name: &str, command: &Command) -> String {
    let names = settable(command).filter_map(Arg::get_long).chain([PROGRAM, ARGUMENTS]);
    let like = names.map(|known| (strsim::jaro(name, known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    match like.filter(|(likeness, _)| *likeness > LIKE) {
        Some((_, known)) => format!("there is no option {name}; did you mean {known}"),
        None => format!("there is no option {name}; see ukvm-run --help"),
    }
}

/// The options that are in force, and the program with its arguments, as a file that says the same from anywhere.
///
/// # Errors
///
/// One sentence about a value that TOML cannot hold.
pub(super) fn print(command: &Command, matches: &ArgMatches, program: &[OsString]) -> Result<String, Error> {
    let folder = std::env::current_dir().unwrap_or_default();
    let mut text = String::new();
    let mut line = |name: &str, value: String| text += &format!("{name} = {value}\n");
    let unicode = |name: &str, value: &OsStr| {
        place_in(&folder, name, value).into_string().map_err(|value| {
            let sentence = format!(
                "{name} has the value '{}', which is not Unicode, as all of TOML is; rename it",
                value.display()
            );
            Error::new(ErrorKind::BadConfig, sentence)
        })
    };
    let mut words = program.iter();
    if let Some(program) = words.next() {
        line(PROGRAM, unicode(PROGRAM, program)?.to_toml_value());
    }
    let arguments: Vec<_> = super::arguments(words.cloned())
        .iter()
        .map(|word| unicode(ARGUMENTS, word))
        .collect::<Result<_, _>>()?;
    if !arguments.is_empty() {
        line(ARGUMENTS, arguments.to_toml_value());
    }
    for option in settable(command) {
        let (id, Some(name)) = (option.get_id().as_str(), option.get_long()) else { continue };
        if matches!(option.get_action(), ArgAction::SetTrue) {
            if matches.get_flag(id) {
                line(name, true.to_toml_value());
            }
            continue;
        }
        let values = matches.get_raw(id).into_iter().flatten().map(|value| unicode(name, value));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        match (option.get_action(), values.as_slice()) {
            (_, []) => {}
            (ArgAction::Append, values) => line(name, values.to_toml_value()),
            (_, [value, ..]) => line(name, value.to_toml_value()),
        }
    }
    Ok(text)
}

#[cfg(test)]
#[path = "config_file_tests.rs"]
mod tests;
