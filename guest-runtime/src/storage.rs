//! Files on disks: tar archives and FAT file systems, by the crate `ukvm-storage`.
//!
//! To read them:
//!
//! ```ignore
//! let store = Store::open(Disk::open("site")?).await?;
//! if let Some(Entry::File(file)) = store.find("index.html").await? {
//!     let mut bytes = vec![0; file.size() as usize];
//!     store.read_at(&file, 0, &mut bytes).await?;
//! }
//! ```
//!
//! and to write them, on FAT:
//!
//! ```ignore
//! let volume = Volume::mount::<WallClock>(Disk::open("data")?).await?;
//! volume.write("notes/today.txt", b"hello").await?;
//! volume.sync().await?;
//! ```
//!
//! A disk that the monitor has mapped is read without a request.

pub use ukvm_storage::fat::{Clock, Metadata, OpenFile, OpenOptions, Volume, VolumeError};
pub use ukvm_storage::*;

use crate::block::{self, Disk, LARGE};
use crate::time;

/// The time of day, for the dates of files.
#[derive(Debug)]
pub struct WallClock;

impl Clock for WallClock {
    fn now() -> u64 {
        time::wall().as_secs()
    }
}

impl Device for Disk {
    fn size(&self) -> u64 {
        self.len()
    }

    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
        if self.read_mapped(offset, buffer).await {
            return Ok(());
        }
        read_bytes(self, offset, buffer).await
    }
}

impl WritableDevice for Disk {
    fn is_writable(&self) -> bool {
        !self.is_read_only()
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), WriteFailed> {
        write_bytes(self, offset, bytes).await
    }

    async fn flush(&self) -> Result<(), WriteFailed> {
        Self::flush(self).await.map_err(refused)
    }
}

impl Blocks for Disk {
    fn block_size(&self) -> usize {
        Self::block_size(self)
    }

    async fn read_blocks(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
        // These are the blocks of a read that has asked the mapping already: a large one must not count a second time.
        if buffer.len() < LARGE && self.read_mapped(offset, buffer).await {
            return Ok(());
        }
        self.read_by_requests(offset, buffer).await.map_err(|_| ReadFailed)
    }
}

impl WritableBlocks for Disk {
    async fn write_blocks(&self, offset: u64, bytes: &[u8]) -> Result<(), WriteFailed> {
        self.write(offset, bytes).await.map_err(refused)
    }
}

fn refused(error: block::Error) -> WriteFailed {
    match error {
        block::Error::ReadOnly => WriteFailed::ReadOnly,
        block::Error::NoSpace => WriteFailed::NoSpace,
        _ => WriteFailed::Io,
    }
}
