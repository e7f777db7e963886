//! `cargo xtask bench`: builds `ukvm-bench` and all that it measures, and runs it.

use crate::cargo::{self, Executable};
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Guests that `ukvm-bench` takes where the user names none.
const GUESTS: [&str; 7] =
    ["hello.elf", "compute.elf", "io.elf", "static-site.elf", "https.elf", "cron-job.elf", "kv-server.elf"];

/// Builds all, puts it into one directory, which works on other machines too, and becomes `ukvm-bench` with `arguments`.
///
/// # Errors
///
/// Where something cannot be built, or `ukvm-bench` cannot be started.
pub fn run(arguments: &[OsString]) -> Result<()> {
    let directory = assemble()?;
    let error = Command::new(directory.join("ukvm-bench")).args(arguments).exec();
    Err(error).context("ukvm-bench cannot be started")
}

/// Builds all, and gives the directory with all that is needed: `bench` in the target directory.
///
/// # Errors
///
/// Where something cannot be built or copied.
pub fn assemble() -> Result<PathBuf> {
    let monitor = crate::monitor::build()?;
    let bench = crate::monitor::build_program("ukvm-bench", "ukvm-bench")?;
    let guests = crate::guests::build()?;
    let floors = cargo::build(&cargo::root().join("tests/floors"), &["--release"], &[])?;
    let directory = cargo::target_directory().join("bench");
    fs::create_dir_all(&directory).with_context(|| format!("{} cannot be created", directory.display()))?;
    let wanted = guests.iter().filter(|guest| GUESTS.iter().any(|name| guest.ends_with(name)));
    let mut count = 0;
    for file in wanted {
        put(file, &directory)?;
        count += 1;
    }
    ensure!(count == GUESTS.len(), "cargo built not all of the guests {}", GUESTS.join(", "));
    for Executable { path, .. } in floors {
        put(&path, &directory)?;
    }
    put(&monitor, &directory)?;
    put(&bench, &directory)?;
    Ok(directory)
}

/// Copies a file into a directory, whole or not at all.
fn put(file: &Path, directory: &Path) -> Result<()> {
    let name = file.file_name().context("a built file has a name")?;
    let (place, new) = (directory.join(name), directory.join(name).with_added_extension("new"));
    fs::copy(file, &new)
        .and_then(|_| fs::rename(&new, &place))
        .with_context(|| format!("{} cannot be written", place.display()))
}
