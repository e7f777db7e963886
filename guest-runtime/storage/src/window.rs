//! A few bytes of a device in memory.

use crate::device::{Device, ReadFailed};
use alloc::vec::Vec;

/// The unit in which headers are read, in bytes: one page, as a read of less costs the same.
const SIZE: usize = 4096;

/// The unit where headers are near each other, in bytes: four pages cost little more than one, and save reads.
const LARGE: usize = 4 * SIZE;

/// The bytes of a device that were read last. Headers of small files are near each other: one read serves several of them.
pub(crate) struct Window<'d, D> {
    device: &'d D,
    start: u64,
    bytes: Vec<u8>,
}

impl<'d, D: Device> Window<'d, D> {
    /// A window that has read nothing yet.
    pub(crate) fn new(device: &'d D) -> Self {
        Self { device, start: 0, bytes: Vec::new() }
    }

    /// At least `count` bytes from `offset` on, or `None` where the device ends before. The last `count` decides how much
    /// memory is held.
    ///
    /// # Errors
    ///
    /// Where the device refuses to read.
    pub(crate) async fn at(&mut self, offset: u64, count: usize) -> Result<Option<&[u8]>, ReadFailed> {
        let Some(left) = self.device.size().checked_sub(offset).filter(|left| *left >= count as u64) else {
            return Ok(None);
        };
        let end = self.start + self.bytes.len() as u64;
        if offset < self.start || offset.saturating_add(count as u64) > end {
            let near = offset.checked_sub(self.start).is_some_and(|distance| distance < 2 * LARGE as u64);
            let size =
                count.max(if near { LARGE } else { SIZE }).min(usize::try_from(left).unwrap_or(usize::MAX));
            self.start = offset;
            // Nothing of it counts if the read fails, or is given up.
            self.bytes.clear();
            let mut bytes = core::mem::take(&mut self.bytes);
            bytes.resize(size, 0);
            self.device.read_at(offset, &mut bytes).await?;
            self.bytes = bytes;
        }
        // It is inside the window, whose length is a usize.
        let skipped = (offset - self.start) as usize;
        Ok(self.bytes.get(skipped..))
    }
}
