//! The disk as a FAT driver reads it: one view for each request.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use hadris_io::{Error, ErrorType};
use hadris_storage::async_::BlockDevice;
use hadris_storage::{BlockIndex, BlockSize};

/// What the service needs of a disk.
pub trait Disk {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from byte `offset`. Both ends are multiples of [`BLOCK`], and of [`WINDOW`] unless the disk ends there.
    ///
    /// # Errors
    ///
    /// Where the disk, or the host below it, cannot read these bytes.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> impl Future<Output = Result<(), ReadFailed>>;
}

/// A read that the disk refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadFailed;

impl fmt::Display for ReadFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk cannot be read")
    }
}

impl core::error::Error for ReadFailed {}

/// The unit in which the FAT driver addresses a disk, in bytes.
pub const BLOCK: u32 = 512;

/// The unit in which the disk is read, in bytes: one page, as a read of less costs the same.
pub const WINDOW: usize = 4096;

/// The unit after the first few reads, in bytes: whoever is still searching then is in a directory of many entries, and
/// four pages cost little more than one.
pub const LARGE_WINDOW: usize = 4 * WINDOW;

/// How many reads are small: enough for the boot sector, the FAT, a small directory and the file.
const SMALL_READS: u32 = 4;

/// The most reads that one view makes. A root directory has at most 65,536 entries of 32 bytes: with the smallest cluster,
/// scattered so that each entry of the FAT is in another window than the last, it takes 8,192 reads. An image that asks for
/// more is broken, or made to keep the service busy.
const MOST_READS: u32 = 10_000;

/// A disk during one request. It reads whole pages and remembers the two places last read, one for the FAT and one for
/// what the FAT describes; all that is forgotten with it, so the next request reads the disk again.
pub struct View<'d, D> {
    disk: &'d D,
    /// The one last used is in front.
    windows: [Window; 2],
    /// How many reads there were.
    reads: u32,
}

/// Bytes of the disk in memory; empty at first.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The bytes from `offset` to the end, if `offset` is inside.
    fn from(&self, offset: u64) -> Option<&[u8]> {
        let skipped = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(skipped..).filter(|rest| !rest.is_empty())
    }
}

/// A failure of a view: that of the disk, or its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewError {
    /// The disk refused to read.
    Disk(ReadFailed),
    /// What the image describes takes more reads than any sound one.
    TooManyReads,
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(failed) => failed.fmt(f),
            Self::TooManyReads => f.write_str("the file system takes more reads than a sound one"),
        }
    }
}

impl core::error::Error for ViewError {}

impl<'d, D: Disk> View<'d, D> {
    /// A view that has read nothing yet.
    pub fn new(disk: &'d D) -> Self {
        Self { disk, windows: Default::default(), reads: 0 }
    }

    /// Copies what the windows hold from `offset` on into `buffer`, and says how much that is.
    fn copy(&mut self, offset: u64, buffer: &mut [u8]) -> usize {
        if self.windows[1].from(offset).is_some() {
            self.windows.swap(0, 1);
        }
        let Some(bytes) = self.windows[0].from(offset) else { return 0 };
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        count
    }

    /// Starts to read the window from the page of `offset` on.
    fn fetch(&mut self, offset: u64) -> Result<Fetch<'d>, ViewError> {
        self.reads += 1;
        if self.reads > MOST_READS {
            return Err(ViewError::TooManyReads);
        }
        let start = offset - offset % WINDOW as u64;
        let size = if self.reads <= SMALL_READS { WINDOW } else { LARGE_WINDOW };
        let left = usize::try_from(self.disk.size() - start).unwrap_or(usize::MAX);
        let size = size.min(left - left % BLOCK as usize);
        let disk = self.disk;
        let bytes = Box::pin(async move {
            let mut bytes = vec![0; size];
            disk.read(start, &mut bytes).await.map(|()| bytes)
        });
        Ok(Fetch { start, bytes })
    }
}

/// A window that is being read.
struct Fetch<'d> {
    start: u64,
    bytes: Pin<Box<dyn Future<Output = Result<Vec<u8>, ReadFailed>> + 'd>>,
}

/// How far one read of the FAT driver has come.
#[derive(Default)]
pub struct Progress<'d> {
    done: usize,
    fetch: Option<Fetch<'d>>,
}

impl<D> ErrorType for View<'_, D> {
    type Error = ViewError;
}

impl<'d, D: Disk> BlockDevice for View<'d, D> {
    type State = Progress<'d>;

    fn block_size(&self) -> BlockSize {
        const SIZE: BlockSize = match BlockSize::new(BLOCK) {
            Some(size) => size,
            None => panic!("a block has bytes"),
        };
        SIZE
    }

    fn block_count(&self) -> u64 {
        self.disk.size() / u64::from(BLOCK)
    }

    fn poll_read_blocks(
        &mut self,
        state: &mut Progress<'d>,
        context: &mut Context<'_>,
        first: BlockIndex,
        buffer: &mut [u8],
    ) -> Poll<Result<(), Error<ViewError>>> {
        let failed = |error| Poll::Ready(Err(Error::device(error, "reading the disk failed")));
        loop {
            if let Some(fetch) = &mut state.fetch {
                match ready!(fetch.bytes.as_mut().poll(context)) {
                    // The window that was not used last gives way.
                    Ok(bytes) => self.windows[1] = Window { start: fetch.start, bytes },
                    Err(error) => return failed(ViewError::Disk(error)),
                }
                state.fetch = None;
            }
            // The trait has checked that the blocks are on the disk.
            let offset = first.get() * u64::from(BLOCK) + state.done as u64;
            state.done += self.copy(offset, &mut buffer[state.done..]);
            if state.done == buffer.len() {
                return Poll::Ready(Ok(()));
            }
            let offset = first.get() * u64::from(BLOCK) + state.done as u64;
            match self.fetch(offset) {
                Ok(fetch) => state.fetch = Some(fetch),
                Err(error) => return failed(error),
            }
        }
    }

    fn cancel(&mut self, state: &mut Progress<'d>) {
        state.fetch = None;
    }
}
