//! Builds the test suite's guests for the hvt ABI of Solo5: C and assembly, by the system's compiler.

use crate::{cargo, guests};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// The compiler: as with cargo, which links by it.
const COMPILER: &str = "cc";

/// Builds every guest whose sources changed, and puts each where [`directory`] says, as `NAME.hvt`, named after its source.
/// Gives the files in the order of their names.
///
/// # Errors
///
/// Where the compiler is missing or fails.
pub fn build() -> Result<Vec<PathBuf>> {
    build_from(&cargo::root().join("tests/hvt-guests"), &directory(), COMPILER)
}

/// Where the guests are put: `hvt` in the directory of all guests.
#[must_use]
pub fn directory() -> PathBuf {
    guests::directory().join("hvt")
}

/// Builds each `NAME.c` of `sources` that is newer than what was built of it, or where a file in `lib` is. There, `flags` are the
/// compiler's arguments, which include the files that all guests have in common.
fn build_from(sources: &Path, directory: &Path, compiler: &str) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(directory).with_context(|| format!("{} cannot be created", directory.display()))?;
    let mut common = SystemTime::UNIX_EPOCH;
    for file in files(&sources.join("lib"))? {
        common = common.max(modified(&file)?);
    }
    let mut built = BTreeSet::new();
    for source in files(sources)?.iter().filter(|file| file.extension().is_some_and(|ending| ending == "c")) {
        let name = source.file_stem().unwrap_or_default();
        let file = directory.join(name).with_added_extension("hvt");
        let changed = common.max(modified(source)?);
        if !modified(&file).is_ok_and(|time| time > changed) {
            compile(source, sources, &file, compiler)?;
        }
        built.insert(file);
    }
    guests::remove_others(directory, "hvt", |file| built.contains(file))?;
    Ok(built.into_iter().collect())
}

/// Compiles one guest, in the directory that the flags are relative to. The file is replaced whole or not at all.
fn compile(source: &Path, sources: &Path, file: &Path, compiler: &str) -> Result<()> {
    let new = file.with_added_extension(std::process::id().to_string());
    let status = Command::new(compiler)
        .current_dir(sources)
        .arg(source)
        .arg("@lib/flags")
        .arg("-o")
        .arg(&new)
        .stdin(Stdio::null())
        .status()
        .with_context(|| {
            format!(
                "the C compiler {compiler} cannot be started, which the guests in {} need: install gcc",
                sources.display()
            )
        })?;
    ensure!(status.success(), "{compiler} fails to build {}", source.display());
    fs::rename(&new, file).with_context(|| format!("{} cannot be written", file.display()))
}

/// The entries of a directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.with_context(|| format!("{} cannot be read", directory.display()))
}

/// When a file was changed last.
fn modified(file: &Path) -> Result<SystemTime> {
    fs::metadata(file)
        .and_then(|metadata| metadata.modified())
        .with_context(|| format!("{} cannot be looked at", file.display()))
}

#[cfg(test)]
#[path = "hvt_guests_tests.rs"]
mod tests;
