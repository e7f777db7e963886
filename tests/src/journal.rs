//! What became of each test, in a file that outlives the machine that the tests run in.
//!
//! A line for each beginning and each end of a test: a word (`runs`, `passed`, `failed`), a blank, the test's name.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;

/// The variable that names the file to the suite.
pub const VARIABLE: &str = "UKVM_TEST_JOURNAL";

/// What a journal says, by the tests' names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// Those that passed.
    pub passed: BTreeSet<String>,
    /// Those that failed.
    pub failed: BTreeSet<String>,
    /// Those that began and did not end.
    pub running: BTreeSet<String>,
}

impl Journal {
    /// Reads the journal at `path`, an empty one if there is none. A line that was cut off is not counted.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// The one that this process writes to, as it was when first asked for: an empty one without [`VARIABLE`].
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    pub fn so_far() -> &'static Self {
        static SO_FAR: OnceLock<Journal> = OnceLock::new();
        SO_FAR.get_or_init(|| {
            std::env::var_os(VARIABLE).map_or_else(Self::default, |path| {
                Self::read(Path::new(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            })
        })
    }

    /// Whether it says how the test `name` ended.
    #[must_use]
    pub fn has_ended(&self, name: &str) -> bool {
        self.passed.contains(name) || self.failed.contains(name)
    }

    /// Writes a journal to `path` that knows of those alone that passed, so that all others run once more.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn keep_passed(&self, path: &Path) -> io::Result<()> {
        let lines: String = self.passed.iter().map(|name| format!("passed {name}\n")).collect();
        std::fs::write(path, lines)
    }

    fn parse(text: &str) -> Self {
        let mut journal = Self::default();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let Some((word, name)) = line.split_once(' ') else { continue };
            journal.running.remove(name);
            let names = match word {
                "passed" => &mut journal.passed,
                "failed" => &mut journal.failed,
                _ => &mut journal.running,
            };
            names.insert(name.to_owned());
        }
        journal
    }
}

/// A test that runs. Its end is written down when this is dropped: a failure if that is because of a panic.
pub(crate) struct Entry<'a>(&'a str);

impl<'a> Entry<'a> {
    pub(crate) fn begin(name: &'a str) -> Self {
        write("runs", name);
        Self(name)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        write(if std::thread::panicking() { "failed" } else { "passed" }, self.0);
    }
}

/// Writes a line that is there even if the machine is gone a moment later.
fn write(word: &str, name: &str) {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let path = std::env::var_os(VARIABLE)?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Some(file.unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    });
    if let Some(mut file) = file.as_ref() {
        let written = file.write_all(format!("{word} {name}\n").as_bytes()).and_then(|()| file.sync_data());
        // No panic: one that is under way would become an abort.
        if let Err(error) = written {
            eprintln!("the journal of the tests: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_tells_what_ended_and_what_did_not() {
        let journal = Journal::parse(
            "runs a::b\nruns a::c\npassed a::b\nruns a::d\nfailed a::d\nruns a::e\npassed a::e",
        );
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(journal.passed, set(&["a::b"]));
        assert_eq!(journal.failed, set(&["a::d"]));
        // The last line has no end: the machine was gone.
        assert_eq!(journal.running, set(&["a::c", "a::e"]));
        assert!(journal.has_ended("a::d") && !journal.has_ended("a::c"));

        let directory = crate::files::directory();
        let path = directory.path().join("journal");
        journal.keep_passed(&path).unwrap();
        assert_eq!(Journal::read(&path).unwrap(), Journal { passed: set(&["a::b"]), ..Journal::default() });
    }

    #[test]
    fn no_file_is_an_empty_journal() {
        let directory = crate::files::directory();
        assert_eq!(Journal::read(&directory.path().join("none")).unwrap(), Journal::default());
    }
}
