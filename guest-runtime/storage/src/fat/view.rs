//! A device as a FAT driver reads and writes it.

use crate::device::{Device, ReadFailed, ReadOnly, WritableDevice, WriteFailed};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use hadris_io::{Error, ErrorType};
use hadris_storage::async_::BlockDevice;
use hadris_storage::{BlockIndex, BlockSize};

/// The unit in which the FAT driver addresses a device, in bytes.
pub(super) const BLOCK: u32 = 512;

/// The unit in which a device is read, in bytes: one page, as a read of less costs the same.
pub const WINDOW: usize = 4096;

/// The unit after the first few reads, in bytes: whoever is still searching then is in a directory of many entries, and
/// four pages cost little more than one.
pub const LARGE_WINDOW: usize = 4 * WINDOW;

/// How many reads are small: enough for the boot sector, the FAT, a small directory and the file.
const SMALL_READS: u64 = 4;

/// The most bytes that one request to the device reads or writes: they are in memory twice while it lasts.
const LONGEST: usize = 256 << 10;

/// A device with a little memory: what FAT drivers of the crate `hadris-fat` stand on.
///
/// It reads whole pages and remembers the two places last read, one for the FAT and one for what the FAT describes. What is written
/// goes to the device at once, in the driver's order. The device is cloned for each request: it is a reference, or counts them.
pub struct View<'d, D> {
    device: D,
    /// How long a request may last.
    requests: PhantomData<&'d D>,
    /// The one last used is in front.
    windows: [Window; 2],
    reads: u64,
    most_reads: u64,
}

/// Bytes of the device in memory; empty at first.
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

    /// Takes over what of `bytes`, which now are at `offset`, lies inside.
    fn update(&mut self, offset: u64, bytes: &[u8]) {
        let end = self.start + self.bytes.len() as u64;
        let from = offset.max(self.start);
        let to = (offset + bytes.len() as u64).min(end);
        if from < to {
            let count = (to - from) as usize;
            let (here, there) = ((from - self.start) as usize, (from - offset) as usize);
            self.bytes[here..here + count].copy_from_slice(&bytes[there..there + count]);
        }
    }
}

/// A failure of a view: that of the device, or its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewError {
    /// The device refused to read.
    Read(ReadFailed),
    /// The device refused to write.
    Write(WriteFailed),
    /// What the image describes takes more reads than any sound one.
    TooManyReads,
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(failed) => failed.fmt(f),
            Self::Write(failed) => failed.fmt(f),
            Self::TooManyReads => f.write_str("the file system takes more reads than a sound one"),
        }
    }
}

impl core::error::Error for ViewError {}

impl<'d, D: Device> View<'d, ReadOnly<&'d D>> {
    /// A view that is only read, and at most so many times: an image that asks for more is broken, or made to keep its reader busy.
    pub fn of(device: &'d D, most_reads: u64) -> Self {
        Self::new(ReadOnly(device), most_reads)
    }
}

impl<'d, D: WritableDevice + Clone + 'd> View<'d, D> {
    /// A view that has read nothing yet.
    pub(crate) fn new(device: D, most_reads: u64) -> Self {
        Self { device, requests: PhantomData, windows: Default::default(), reads: 0, most_reads }
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

    /// Starts to read what is at `offset`, of which `wanted` bytes are asked for: the window around it, or more if that is asked for.
    fn fetch(&mut self, offset: u64, wanted: usize) -> Result<(u64, Request<'d>), ViewError> {
        self.reads = self.reads.saturating_add(1);
        if self.reads > self.most_reads {
            return Err(ViewError::TooManyReads);
        }
        let size = if self.reads <= SMALL_READS { WINDOW } else { LARGE_WINDOW };
        let (start, size) = if wanted > LARGE_WINDOW {
            (offset, wanted.min(LONGEST))
        } else {
            let start = offset - offset % WINDOW as u64;
            let left = usize::try_from(self.device.size() - start).unwrap_or(usize::MAX);
            (start, size.min(left - left % BLOCK as usize))
        };
        let device = self.device.clone();
        let request = Box::pin(async move {
            let mut bytes = vec![0; size];
            device.read_at(start, &mut bytes).await.map(|()| bytes).map_err(ViewError::Read)
        });
        Ok((start, request))
    }

    /// Starts to write these bytes at `offset`.
    fn put(&mut self, offset: u64, bytes: &[u8]) -> (u64, Request<'d>) {
        for window in &mut self.windows {
            window.update(offset, bytes);
        }
        let (device, bytes) = (self.device.clone(), bytes.to_vec());
        let request = Box::pin(async move {
            device.write_at(offset, &bytes).await.map(|()| bytes).map_err(ViewError::Write)
        });
        (offset, request)
    }

    /// Forgets what was read: what is on the device is not known.
    fn forget(&mut self) {
        self.windows = Default::default();
    }
}

/// A request to the device, and the bytes that it moved.
type Request<'d> = Pin<Box<dyn Future<Output = Result<Vec<u8>, ViewError>> + 'd>>;

/// How far one operation of the FAT driver has come.
#[derive(Default)]
pub struct Progress<'d> {
    done: usize,
    /// The request to the device that is under way, and its offset there.
    request: Option<(u64, Request<'d>)>,
}

impl<D> ErrorType for View<'_, D> {
    type Error = ViewError;
}

impl<'d, D: WritableDevice + Clone + 'd> BlockDevice for View<'d, D> {
    type State = Progress<'d>;

    fn block_size(&self) -> BlockSize {
        const SIZE: BlockSize = match BlockSize::new(BLOCK) {
            Some(size) => size,
            None => panic!("a block has bytes"),
        };
        SIZE
    }

    fn block_count(&self) -> u64 {
        self.device.size() / u64::from(BLOCK)
    }

    fn writable(&self) -> bool {
        self.device.is_writable()
    }

    fn poll_read_blocks(
        &mut self,
        state: &mut Progress<'d>,
        context: &mut Context<'_>,
        first: BlockIndex,
        buffer: &mut [u8],
    ) -> Poll<Result<(), Error<ViewError>>> {
        // The trait has checked that the blocks are on the device.
        let offset = first.get() * u64::from(BLOCK);
        loop {
            if let Some((start, request)) = &mut state.request {
                let start = *start;
                let bytes = ready!(request.as_mut().poll(context)).map_err(failed)?;
                state.request = None;
                if bytes.len() > LARGE_WINDOW {
                    // Asked for as they are, and too many to be kept.
                    buffer[state.done..state.done + bytes.len()].copy_from_slice(&bytes);
                    state.done += bytes.len();
                } else {
                    // The window that was not used last gives way.
                    self.windows[1] = Window { start, bytes };
                }
            }
            state.done += self.copy(offset + state.done as u64, &mut buffer[state.done..]);
            if state.done == buffer.len() {
                return Poll::Ready(Ok(()));
            }
            let wanted = buffer.len() - state.done;
            state.request = Some(self.fetch(offset + state.done as u64, wanted).map_err(failed)?);
        }
    }

    fn poll_write_blocks(
        &mut self,
        state: &mut Progress<'d>,
        context: &mut Context<'_>,
        first: BlockIndex,
        buffer: &[u8],
    ) -> Poll<Result<(), Error<ViewError>>> {
        loop {
            if let Some((_, request)) = &mut state.request {
                let written = ready!(request.as_mut().poll(context));
                state.request = None;
                match written {
                    Ok(bytes) => state.done += bytes.len(),
                    Err(error) => {
                        self.forget();
                        return Poll::Ready(Err(failed(error)));
                    }
                }
            }
            let left = &buffer[state.done..];
            if left.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let offset = first.get() * u64::from(BLOCK) + state.done as u64;
            state.request = Some(self.put(offset, &left[..left.len().min(LONGEST)]));
        }
    }

    fn poll_flush(
        &mut self,
        state: &mut Progress<'d>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error<ViewError>>> {
        let device = &self.device;
        let (_, request) = state.request.get_or_insert_with(|| {
            let device = device.clone();
            (0, Box::pin(async move { device.flush().await.map(|()| Vec::new()).map_err(ViewError::Write) }))
        });
        request.as_mut().poll(context).map(|flushed| flushed.map(drop).map_err(failed))
    }

    fn cancel(&mut self, state: &mut Progress<'d>) {
        state.request = None;
        self.forget();
    }
}

/// An error as the FAT driver passes it on.
fn failed(error: ViewError) -> Error<ViewError> {
    let reason = match error {
        ViewError::Read(_) => "reading the disk failed",
        ViewError::Write(_) => "writing the disk failed",
        ViewError::TooManyReads => "the disk was read too often",
    };
    Error::device(error, reason)
}
