//! A program of tests as `cargo test` starts it: each test in a guest of its own.

use crate::guest::Guest;
use crate::host_failed;
use crate::junit::{Case, Outcome, Results};
use crate::network::Network;
use crate::output::Output;
use crate::verdict::{panic_message, verdict};
use clap::{CommandFactory, FromArgMatches, Parser};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;
use ukvm::elf::DeclaredTest;
use ukvm::error::Error;
use ukvm_abi::test::VARIABLE;
use ukvm_host_net::child::as_a_shell_shows;

/// The status where a test failed, as that of libtest.
const FAILED: u8 = 101;
/// The digits that cargo puts behind a target's name and a dash.
const HASH_DIGITS: usize = 16;

/// The arguments of a program of tests: those of libtest, and what stable Rust has no other way to ask for.
#[derive(Debug, Parser)]
struct Request {
    #[command(flatten)]
    tests: Arguments,

    /// Write the results to PATH as JUnit's XML: to that file, or, where it is a directory or ends with '/', to one in it of the test
    /// target's name
    #[arg(long, value_name = "PATH")]
    junit: Option<PathBuf>,
}

/// The name of the test target that cargo built into `program`, as a crate has it: with `_` where the target has `-`.
pub(crate) fn target_name(program: &Path) -> String {
    let stem = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match stem.rsplit_once('-') {
        Some((name, hash)) if hash.len() == HASH_DIGITS && hash.bytes().all(|c| c.is_ascii_hexdigit()) => {
            name.to_owned()
        }
        _ => stem,
    }
}

/// The file of options for the test target `name`, as [`target_name`] gives it, in the directory `tests` of its package. Where there is none,
/// the path at which one would be read.
pub(crate) fn options_file(tests: &Path, name: &str) -> PathBuf {
    let is_its_own = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "toml")
            && path.file_stem().is_some_and(|stem| stem.to_string_lossy().replace('-', "_") == name)
    };
    let entries = fs::read_dir(tests).into_iter().flatten();
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_its_own).collect();
    // A package cannot have two such targets, but the files of both: always the same one then.
    files.sort();
    files.into_iter().next().unwrap_or_else(|| tests.join(name).with_added_extension("toml"))
}

/// Runs those of `tests`, which are in `guest`, that `arguments` select, prints the results in libtest's form, and gives the exit status.
/// `timeout` holds where the guest's file has none.
///
/// # Errors
///
/// Where the host does not let it.
pub(crate) fn run(
    guest: Guest,
    target: &str,
    tests: Vec<DeclaredTest>,
    timeout: &str,
    arguments: &[OsString],
) -> Result<u8, Error> {
    let command = Request::command().mut_arg("nocapture", |option| {
        option.alias("no-capture").help("Show what the guests print as it comes")
    });
    let words = std::iter::once(OsString::from(target)).chain(arguments.iter().cloned());
    // Where these cannot be understood, clap says so and ends the process, as libtest does.
    let matches = command.get_matches_from(words);
    let Request { tests: mut request, junit } =
        Request::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if guest.is_exclusive {
        request.test_threads = Some(1);
    }
    if guest.network.is_some() && !request.list {
        // Before there is a thread.
        Network::permit()?;
    }
    let results = junit.filter(|_| !request.list).map(|path| Results::create(&path, target)).transpose()?;
    let session = Arc::new(Session {
        timeout: guest.timeout.is_none().then(|| timeout.to_owned()),
        guest,
        shown: request.nocapture,
        starting: Mutex::default(),
        cases: Mutex::default(),
    });
    let trials = tests.into_iter().map(|test| session.trial(test, &request)).collect();
    let started = Instant::now();
    let conclusion = libtest_mimic::run(&request, trials);
    if let Some(results) = results {
        let mut cases = std::mem::take(&mut *session.cases());
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        results.write(target, &cases, started.elapsed())?;
    }
    Ok(if conclusion.has_failed() { FAILED } else { 0 })
}

/// What all tests of a program have in common.
#[derive(Debug)]
struct Session {
    guest: Guest,
    /// For `--timeout`; `None`: the guest's file has one.
    timeout: Option<String>,
    /// Whether output is shown as it comes.
    shown: bool,
    /// Held while a guest's network is made and its monitor started: a process that another thread forks meanwhile has the new TAP's
    /// descriptor until it becomes a monitor, and for so long the TAP is in use.
    starting: Mutex<()>,
    cases: Mutex<Vec<Case>>,
}

impl Session {
    fn cases(&self) -> impl std::ops::DerefMut<Target = Vec<Case>> + '_ {
        // There is nothing half done in a list that grows.
        self.cases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trial(self: &Arc<Self>, test: DeclaredTest, request: &Arguments) -> Trial {
        let session = Arc::clone(self);
        let name = test.name.clone();
        match &test.ignored {
            // The harness knows no reasons for those that it leaves out itself.
            Some(reason) if !request.ignored && !request.include_ignored && !request.list => {
                let reason = reason.clone();
                Trial::ignorable_test(name.clone(), move || {
                    let outcome = Outcome::Ignored(reason.clone());
                    session.cases().push(Case {
                        name,
                        took: Duration::ZERO,
                        outcome,
                        printed: String::new(),
                    });
                    Ok(if reason.is_empty() {
                        Completion::ignored()
                    } else {
                        Completion::ignored_with(reason)
                    })
                })
            }
            ignored => {
                let is_ignored = ignored.is_some();
                Trial::test(name, move || session.run(&test)).with_ignored_flag(is_ignored)
            }
        }
    }

    /// Runs a test and says whether it passed.
    fn run(&self, test: &DeclaredTest) -> Result<(), Failed> {
        let started = Instant::now();
        let (verdict, printed) = match self.run_guest(test) {
            Ok(End { status, panic, printed }) => (verdict(test, status, panic.as_deref()), printed),
            Err(error) => (Err(format!("its guest could not be run: {error}")), String::new()),
        };
        let outcome = verdict.as_ref().err().map_or(Outcome::Passed, |why| Outcome::Failed(why.clone()));
        let failed = verdict.map_err(|why| match printed.trim_end() {
            // It was seen already, perhaps long ago.
            _ if self.shown => Failed::from(why),
            "" => Failed::from(why),
            shown => Failed::from(format!("{shown}\n{why}")),
        });
        self.cases().push(Case { name: test.name.clone(), took: started.elapsed(), outcome, printed });
        failed
    }

    /// Runs a test's guest to its end.
    fn run_guest(&self, test: &DeclaredTest) -> Result<End, Error> {
        let starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = &self.guest.network {
            network.enter()?;
        }
        let variable = format!("{VARIABLE}={}", test.name);
        // What a guest prints may look like a panic; what the monitor reports is one.
        let mut report = NamedTempFile::new().map_err(|error| {
            host_failed(format_args!(
                "no temporary file can be made ({error}); set TMPDIR to a directory of yours"
            ))
        })?;
        // The file may have others for a guest that is operated; this one is watched here.
        let mut options: Vec<&OsStr> = ["--console", "stdio", "--env", &variable].map(OsStr::new).into();
        options.extend(["--report".as_ref(), report.path().as_os_str()]);
        if let Some(timeout) = &self.timeout {
            options.extend(["--timeout".as_ref(), OsStr::new(timeout)]);
        }
        let (mut output, input) = io::pipe().map_err(host_failed)?;
        let second = input.try_clone().map_err(host_failed)?;
        let mut command = self.guest.command(&options, &[]);
        command.stdin(Stdio::null()).stdout(input).stderr(second);
        let child = command.spawn().map_err(|error| self.guest.not_started(&error));
        drop(starting);
        // It holds the ends of the pipe that the guest writes to, and as long as it does the output does not end.
        drop(command);
        let mut child = child?;
        let printed = Output::read(&mut output, self.shown);
        let status = child.wait().map_err(host_failed)?;
        let printed = printed.map_err(host_failed)?.into_text();
        let mut text = String::new();
        report.read_to_string(&mut text).map_err(host_failed)?;
        Ok(End { status: as_a_shell_shows(status), panic: panic_message(&text), printed })
    }
}

/// How a test's guest ended.
#[derive(Debug)]
struct End {
    /// The exit status.
    status: u8,
    /// The message, where it panicked.
    panic: Option<String>,
    /// What it and the monitor printed.
    printed: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_s_hash_is_no_part_of_the_name() {
        let name = |path: &str| target_name(Path::new(path));
        assert_eq!(name("/t/deps/greeting-0123456789abcdef"), "greeting");
        assert_eq!(name("/t/deps/my_test-0123456789abcdef"), "my_test");
        assert_eq!(name("greeting.elf"), "greeting");
        assert_eq!(name("a-b"), "a-b");
    }

    #[test]
    fn a_target_with_a_dash_finds_its_file() {
        let package = tempfile::tempdir().unwrap();
        let tests = package.path();
        let none = tests.join("my_test.toml");
        assert_eq!(options_file(&tests.join("absent"), "my_test"), tests.join("absent/my_test.toml"));
        for other in ["my-test.rs", "my-tests.toml", "my-test"] {
            fs::write(tests.join(other), "").unwrap();
        }
        assert_eq!(options_file(tests, "my_test"), none);
        fs::write(tests.join("my-test.toml"), "").unwrap();
        assert_eq!(options_file(tests, "my_test"), tests.join("my-test.toml"));
        fs::remove_file(tests.join("my-test.toml")).unwrap();
        fs::write(&none, "").unwrap();
        assert_eq!(options_file(tests, "my_test"), none);
    }

    #[test]
    fn the_arguments_are_consistent() {
        Request::command().debug_assert();
    }
}
