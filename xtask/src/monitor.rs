//! Builds the monitor as users get it.

use crate::cargo;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Builds `ukvm-run`, optimised and static, and gives its path.
///
/// # Errors
///
/// Where cargo fails.
pub fn build() -> Result<PathBuf> {
    let target = cargo::target_directory();
    let target =
        target.to_str().context("the path of the target directory is not Unicode; move the repository")?;
    let arguments = ["--release", "--package", "ukvm", "--bin", "ukvm-run", "--target-dir", target];
    let programs = cargo::build(cargo::root(), &arguments)?;
    let monitor = programs.into_iter().find(|program| program.name == "ukvm-run");
    Ok(monitor.context("cargo built no ukvm-run")?.path)
}
