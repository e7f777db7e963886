//! `cargo xtask man` and `cargo xtask completions`: builds `ukvm-manual`, which knows the options of `ukvm-run`, and runs it.

use crate::{cargo, monitor};
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
    let directory = directory.map_or_else(|| cargo::target_directory().join(what), PathBuf::from);
    let status = Command::new(monitor::build_tool("ukvm-manual")?).arg(what).arg(directory).status();
    let status = status.context("ukvm-manual cannot be started")?;
    ensure!(status.success(), "the files could not be written");
    Ok(())
}
