//! Files that are written, on file systems that `fsck.vfat` and `mcopy` then look at.

use crate::fat::{KINDS, image};
use crate::world::{FAT, assert_same, directory, fsck, open, run, text, wait, write};
use embedded_io_async::{Read, Seek, SeekFrom, Write};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::rc::Rc;
use ukvm_storage::fat::{Clock, OpenOptions, Volume, VolumeError};
use ukvm_storage::{Device, Entry, ReadFailed, WritableDevice, WriteFailed};
use ukvm_tests::random::Random;

ukvm_tests::tests! {
    files_are_written_and_read .needs(FAT);
    refusals_say_why .needs(FAT);
    what_is_no_file_system_is_told_apart;
    a_host_without_space_is_told_apart .needs(FAT);
    random_operations_agree_with_a_model .needs(FAT);
    a_cut_at_any_write_loses_nothing_that_was_there .needs(FAT);
    a_cut_in_a_rename_leaves_the_file_under_one_name_at_least .needs(FAT);
    a_file_system_that_was_not_synced_is_marked .needs(FAT);
}

/// A disk in memory that notes what is written.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    bytes: RefCell<Vec<u8>>,
    writes: RefCell<Vec<(usize, Vec<u8>)>>,
    flushes: Cell<usize>,
    /// How many more writes succeed.
    left: Cell<Option<usize>>,
    /// How many more writes succeed before the one that does not.
    refused: Cell<Option<usize>>,
    /// Whether the next flush does not succeed.
    flush_refused: Cell<bool>,
    read_only: bool,
}

impl Disk {
    pub(crate) fn new(bytes: Vec<u8>) -> Rc<Self> {
        Rc::new(Self { bytes: bytes.into(), ..Self::default() })
    }

    pub(crate) fn read_only(bytes: Vec<u8>) -> Rc<Self> {
        Rc::new(Self { bytes: bytes.into(), read_only: true, ..Self::default() })
    }

    /// What is on it now.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    /// What was written so far, each time at which byte.
    pub(crate) fn writes(&self) -> Vec<(usize, Vec<u8>)> {
        self.writes.borrow().clone()
    }

    /// For one write, which comes after this many more, the host has no space.
    pub(crate) fn refuse_after(&self, writes: usize) {
        self.refused.set(Some(writes));
    }

    /// At the next flush the host has no space for what it took.
    pub(crate) fn refuse_flush(&self) {
        self.flush_refused.set(true);
    }
}

impl Device for Disk {
    fn size(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }

    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
        embassy_futures::yield_now().await;
        let offset = offset as usize;
        buffer.copy_from_slice(&self.bytes.borrow()[offset..offset + buffer.len()]);
        Ok(())
    }
}

impl WritableDevice for Disk {
    fn is_writable(&self) -> bool {
        !self.read_only
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), WriteFailed> {
        embassy_futures::yield_now().await;
        if let Some(left) = self.left.get() {
            self.left.set(Some(left.checked_sub(1).ok_or(WriteFailed::NoSpace)?));
        }
        if let Some(left) = self.refused.get() {
            self.refused.set(left.checked_sub(1));
            if left == 0 {
                return Err(WriteFailed::NoSpace);
            }
        }
        let offset = offset as usize;
        self.bytes.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.writes.borrow_mut().push((offset, bytes.to_vec()));
        Ok(())
    }

    async fn flush(&self) -> Result<(), WriteFailed> {
        self.flushes.set(self.flushes.get() + 1);
        if self.flush_refused.take() { Err(WriteFailed::NoSpace) } else { Ok(()) }
    }
}

/// It is always the same time.
pub(crate) struct Noon;

impl Clock for Noon {
    fn now() -> u64 {
        1_234_569_600
    }
}

fn mount(disk: &Rc<Disk>) -> Volume<Rc<Disk>> {
    wait(Volume::mount::<Noon>(disk.clone())).unwrap()
}

/// An empty file system of this kind.
fn empty(kind: (&str, u64, u64)) -> Vec<u8> {
    image(directory().path(), kind)
}

fn files_are_written_and_read() {
    for kind in KINDS {
        let disk = Disk::new(empty(kind));
        let volume = mount(&disk);
        wait(async {
            volume.create_directory("notes").await.unwrap();
            volume.write("notes/A long name for a note.txt", b"hello").await.unwrap();
            let options = OpenOptions::new().read().write();
            let mut file = volume.open("NOTES/a long name for a NOTE.txt", options).await.unwrap();
            file.seek(SeekFrom::End(0)).await.unwrap();
            file.write_all(b", world").await.unwrap();
            file.seek(SeekFrom::Start(7)).await.unwrap();
            let mut word = [0; 5];
            file.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"world");
            assert_eq!(file.write_at(20, b"!").await, Ok(1));
            assert_eq!(file.metadata().await.unwrap().size, 21);
            assert_eq!(volume.remove_file("notes/A long name for a note.txt").await, Err(VolumeError::Busy));
            file.close().await.unwrap();
            volume.write("copy", &vec![7; 100_000]).await.unwrap();
            volume.rename("copy", "notes/copy").await.unwrap();
            volume.write(&"n".repeat(255), b"longest").await.unwrap();
            volume.sync().await.unwrap();
        });
        assert!(disk.flushes.get() > 0);
        let metadata = wait(volume.metadata("notes/copy")).unwrap();
        assert_eq!(
            (metadata.directory, metadata.size, metadata.modified),
            (false, 100_000, Some(Noon::now()))
        );
        let bytes = disk.bytes.borrow().clone();
        fsck(&bytes);
        let expected = directory();
        write(expected.path(), "notes/A long name for a note.txt", b"hello, world\0\0\0\0\0\0\0\0!");
        write(expected.path(), "notes/copy", vec![7; 100_000]);
        write(expected.path(), &"n".repeat(255), "longest");
        assert_same(&open(&bytes[..]).unwrap(), expected.path());
        // As an independent program reads it.
        let (image, copies) = (expected.path().with_extension("img"), directory());
        fs::write(&image, &bytes).unwrap();
        run("mcopy", &["-smi", text(&image), "::", text(copies.path())]);
        fs::remove_file(image).unwrap();
        assert_same(&open(&bytes[..]).unwrap(), copies.path());
    }
}

fn refusals_say_why() {
    let tree = directory();
    write(tree.path(), "file", "x");
    write(tree.path(), "directory/inside", "x");
    let disk = Disk::new(image(tree.path(), KINDS[0]));
    let volume = mount(&disk);
    let read = OpenOptions::new().read();
    wait(async {
        assert_eq!(volume.read("gone").await, Err(VolumeError::NotFound));
        assert_eq!(volume.read("gone/file").await, Err(VolumeError::NotFound));
        assert_eq!(volume.read("directory").await, Err(VolumeError::IsADirectory));
        assert_eq!(volume.read("file/x").await, Err(VolumeError::NotADirectory));
        assert_eq!(volume.list("file").await, Err(VolumeError::NotADirectory));
        assert_eq!(volume.create_directory("FILE").await, Err(VolumeError::AlreadyExists));
        assert_eq!(volume.remove_directory("directory").await, Err(VolumeError::NotEmpty));
        assert_eq!(
            volume.open("file", read.write().create_new()).await.err(),
            Some(VolumeError::AlreadyExists)
        );
        for name in ["a:b", "a*", "dot.", "space ", "\u{1}", &"n".repeat(256)] {
            assert_eq!(volume.write(name, b"").await, Err(VolumeError::Invalid), "{name}");
        }
        let file = volume.open("file", read.write()).await.unwrap();
        assert_eq!(file.write_at(u64::from(u32::MAX), b"x").await, Err(VolumeError::TooLarge));
        file.close().await.unwrap();
        assert_eq!(volume.write("big", &vec![1; 3 << 20]).await, Err(VolumeError::Full));
        assert_eq!(volume.read("file").await.unwrap(), b"x");
        volume.remove_file("big").await.unwrap();
        volume.sync().await.unwrap();
    });
    fsck(&disk.bytes.borrow());
    let read_only = Disk::read_only(disk.bytes());
    let volume = mount(&read_only);
    assert_eq!(wait(volume.write("new", b"x")), Err(VolumeError::ReadOnly));
    assert_eq!(wait(volume.read("file")).unwrap(), b"x");
    assert!(read_only.writes.borrow().is_empty());
}

fn what_is_no_file_system_is_told_apart() {
    let refusal = |bytes: Vec<u8>| {
        let refused = wait(Volume::mount::<Noon>(Disk::new(bytes))).unwrap_err();
        refused.to_string()
    };
    let mut table = vec![0; 1024];
    table[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut archive = tar_core::builder::EntryBuilder::new_ustar();
    archive.path("file").size(0).unwrap().entry_type(tar_core::EntryType::Regular);
    let gzip = [&[0x1f, 0x8b][..], &[0; 1022]].concat();
    for (bytes, start) in [
        (vec![], "the disk holds neither a tar archive nor a FAT file system; "),
        (vec![0; 1024], "the disk holds neither a tar archive nor a FAT file system; "),
        (table, "the disk has a partition table; "),
        (archive.finish_bytes(), "the disk holds a tar archive, whose files can only be read; "),
        (gzip, "the disk holds gzip data; "),
    ] {
        let reason = refusal(bytes);
        assert!(reason.starts_with(start), "{reason}");
    }
}

fn a_host_without_space_is_told_apart() {
    let disk = Disk::new(empty(KINDS[1]));
    let volume = mount(&disk);
    wait(volume.write("before", b"x")).unwrap();
    wait(volume.sync()).unwrap();
    for writes in 0..8 {
        disk.left.set(Some(writes));
        assert_eq!(
            wait(volume.write("more", &[1; 5000])),
            Err(VolumeError::Write(WriteFailed::NoSpace)),
            "{writes}"
        );
    }
    disk.left.set(None);
    wait(volume.write("more", &[2; 5000])).unwrap();
    wait(volume.sync()).unwrap();
    assert_eq!(wait(volume.read("more")).unwrap(), [2; 5000]);
    assert_eq!(wait(volume.read("before")).unwrap(), b"x");
    fsck(&disk.bytes.borrow());
}

/// Random operations, and what should be there after them, by path: `None` for a directory.
struct Model {
    random: Random,
    expected: BTreeMap<String, Option<Vec<u8>>>,
}

impl Model {
    fn pick(&mut self, directory: bool) -> Option<String> {
        let of_kind: Vec<_> = self
            .expected
            .iter()
            .filter(|(_, file)| file.is_none() == directory)
            .map(|(path, _)| path.clone())
            .collect();
        (!of_kind.is_empty()).then(|| of_kind[self.random.below(of_kind.len())].clone())
    }

    /// A path that may be new.
    fn path(&mut self) -> String {
        let names = ["a", "b.txt", "A LONG NAME of a file", "x.y.z", "\u{e4}\u{f6}", "short~1"];
        let name = format!("{}{}", names[self.random.below(names.len())], self.random.below(6));
        match self.pick(true) {
            Some(directory) if self.random.below(3) > 0 => format!("{directory}/{name}"),
            _ => name,
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = [0, 1, 511, 512, 513, 2048, 10_000, 40_000][self.random.below(8)];
        (0..length).map(|_| self.random.below(256) as u8).collect()
    }

    /// One operation on the volume and on what is expected.
    async fn step(&mut self, volume: &Volume<Rc<Disk>>) {
        match self.random.below(12) {
            0 => {
                let path = self.path();
                let done = volume.create_directory(&path).await;
                if self.expected.contains_key(&path) {
                    assert_eq!(done, Err(VolumeError::AlreadyExists), "{path}");
                } else if self.expected.len() < 60 {
                    done.unwrap();
                    self.expected.insert(path, None);
                } else {
                    done.unwrap();
                    volume.remove_directory(&path).await.unwrap();
                }
            }
            1..=4 => {
                let (path, bytes) = (self.path(), self.bytes());
                let done = volume.write(&path, &bytes).await;
                if self.expected.get(&path) == Some(&None) {
                    assert_eq!(done, Err(VolumeError::IsADirectory), "{path}");
                } else {
                    done.unwrap();
                    self.expected.insert(path, Some(bytes));
                }
            }
            5 | 6 => {
                let (Some(path), bytes) = (self.pick(false), self.bytes()) else { return };
                let file = volume.open(&path, OpenOptions::new().write()).await.unwrap();
                let offset = self.random.below(20_000);
                assert_eq!(file.write_at(offset as u64, &bytes).await, Ok(bytes.len()));
                let content = self.expected.get_mut(&path).unwrap().as_mut().unwrap();
                if !bytes.is_empty() {
                    content.resize(content.len().max(offset + bytes.len()), 0);
                    content[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
                // Dropped or closed, it must be the same.
                if self.random.below(2) == 0 {
                    file.close().await.unwrap();
                }
            }
            7 => {
                let Some(path) = self.pick(false) else { return };
                let size = self.random.below(30_000);
                let mut file = volume.open(&path, OpenOptions::new().write()).await.unwrap();
                file.set_size(size as u64).await.unwrap();
                file.close().await.unwrap();
                self.expected.get_mut(&path).unwrap().as_mut().unwrap().resize(size, 0);
            }
            8 => {
                let Some(path) = self.pick(false) else { return };
                volume.remove_file(&path).await.unwrap();
                self.expected.remove(&path);
            }
            9 => {
                let Some(path) = self.pick(true) else { return };
                let inside = format!("{path}/");
                let done = volume.remove_directory(&path).await;
                if self.expected.keys().any(|other| other.starts_with(&inside)) {
                    assert_eq!(done, Err(VolumeError::NotEmpty));
                } else {
                    done.unwrap();
                    self.expected.remove(&path);
                }
            }
            10 => {
                let Some(from) = self.pick(false) else { return };
                let to = self.path();
                let done = volume.rename(&from, &to).await;
                if self.expected.get(&to) == Some(&None) {
                    assert!(done.is_err(), "{from} {to}");
                } else {
                    done.unwrap();
                    let file = self.expected.remove(&from).unwrap();
                    self.expected.insert(to, file);
                }
            }
            _ => {
                let Some(path) = self.pick(false) else { return };
                assert!(
                    volume.read(&path).await.unwrap() == *self.expected[&path].as_ref().unwrap(),
                    "{path}"
                );
            }
        }
    }

    /// Compares an image with what is expected.
    #[track_caller]
    fn check(&self, bytes: &[u8]) {
        let tree = directory();
        for (path, file) in &self.expected {
            match file {
                Some(bytes) => write(tree.path(), path, bytes),
                None => fs::create_dir_all(tree.path().join(path)).unwrap(),
            }
        }
        assert_same(&open(bytes).unwrap(), tree.path());
    }
}

fn random_operations_agree_with_a_model() {
    for (kind, steps) in [(KINDS[0], 600), (KINDS[1], 1500), (KINDS[2], 300)] {
        let disk = Disk::new(empty(kind));
        let mut volume = mount(&disk);
        let mut model = Model { random: Random::new(1), expected: BTreeMap::new() };
        for step in 1..=steps {
            wait(model.step(&volume));
            if step % 150 == 0 {
                wait(volume.sync()).unwrap();
                let bytes = disk.bytes.borrow().clone();
                fsck(&bytes);
                model.check(&bytes);
                volume = mount(&disk);
            }
        }
    }
}

fn a_cut_at_any_write_loses_nothing_that_was_there() {
    let tree = directory();
    for number in 0..20 {
        write(
            tree.path(),
            &format!("kept/with a long name {number}"),
            vec![number; 700 * usize::from(number)],
        );
    }
    let base = image(tree.path(), KINDS[1]);
    let disk = Disk::new(base.clone());
    let volume = mount(&disk);
    let mut random = Random::new(1);
    wait(async {
        // All kinds of changes, but none to what is kept.
        let mut model = Model { random: Random::new(1), expected: BTreeMap::from([("new".into(), None)]) };
        volume.create_directory("new").await.unwrap();
        for _ in 0..60 {
            model.step(&volume).await;
        }
        volume.sync().await.unwrap();
    });
    let writes = disk.writes.borrow();
    let mut bytes = base;
    for (done, (offset, written)) in writes.iter().enumerate() {
        bytes[*offset..*offset + written.len()].copy_from_slice(written);
        if random.below(writes.len() / 40 + 1) > 0 {
            continue;
        }
        let store = open(mend(&bytes)).unwrap();
        for number in 0..20 {
            let path = format!("kept/with a long name {number}");
            assert!(
                crate::world::contents(&store, &path) == vec![number; 700 * usize::from(number)],
                "{done}: {path}"
            );
        }
    }
}

/// What `fsck.vfat -a` makes of an image.
#[track_caller]
pub(crate) fn mend(image: &[u8]) -> Vec<u8> {
    let directory = directory();
    let path = directory.path().join("data.img");
    fs::write(&path, image).unwrap();
    // It says by its status, 1, that it has repaired something.
    let output =
        std::process::Command::new("/usr/sbin/fsck.vfat").args(["-a", text(&path)]).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", output.status);
    let mended = fs::read(&path).unwrap();
    fsck(&mended);
    mended
}

fn a_cut_in_a_rename_leaves_the_file_under_one_name_at_least() {
    let (old, new) = (vec![1; 5000], vec![2; 9000]);
    let tree = directory();
    write(tree.path(), "the state of the program", &old);
    write(tree.path(), "the state of the program.new", &new);
    for kind in KINDS {
        let base = image(tree.path(), kind);
        let disk = Disk::new(base.clone());
        let volume = mount(&disk);
        wait(async {
            volume.rename("the state of the program.new", "the state of the program").await.unwrap();
            volume.sync().await.unwrap();
        });
        // What there is after each write: the file that is replaced, or what replaces it, and whether that has its old name still.
        let mut states = vec![(Some(true), true)];
        let mut bytes = base;
        for (offset, written) in disk.writes.borrow().iter() {
            bytes[*offset..*offset + written.len()].copy_from_slice(written);
            let found = |bytes: &[u8]| {
                let store = open(bytes).unwrap();
                ["the state of the program", "the state of the program.new"].map(|name| {
                    let there = matches!(wait(store.find(name)), Ok(Some(Entry::File(_))));
                    there.then(|| crate::world::contents(&store, name))
                })
            };
            let [target, source] = found(&bytes);
            let state = (target.as_ref().map(|target| *target == old), source.is_some());
            if states.last() != Some(&state) {
                states.push(state);
            }
            assert!(target.is_none_or(|target| target == old || target == new));
            assert!(found(&mend(&bytes)).contains(&Some(new.clone())), "{kind:?}: {state:?}");
        }
        let (target_alone, both) = ((Some(false), false), (Some(false), true));
        assert_eq!(states, [(Some(true), true), (None, true), both, target_alone], "{kind:?}");
    }
}

fn a_file_system_that_was_not_synced_is_marked() {
    for (kind, has_mark) in KINDS.into_iter().zip([false, true, true]) {
        let disk = Disk::new(empty(kind));
        let volume = mount(&disk);
        assert!(!volume.was_dirty(), "{kind:?}");
        wait(volume.write("a", b"x")).unwrap();
        assert!(!volume.was_dirty(), "it is about the time of the mount");
        assert_eq!(mount(&disk).was_dirty(), has_mark, "{kind:?}");
        wait(volume.sync()).unwrap();
        assert!(!mount(&disk).was_dirty(), "{kind:?}");
        wait(volume.write("b", b"x")).unwrap();
        let again = mount(&disk);
        wait(again.write("c", b"x")).unwrap();
        wait(again.sync()).unwrap();
        assert_eq!(mount(&disk).was_dirty(), has_mark, "{kind:?}");
        let disk = Disk::new(mend(&disk.bytes.borrow()));
        assert!(!mount(&disk).was_dirty(), "{kind:?}");
    }
}
