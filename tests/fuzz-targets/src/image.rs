//! Any bytes as a disk image: opened, walked, read and, on FAT, written.

use embassy_futures::block_on;
use hadris_fat::FatOptions;
use hadris_fs::{Content, Node, Tree};
use std::cell::{Cell, RefCell};
use tar_core::{EntryBuilder, EntryType, HEADER_SIZE, Header};
use ukvm_storage::fat::{Clock, OpenOptions, Volume};
use ukvm_storage::{Device, Entry, Listed, OpenError, ReadFailed, Store, WritableDevice, WriteFailed};

/// The memory of the index in bytes.
const INDEX: usize = 64 << 10;
/// The most requests to the disk that an input takes: the largest seed has some 200 blocks.
const MOST_REQUESTS: u32 = 200_000;
/// The bytes of a seed's FAT file system.
const FAT_SIZE: u64 = 64 << 10;

/// A disk in memory.
struct Disk {
    bytes: RefCell<Vec<u8>>,
    requests: Cell<u32>,
}

impl Disk {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), requests: Cell::new(0) }
    }

    fn count(&self) {
        self.requests.set(self.requests.get() + 1);
        assert!(self.requests.get() < MOST_REQUESTS, "it does not come to an end");
    }
}

impl Device for Disk {
    fn size(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }

    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
        self.count();
        buffer.copy_from_slice(&self.bytes.borrow()[offset as usize..][..buffer.len()]);
        Ok(())
    }
}

impl WritableDevice for Disk {
    fn is_writable(&self) -> bool {
        true
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), WriteFailed> {
        self.count();
        self.bytes.borrow_mut()[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    async fn flush(&self) -> Result<(), WriteFailed> {
        Ok(())
    }
}

/// Time stands still.
struct Never;

impl Clock for Never {
    fn now() -> u64 {
        0
    }
}

/// Has `data` but its first byte opened as an image and all of it read and written; if that byte is odd, with right checksums.
///
/// # Panics
///
/// Where it is neither opened nor refused with a sentence, or does not come to an end.
pub fn run(data: &[u8]) {
    let Some((mode, image)) = data.split_first() else { return };
    let mut image = image.to_vec();
    if mode % 2 == 1 {
        image.chunks_exact_mut(HEADER_SIZE).for_each(mend);
    }
    block_on(async {
        match Store::open_within(Disk::new(image.clone()), INDEX).await {
            Ok(store) => walk(&store).await,
            Err(error) => {
                let sentence = error.to_string();
                assert!(sentence.len() > 20 && !sentence.ends_with('.'), "{sentence}");
                assert!(!sentence.contains(|c: char| c.is_control()), "{sentence:?}");
                assert_ne!(error, OpenError::Read(ReadFailed), "no read fails");
            }
        }
        if let Ok(volume) = Volume::mount::<Never>(Disk::new(image)).await {
            write(&volume).await;
        }
    });
}

/// Gives a block that looks like a header of tar the right checksum.
fn mend(block: &mut [u8]) {
    let Ok(block) = <&mut [u8; HEADER_SIZE]>::try_from(block) else { return };
    let mut header = *Header::from_bytes(block);
    if header.is_ustar() || header.is_gnu() {
        header.set_checksum();
        *block = *header.as_bytes();
    }
}

async fn walk(store: &Store<Disk>) {
    let mut ahead = vec![String::new()];
    let mut buffer = vec![0; 4096];
    while let Some(directory) = ahead.pop() {
        let listed = store.list(&directory).await.expect("no read fails").expect("it is a directory");
        for Listed { name, entry, link } in listed {
            assert!(!name.contains('/') && !matches!(&*name, "" | "." | ".."), "{name:?}");
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            match entry {
                Entry::Directory if link => {}
                Entry::Directory => ahead.push(path),
                Entry::File(file) => {
                    assert!(matches!(store.find(&path).await, Ok(Some(Entry::File(_)))), "{path:?}");
                    for offset in [0, file.size() / 2, file.size().saturating_sub(1)] {
                        let expected = (file.size() - offset).min(buffer.len() as u64) as usize;
                        assert_eq!(store.read_at(&file, offset, &mut buffer).await, Ok(expected));
                    }
                }
            }
        }
    }
}

/// What of this succeeds is a matter of the image.
async fn write(volume: &Volume<Disk>) {
    let _ = volume.list("").await;
    let _ = volume.write("A", &[1; 3000]).await;
    let _ = volume.write("a long name.txt", &[2; 700]).await;
    if let Ok(mut file) = volume.open("a long name.txt", OpenOptions::new().write()).await {
        let _ = file.write_at(5000, b"x").await;
        let _ = file.set_size(100).await;
    }
    let _ = volume.create_directory("D/new").await;
    let _ = volume.rename("A", "D/B").await;
    let _ = volume.remove_file("D/DEEP").await;
    let _ = volume.sync().await;
}

/// An archive with entries of all kinds, and a FAT file system.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut archive = vec![1];
    for (kind, name, target, contents) in [
        (EntryType::Directory, "a/", "", ""),
        (EntryType::Regular, "a/file", "", "some contents"),
        (EntryType::Regular, &*"long".repeat(40), "", "more"),
        (EntryType::Link, "b", "a/file", ""),
        (EntryType::Symlink, "c", "a", ""),
        (EntryType::Symlink, "a/round", "../c", ""),
        (EntryType::Fifo, "pipe", "", ""),
    ] {
        for mut builder in [EntryBuilder::new_gnu(), EntryBuilder::new_ustar()] {
            builder.path(name).link_name(target).entry_type(kind);
            builder.size(contents.len() as u64).expect("a small size");
            archive.extend(builder.finish_bytes());
            archive.extend(contents.as_bytes());
            archive.resize((archive.len() - 1).next_multiple_of(HEADER_SIZE) + 1, 0);
        }
    }
    archive.extend([0; 2 * HEADER_SIZE]);
    let mut tree = Tree::new();
    for (path, length) in [("A", 2000), ("D/DEEP", 100), ("D/with a long name.txt", 600)] {
        tree.insert(path, Node::file(Content::bytes(vec![7; length]))).expect("a path");
    }
    let mut file_system = Vec::new();
    let options = FatOptions::new().with_size(FAT_SIZE).with_root_entries(16);
    let _ = hadris_fat::sync::write(&mut file_system, &tree, &options).expect("room for a few files");
    file_system.insert(0, 0);
    vec![archive, file_system]
}
