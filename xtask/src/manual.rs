//! `cargo xtask man` and `cargo xtask completions`: builds `ukvm-manual`, which knows the options of `ukvm-run`, and runs it.

use crate::cargo;
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// Has `what`, `man` or `completions`, written to `directory`; where none is given, to the directory of that name in the target
/// directory.
///
/// # Errors
///
/// Where it cannot be built, or nothing can be written.
pub fn run(what: &str, directory: Option<&OsString>) -> Result<()> {
    let target = cargo::target_directory();
    let directory = directory.map_or_else(|| target.join(what), PathBuf::from);
    let target =
        target.to_str().context("the path of the target directory is not Unicode; move the repository")?;
    let arguments = ["--package", "ukvm-manual", "--bin", "ukvm-manual", "--target-dir", target];
    let programs = cargo::build(cargo::root(), &arguments, &[])?;
    let program = programs.first().context("cargo built no ukvm-manual")?;
    let status = Command::new(&program.path).arg(what).arg(directory).status();
    let status = status.context("ukvm-manual cannot be started")?;
    ensure!(status.success(), "the files could not be written");
    Ok(())
}
