//! Builds the example unikernels as processes of Linux.

use crate::cargo::{self, Executable};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Where they are built: apart from the unikernels, as one name stands for both.
fn directory() -> PathBuf {
    cargo::target_directory().join("hosted")
}

/// Builds all of them, or the one that is named, with what debuggers need. Gives them in the order of their names.
///
/// # Errors
///
/// Where cargo fails.
pub fn build(name: Option<&str>) -> Result<Vec<Executable>> {
    let directory = directory();
    let directory = directory.to_str().context("the path of the target directory is not Unicode")?;
    let mut arguments = vec!["--features", "ukvm-runtime/hosted", "--target-dir", directory];
    match name {
        Some(name) => arguments.extend(["--bin", name]),
        None => arguments.extend(["--workspace", "--exclude", "test-guests", "--bins"]),
    }
    // No flags: the workspace's own make unikernels.
    cargo::build(&cargo::root().join("guest-runtime"), &arguments, &[("CARGO_ENCODED_RUSTFLAGS", "")])
}
