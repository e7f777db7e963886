//! Disk images, other files and outside programs.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

include!("../io/bytes.rs");

/// A directory that is removed with all that is in it when this is dropped.
#[must_use]
pub fn directory() -> TempDir {
    tempfile::Builder::new().prefix("ukvm-test-").tempdir().expect("a temporary directory")
}

/// A file `name` of `size` zero bytes, without a block on the host's disk.
#[must_use]
pub fn sparse(directory: &Path, name: &str, size: u64) -> PathBuf {
    let path = directory.join(name);
    File::create(&path).and_then(|file| file.set_len(size)).expect("an empty file");
    path
}

/// A file with these bytes.
#[must_use]
pub fn file(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    File::create(&path).and_then(|mut file| file.write_all(bytes)).expect("a file");
    path
}

/// Where the program `name` is, in `PATH` or where Debian keeps the administrator's programs.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Runs the program `name`, and returns what came out of it.
///
/// # Panics
///
/// If it fails.
pub fn call(name: &str, arguments: &[&str]) -> Output {
    let program = program(name).unwrap_or_else(|| panic!("{name} is not installed"));
    call_by(&mut Command::new(program), name, arguments)
}

/// As [`call`], by a command that runs the program `name`.
///
/// # Panics
///
/// If it fails.
pub fn call_by(command: &mut Command, name: &str, arguments: &[&str]) -> Output {
    let output = command.args(arguments).output().unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(
        output.status.success(),
        "{name} {arguments:?}: {}; {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A FAT image of `size` bytes, made by `mkfs.vfat` and `mcopy`, with these files in its root.
#[must_use]
pub fn fat_image(directory: &Path, size: u64, files: &[(&str, &[u8])]) -> PathBuf {
    let image = sparse(directory, "data.img", size);
    let name = image.to_str().expect("a path in UTF-8");
    let _ = call("mkfs.vfat", &[name]);
    let staging = directory.join("staging");
    std::fs::create_dir(&staging).expect("a directory");
    for (file_name, bytes) in files {
        let path = file(&staging, file_name, bytes);
        let _ = call("mcopy", &["-i", name, path.to_str().expect("a path in UTF-8"), "::"]);
    }
    image
}

/// A pipe that is full, so that whoever writes to it waits.
#[must_use]
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // The kernel's default capacity, see pipe(7).
    writer.write_all(&[0; 65536]).expect("room in a new pipe");
    (reader, writer)
}
