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
    build_program("ukvm", "ukvm-run")
}

/// Builds a program of this workspace, optimised and static, and gives its path.
///
/// # Errors
///
/// Where cargo fails.
pub fn build_program(package: &str, name: &str) -> Result<PathBuf> {
    let target = cargo::target_directory();
    let target =
        target.to_str().context("the path of the target directory is not Unicode; move the repository")?;
    let arguments = ["--release", "--package", package, "--bin", name, "--target-dir", target];
    let programs = cargo::build(cargo::root(), &arguments, &[])?;
    let program = programs.into_iter().find(|program| program.name == name);
    Ok(program.with_context(|| format!("cargo built no {name}"))?.path)
}
