//! The programs that are measured, and where they are found.

use crate::error::Error;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What it is called in tables and figures.
    pub name: String,
    /// What is started.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// The program at `path` under its file name.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { name: file_name(path), path: path.to_owned(), arguments: Vec::new() }
    }

    /// The program that `words` name, split as a shell does.
    ///
    /// # Errors
    ///
    /// Where a shell could not split them, or there is none.
    pub fn of_words(option: &str, words: &str) -> Result<Self, Error> {
        let mut split = split(option, words)?.into_iter();
        let path = split.next().ok_or_else(|| {
            Error::usage(format!("{option} names no command; name a program that prints something"))
        })?;
        // The name's arguments tell two runs of one program apart.
        let program = Self { arguments: split.collect(), ..Self::at(Path::new(&path)) };
        Ok(Self { name: shortened(words.trim()), ..program })
    }

    /// The unikernel at `elf` under `ukvm-run`.
    #[must_use]
    pub fn unikernel(monitor: &Path, options: &[OsString], elf: &Path, arguments: &[OsString]) -> Self {
        let mut words = options.to_vec();
        words.push(elf.into());
        if !arguments.is_empty() {
            words.push("--".into());
            words.extend_from_slice(arguments);
        }
        Self { name: file_name(elf), path: monitor.to_owned(), arguments: words }
    }

    /// The same with another name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// A new command that starts it.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        command
    }

    /// The words to start it from a shell.
    #[must_use]
    pub fn words(&self) -> String {
        let path = self.path.as_os_str();
        let words = std::iter::once(path).chain(self.arguments.iter().map(OsString::as_os_str));
        let quoted = words.map(|word| {
            let word = word.to_string_lossy();
            // There is no NUL in a word of a command line, the only thing that cannot be quoted.
            shlex::try_quote(&word).map_or_else(|_| word.to_string(), |quoted| quoted.to_string())
        });
        quoted.collect::<Vec<_>>().join(" ")
    }
}

/// Splits the value of an option as a shell does.
///
/// # Errors
///
/// Where a quote is left open, or nothing follows a backslash.
pub fn split(option: &str, words: &str) -> Result<Vec<OsString>, Error> {
    let split = shlex::split(words)
        .ok_or_else(|| Error::usage(format!("{option} ends inside a quotation; write it as for a shell")))?;
    Ok(split.into_iter().map(OsString::from).collect())
}

/// The file name of a path, or the whole where there is none.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A command short enough for a table: without directories, and without what is too long.
fn shortened(words: &str) -> String {
    /// Characters.
    const ROOM: usize = 40;
    let (path, rest) = words.split_once(' ').unwrap_or((words, ""));
    let name = format!("{} {rest}", file_name(Path::new(path)));
    let name = name.trim_end();
    match name.char_indices().nth(ROOM) {
        Some((end, _)) => format!("{}…", name[..end].trim_end()),
        None => name.to_owned(),
    }
}

/// Where programs are found that the command line does not name.
#[derive(Clone, Debug)]
pub struct Places {
    directory: Option<PathBuf>,
    search: Option<OsString>,
}

impl Places {
    /// First in `directory`, or where that is `None` beside this program; then in `PATH`.
    #[must_use]
    pub fn new(directory: Option<PathBuf>) -> Self {
        let own = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
        Self { directory: directory.or_else(own), search: std::env::var_os("PATH") }
    }

    /// The file `name`, or the one that `option` names.
    ///
    /// # Errors
    ///
    /// Where it is nowhere, with the option that would name it.
    pub fn find(&self, name: &str, option: &str, named: Option<&Path>) -> Result<PathBuf, Error> {
        if let Some(path) = named {
            return existing(path).ok_or_else(|| {
                Error::missing(format!("{option}: there is no file {}; name another", path.display()))
            });
        }
        let directories = std::env::split_paths(self.search.as_deref().unwrap_or(OsStr::new("")));
        let mut found =
            self.directory.iter().cloned().chain(directories).filter_map(|place| existing(&place.join(name)));
        found.next().ok_or_else(|| {
            let beside = self.directory.as_deref().unwrap_or(Path::new(".")).display();
            Error::missing(format!(
                "{name} is neither in {beside} nor in PATH; name it with {option}, or use cargo xtask bench"
            ))
        })
    }
}

/// The path, if there is a file, in a form that is not looked for in `PATH`.
fn existing(path: &Path) -> Option<PathBuf> {
    path.is_file().then(|| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_a_shell_does() {
        let program = Program::of_words("--compare", "/bin/echo 'a b' c\\ d \"\"").unwrap();
        assert_eq!(program.path, Path::new("/bin/echo"));
        assert_eq!(program.arguments, ["a b", "c d", ""]);
        assert_eq!(program.name, "echo 'a b' c\\ d \"\"");
        assert_eq!(program.words(), "/bin/echo 'a b' 'c d' ''");
        for words in ["", "  ", "echo 'a", "echo \\"] {
            assert_eq!(Program::of_words("--compare", words).unwrap_err().status(), 64, "{words}");
        }
    }

    #[test]
    fn long_commands_are_shortened_between_characters() {
        let name = shortened(&"ü".repeat(100));
        assert_eq!(name.chars().count(), 41);
        assert_eq!(shortened("/usr/bin/a b"), "a b");
    }

    #[test]
    fn arguments_of_a_unikernel_are_apart_from_those_of_the_monitor() {
        let (monitor, elf) = (Path::new("/m/ukvm-run"), Path::new("/g/app.elf"));
        let options = ["--mem".into(), "1M".into()];
        let program = Program::unikernel(monitor, &options, elf, &["--help".into()]);
        assert_eq!(program.words(), "/m/ukvm-run --mem 1M /g/app.elf -- --help");
        assert_eq!(program.name, "app.elf");
        assert_eq!(Program::unikernel(monitor, &[], elf, &[]).words(), "/m/ukvm-run /g/app.elf");
    }

    #[test]
    fn what_is_nowhere_is_named_with_its_option() {
        let places = Places::new(Some("/nowhere".into()));
        assert!(places.find("sh", "--sh", None).is_ok());
        let error = places.find("no-such-program", "--floor", None).unwrap_err();
        assert_eq!(error.status(), 66);
        assert!(error.to_string().contains("--floor"), "{error}");
        assert_eq!(places.find("sh", "--sh", Some(Path::new("/nowhere/sh"))).unwrap_err().status(), 66);
    }
}
