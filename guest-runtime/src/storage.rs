//! Files on disks: tar archives and FAT file systems, by the crate `ukvm-storage`.
//!
//! ```ignore
//! let store = Store::open(Disk::open("site")?).await?;
//! if let Some(Entry::File(file)) = store.find("index.html").await? {
//!     let mut bytes = vec![0; file.size() as usize];
//!     store.read_at(&file, 0, &mut bytes).await?;
//! }
//! ```
//!
//! A disk that the monitor has mapped is read without a request.

pub use ukvm_storage::*;

use crate::block::Disk;

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

impl Blocks for Disk {
    fn block_size(&self) -> usize {
        Self::block_size(self)
    }

    async fn read_blocks(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
        self.read(offset, buffer).await.map_err(|_| ReadFailed)
    }
}
