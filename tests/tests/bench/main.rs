//! The end-to-end tests of `ukvm-bench`: what it measures, and what it says where it cannot. How fast anything is, is none of
//! their business.

mod all;
mod boot;
mod io;
mod job;
mod kv;
mod one_guest;
mod refusals;
mod site;

use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tempfile::TempDir;
use ukvm_tests::artifacts::{Artifacts, artifacts};
use ukvm_tests::files;
use ukvm_tests::run::{Finished, Run};
use ukvm_tests::suite::Need;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    if !arguments.list {
        match xtask::bench::assemble() {
            Ok(directory) => Artifacts::in_directory(&directory).use_for_all(),
            Err(error) => {
                eprintln!("the tests cannot start: {error:#}");
                return ExitCode::FAILURE;
            }
        }
    }
    let tests = [
        all::TESTS,
        boot::TESTS,
        io::TESTS,
        job::TESTS,
        kv::TESTS,
        one_guest::TESTS,
        refusals::TESTS,
        site::TESTS,
    ];
    ukvm_tests::suite::run(&arguments, &[Need::Kvm], tests.into_iter().flatten()).exit_code()
}

/// `ukvm-bench` with these words.
fn bench<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Run {
    bench_in(&artifacts().guests, words)
}

/// The one in `directory`, with all that it measures.
fn bench_in<S: AsRef<OsStr>>(directory: &Path, words: impl IntoIterator<Item = S>) -> Run {
    // As long as it takes on a busy machine; what hangs fails all the same.
    Run::bare().monitor(&directory.join("ukvm-bench")).options(words).deadline(Duration::from_secs(300))
}

/// What one round of a command gave that measures services, with their names.
struct Measured {
    /// What it says of them in JSON.
    result: Value,
    /// On its output.
    text: String,
    /// In Markdown.
    page: String,
}

impl Measured {
    /// Measures, and sees to it that nothing stays behind where the services had their files.
    fn by(command: &str) -> Self {
        let directory = files::directory();
        let place = directory.path().join("place");
        fs::create_dir(&place).expect("a directory");
        let [result, page] = ["a.json", "a.md"].map(|name| directory.path().join(name));
        let run = bench([command, "--runs", "1", "--json"]).options([&result]);
        let run = run.option("--markdown", &page).option("--directory", &place);
        let ended = run.finish().status(0).says(&[&*format!("ukvm-bench: {command}: 1 of 1\n")]);
        assert_eq!(fs::read_dir(place).expect("a directory").count(), 0, "files were left behind");
        let page = fs::read_to_string(page).expect("a page");
        Self { result: json(&result)[command].take(), text: ended.text(), page }
    }

    /// Asserts that both tables have a line of that name.
    #[track_caller]
    fn tells_of(&self, name: &str) {
        assert!(self.text.contains(name) && self.page.contains(name), "{name}: {}", self.text);
    }
}

/// A program that is measured, in the directory of `ukvm-bench`.
fn program(name: &str) -> String {
    artifacts().guests.join(name).to_str().expect("a path in UTF-8").to_owned()
}

/// A directory for `--programs`, with `floor` and, in place of the guest `name`, one that does nothing of what is measured.
fn with_hello_as(name: &str, floor: &str) -> TempDir {
    let directory = files::directory();
    for (from, to) in [("ukvm-run", "ukvm-run"), (floor, floor), ("hello.elf", name)] {
        symlink(program(from), directory.path().join(to)).expect("a link");
    }
    directory
}

/// A guest of the test suite.
fn guest(name: &str) -> PathBuf {
    xtask::guests::directory().join(name).with_extension("elf")
}

/// A result as JSON.
fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// The strings `field` of the objects in an array.
fn each(array: &Value, field: &str) -> BTreeSet<String> {
    let objects = array.as_array().unwrap_or_else(|| panic!("no array: {array}"));
    objects.iter().map(|object| object[field].as_str().unwrap_or_default().to_owned()).collect()
}

/// What it says last.
fn last_words(ended: &Finished) -> String {
    let line = ended.errors.lines().rfind(|line| !line.starts_with("ukvm-bench: wrote "));
    let sentence = line.and_then(|line| line.strip_prefix("ukvm-bench: "));
    sentence.unwrap_or_else(|| panic!("no sentence: {}", ended.errors)).to_owned()
}

/// Asserts that it ended with `code` and one sentence with all of `words`, and measured nothing.
#[track_caller]
fn refused(ended: Finished, code: i32, words: &[&str]) {
    let ended = ended.status(code).prints("").says(words);
    let sentence = last_words(&ended);
    assert!(
        ended.errors.lines().count() == 1 && !sentence.ends_with('.'),
        "not one sentence: {}",
        ended.errors
    );
}
