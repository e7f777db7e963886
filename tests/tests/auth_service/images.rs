//! File systems in memory, written by another implementation than the one that reads them.

use fatfs::{FatType, FormatVolumeOptions, FsOptions};
use std::cell::Cell;
use std::io::{Cursor, Write};
use std::ops::Range;
use ukvm_storage::{Device, ReadFailed};

/// A disk in memory that counts its reads.
pub(crate) struct MemoryDisk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reads: Cell<u32>,
    /// Bytes that cannot be read.
    pub(crate) bad: Range<u64>,
}

impl MemoryDisk {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, reads: Cell::new(0), bad: 0..0 }
    }
}

impl Device for MemoryDisk {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
        self.reads.set(self.reads.get() + 1);
        // As on a real disk: pending once, so that whoever reads has to keep its state.
        embassy_futures::yield_now().await;
        let end = offset + buffer.len() as u64;
        assert!(offset.is_multiple_of(512) && end.is_multiple_of(512), "{offset}..{end}");
        if offset < self.bad.end && self.bad.start < end {
            return Err(ReadFailed);
        }
        buffer.copy_from_slice(&self.bytes[offset as usize..end as usize]);
        Ok(())
    }
}

/// The smallest usual volume of each kind: its size in bytes and its clusters'.
pub(crate) const KINDS: [(FatType, usize, u32); 3] =
    [(FatType::Fat12, 1 << 20, 512), (FatType::Fat16, 8 << 20, 1024), (FatType::Fat32, 40 << 20, 512)];

/// An image of this kind with these files.
pub(crate) fn image(kind: FatType, files: &[(&str, &[u8])]) -> Vec<u8> {
    let &(_, size, cluster) = KINDS.iter().find(|entry| entry.0 == kind).unwrap();
    let mut disk = Cursor::new(vec![0; size]);
    let label = *b"ANN        ";
    let options = FormatVolumeOptions::new().fat_type(kind).bytes_per_cluster(cluster).volume_label(label);
    fatfs::format_volume(&mut disk, options).unwrap();
    let volume = fatfs::FileSystem::new(&mut disk, FsOptions::new()).unwrap();
    assert_eq!(volume.fat_type(), kind);
    let root = volume.root_dir();
    for (name, content) in files {
        match name.strip_suffix('/') {
            Some(directory) => drop(root.create_dir(directory).unwrap()),
            None => root.create_file(name).unwrap().write_all(content).unwrap(),
        }
    }
    drop(root);
    volume.unmount().unwrap();
    disk.into_inner()
}
