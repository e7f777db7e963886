//! What the tests share: a device in memory, directories to be packed, and the programs that pack them.

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use ukvm_storage::{Device, Entry, Listed, OpenError, ReadFailed, Store};
use ukvm_tests::suite::Need;

/// What images with FAT are made, looked at and changed with.
pub(crate) const FAT: &[Need] =
    &[Need::Program("mkfs.vfat"), Need::Program("mcopy"), Need::Program("mdel"), Need::Program("fsck.vfat")];

/// Waits for a future that waits for nothing but devices in memory.
pub(crate) use embassy_futures::block_on as wait;

/// An image in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) bytes: Vec<u8>,
    /// How many reads there were.
    pub(crate) reads: Cell<u64>,
    /// Where reads fail.
    pub(crate) broken: Option<u64>,
}

impl Memory {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("size", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Device for Memory {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
        self.reads.set(self.reads.get() + 1);
        let range = offset..offset + buffer.len() as u64;
        if self.broken.is_some_and(|broken| range.contains(&broken)) {
            return Err(ReadFailed);
        }
        // A range beyond the end is a fault of the crate.
        buffer.copy_from_slice(&self.bytes[range.start as usize..range.end as usize]);
        Ok(())
    }
}

/// Opens an image in memory.
pub(crate) fn open(bytes: impl Into<Vec<u8>>) -> Result<Store<Memory>, OpenError> {
    wait(Store::open(Memory::new(bytes.into())))
}

/// Why an image in memory cannot be opened.
#[track_caller]
pub(crate) fn refusal(bytes: impl Into<Vec<u8>>) -> String {
    open(bytes).expect_err("an image that cannot be opened").to_string()
}

/// All bytes of a file.
#[track_caller]
pub(crate) fn contents<D: Device>(store: &Store<D>, path: &str) -> Vec<u8> {
    let file = match wait(store.find(path)).expect("a device that can be read") {
        Some(Entry::File(file)) => file,
        other => panic!("{path}: {other:?} instead of a file"),
    };
    let mut bytes = vec![0; file.size() as usize];
    assert_eq!(wait(store.read_at(&file, 0, &mut bytes)), Ok(bytes.len()), "{path}");
    bytes
}

/// A directory to be packed, which goes when it is dropped.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().prefix("ukvm-storage-").tempdir().expect("a temporary directory")
}

/// Makes a file and the directories above it.
pub(crate) fn write(directory: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().expect("a file in a directory")).expect("a directory");
    fs::write(path, bytes).expect("a file");
}

/// Runs a program of the host.
#[track_caller]
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&said));
}

/// Packs a directory with `tar` and these options.
#[track_caller]
pub(crate) fn tar(directory: &Path, options: &[&str]) -> Vec<u8> {
    let archive = directory.with_extension("tar");
    let mut arguments = vec!["-cf", text(&archive), "-C", text(directory)];
    arguments.extend(options);
    run("tar", &arguments);
    let bytes = fs::read(&archive).expect("an archive");
    fs::remove_file(&archive).expect("an archive");
    bytes
}

/// Checks that a store has the files and directories of a directory on the host, with their contents, and nothing else.
#[track_caller]
pub(crate) fn assert_same(store: &Store<Memory>, directory: &Path) {
    let mut left = vec![(String::new(), PathBuf::from(directory))];
    while let Some((path, here)) = left.pop() {
        let mut names: Vec<String> = fs::read_dir(&here)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        let mut listed = wait(store.list(&path)).expect("a device that can be read").expect("a directory");
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(
            listed.iter().map(|listed| &listed.name).collect::<Vec<_>>(),
            names.iter().collect::<Vec<_>>()
        );
        for Listed { name, entry, .. } in listed {
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let here = here.join(&name);
            match entry {
                Entry::Directory => left.push((path, here)),
                Entry::File(_) => {
                    assert!(contents(store, &path) == fs::read(here).expect("a file"), "{path}")
                }
            }
        }
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Reads all that a store lists.
pub(crate) fn read_all<D: Device>(store: &Store<D>) {
    let mut left = vec![String::new()];
    while let Some(path) = left.pop() {
        for Listed { name, entry, link } in
            wait(store.list(&path)).expect("no read fails").expect("a directory")
        {
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            match entry {
                Entry::Directory if link => {}
                Entry::Directory => left.push(path),
                Entry::File(_) => drop(contents(store, &path)),
            }
        }
    }
}

/// Checks that `fsck.vfat` finds nothing wrong with an image.
#[track_caller]
pub(crate) fn fsck(image: &[u8]) {
    let directory = directory();
    let path = directory.path().join("data.img");
    fs::write(&path, image).expect("an image");
    run("fsck.vfat", &["-n", text(&path)]);
}
