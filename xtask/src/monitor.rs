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

/// Builds a tool of this workspace, the only program of its package, and gives its path. Not optimised, as it is used once, or waits for
/// others mostly: so it is there sooner.
///
/// # Errors
///
/// Where cargo fails.
pub fn build_tool(name: &str) -> Result<PathBuf> {
    build_with(&[], name, name)
}

/// Builds a program of this workspace, optimised and static, and gives its path.
///
/// # Errors
///
/// Where cargo fails.
pub fn build_program(package: &str, name: &str) -> Result<PathBuf> {
    build_with(&["--release"], package, name)
}

fn build_with(options: &[&str], package: &str, name: &str) -> Result<PathBuf> {
    let target = cargo::target_directory();
    let target =
        target.to_str().context("the path of the target directory is not Unicode; move the repository")?;
    let arguments = [options, &["--package", package, "--bin", name, "--target-dir", target]].concat();
    let programs = cargo::build(cargo::root(), &arguments, &[])?;
    let program = programs.into_iter().find(|program| program.name == name);
    Ok(program.with_context(|| format!("cargo built no {name}"))?.path)
}
