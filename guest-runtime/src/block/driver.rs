//! A disk behind the trait of the crate block-device-driver.

use super::{Disk, Error};
use aligned::{A4, Aligned};
use block_device_driver::{BlockDevice, blocks_to_slice, blocks_to_slice_mut};

/// Blocks of any size that is a multiple of the [disk's](Disk::block_size); another one is [`Error::Unaligned`].
///
/// The trait counts blocks in 32 bits: with 512 bytes each it reaches 2 TiB. [`Disk`] itself reaches all.
impl<const SIZE: usize> BlockDevice<SIZE> for Disk {
    type Error = Error;
    /// The monitor asks for no alignment of memory; words are what file systems like to find.
    type Align = A4;

    async fn read(&mut self, block_address: u32, data: &mut [Aligned<A4, [u8; SIZE]>]) -> Result<(), Error> {
        Self::read(self, u64::from(block_address) * SIZE as u64, blocks_to_slice_mut(data)).await
    }

    async fn write(&mut self, block_address: u32, data: &[Aligned<A4, [u8; SIZE]>]) -> Result<(), Error> {
        Self::write(self, u64::from(block_address) * SIZE as u64, blocks_to_slice(data)).await
    }

    async fn size(&mut self) -> Result<u64, Error> {
        Ok(self.len())
    }
}
