//! The same tests in another machine, mostly an emulated one that has another kind of KVM.
//!
//! A rig is a command that takes options, a directory and a shell command, and runs the latter, as root, in a machine that has this
//! one's root file system and the directory as `/host`. Its exit status is the shell command's, or 125 where the machine was lost.
//!
//! An emulated processor has faults of its own. Now and then the machine's kernel dies of them or stands still, or a guest gets what no
//! processor would give it. So the tests that had not ended run in another machine then, and those that failed do so too. What counts as
//! failed is what fails in two machines, or what a machine was lost under twice.

use crate::artifacts::artifacts;
use crate::daemon;
use crate::files;
use crate::journal::{self, Journal};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

/// How many times slower than this machine it is taken to be.
const SLOWNESS: u32 = 20;
/// The memory of the machine in MiB: a hundred guests run in it at once.
const MEMORY: &str = "4096";
/// How long all machines together may live.
const TIME: Duration = Duration::from_secs(3000);
/// How long a machine may be without a test that begins or ends: less than the 400 s that a guest has as a rule, which would
/// be found to be too slow otherwise, and more than any test takes.
const STANDSTILL: Duration = Duration::from_secs(300);
/// How long a rig may take to put away its machine, once it is told to.
const GRACE: Duration = Duration::from_secs(30);
/// The exit status of a rig whose machine did not start, or stopped before the command ended.
const LOST: i32 = 125;
/// How many machines there may be one after the other.
const MACHINES: usize = 4;

/// Runs this very program with `arguments` in the machine that the command `rig` makes, with a copy of the monitor and the guests.
///
/// # Errors
///
/// Where a file cannot be copied or `rig` not be started.
pub fn run(rig: &Path, arguments: impl IntoIterator<Item = String>) -> io::Result<ExitCode> {
    let directory = files::directory();
    let place = |name: &str| directory.path().join(name);
    let artifacts = artifacts();
    std::fs::copy(std::env::current_exe()?, place("suite"))?;
    std::fs::copy(&artifacts.monitor, place("ukvm-run"))?;
    std::fs::copy(&artifacts.odd_monitor, place("odd-run"))?;
    std::fs::copy(&artifacts.runner, place("ukvm-runner"))?;
    for guests in [&artifacts.guests, &artifacts.hvt_guests] {
        for guest in std::fs::read_dir(guests)? {
            let guest = guest?;
            if guest.file_type()?.is_file() {
                std::fs::copy(guest.path(), directory.path().join(guest.file_name()))?;
            }
        }
    }
    let mut line = format!(
        "UKVM_TEST_ARTIFACTS=/host UKVM_TEST_RIG=1 UKVM_TEST_SLOW={SLOWNESS} {}=/host/journal",
        journal::VARIABLE
    );
    if let Ok(what) = std::env::var("UKVM_TEST_REQUIRE") {
        line += &format!(" UKVM_TEST_REQUIRE={}", quoted(&what));
    }
    line += " ./suite --test-threads 2";
    for argument in arguments {
        line += &format!(" {}", quoted(&argument));
    }

    let end = Instant::now() + TIME;
    let (mut suspects, mut failed_before) = (Vec::new(), BTreeSet::new());
    for machine in 1..=MACHINES {
        let left = end.saturating_duration_since(Instant::now()).as_secs().max(1).to_string();
        let child = Command::new(rig)
            .args(["--mem", MEMORY, "--timeout", &left])
            .args([directory.path(), Path::new(&line)])
            .spawn()?;
        let status = wait(child, &place("journal"))?;
        let journal = Journal::read(&place("journal"))?;
        if let Some(name) = journal.failed.intersection(&failed_before).next() {
            println!("\n{name}: it has failed in two machines");
            return Ok(ExitCode::FAILURE);
        }
        if let Some(status) = status.filter(|status| status.code() != Some(LOST)) {
            if journal.failed.is_empty() {
                return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        } else {
            let running: Vec<_> = journal.running.iter().cloned().collect();
            println!("\nmachine {machine} was lost while these ran: {}", running.join(", "));
            if let Some(name) = running.iter().find(|name| suspects.contains(*name)) {
                println!("{name}: a machine was lost under it twice");
                return Ok(ExitCode::FAILURE);
            }
            suspects.extend(running);
        }
        for name in &journal.failed {
            println!("\n{name}: it has failed in machine {machine}, and runs once more in another");
        }
        journal.keep_passed(&place("journal"))?;
        failed_before.extend(journal.failed);
    }
    println!("\n{MACHINES} machines were not enough");
    Ok(ExitCode::FAILURE)
}

/// Waits for the end of a machine, or ends it where nothing more comes into the journal: then without a status.
fn wait(mut rig: Child, journal: &Path) -> io::Result<Option<ExitStatus>> {
    let length = || journal.metadata().map_or(0, |file| file.len());
    let (mut before, mut since) = (length(), Instant::now());
    while since.elapsed() < STANDSTILL {
        if let Some(status) = rig.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(100));
        let now = length();
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
    println!("\nno test has begun or ended for {} s", STANDSTILL.as_secs());
    daemon::end(&mut rig, GRACE);
    Ok(None)
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
