//! The file of the database, on a disk.
//!
//! redb's interface to its file is synchronous. To wait for the disk there would stop everything else in a program with one thread. So
//! what redb writes stays in memory, in [`Pending`], and [`Shared::settle`] brings it to the disk later, in the order that redb's syncs
//! ask for. Until then no transaction counts as done. Only to read a page that is in no cache waits for the disk.
//!
//! The database begins at the second page of the disk, behind the [`Superblock`].

use crate::device::{Device, DeviceError};
use crate::pending::{PAGE, Page, Pending, Run};
use crate::superblock::Superblock;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;
use redb::{BackendError, StorageBackend};
use spin::Mutex;

/// The most pages that one request to the disk writes.
const LONGEST_RUN: usize = 64;

/// The most pages that are written side by side: so many are copied for that.
const WINDOW: usize = 256;

/// Bytes that are read at once where all of the database is.
const PRELOAD: usize = 1 << 20;

/// Why the database could not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The disk could not be read.
    Read(DeviceError),
    /// The disk could not be written or flushed.
    Write(DeviceError),
    /// The store needs more room than the disk has.
    Full,
    /// One transaction would change more than the memory has room for.
    Large,
    /// What is on the disk is not what was written there.
    Damaged,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "the disk cannot be read: {error}"),
            Self::Write(error) => write!(f, "the disk cannot be written: {error}"),
            Self::Full => f.write_str("the disk is full: delete keys, or use a larger disk"),
            Self::Large => f.write_str(
                "the command changes too much at once: name fewer keys, or give the guest more memory",
            ),
            Self::Damaged => f.write_str("the store is damaged"),
        }
    }
}

impl core::error::Error for Failure {}

/// The disk with what is not yet on it.
#[derive(Debug)]
pub struct Shared<D> {
    device: D,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pending: Pending,
    /// The most bytes that may be pending, without those that save which pages are in use.
    most: usize,
    /// Bytes of the database.
    length: u64,
    /// How many it had at the last sync.
    synced_length: u64,
    /// All of the database as it was when it was opened, as long as that is under way.
    preloaded: Vec<u8>,
    /// Whether `length` is not to be written into the superblock yet.
    creating: bool,
    /// The first page of the database, of which redb writes only the beginning, again and again.
    header: Option<Arc<Page>>,
    /// Which of the [`Backend`]s may do anything: the last one.
    generation: u64,
    /// How often the disk was read.
    reads: u64,
    /// Why the last call failed.
    failure: Option<Failure>,
}

impl<D: Device> Shared<D> {
    /// A disk, whose database has `length` bytes, or none if that is 0. A transaction may write `most` bytes.
    #[must_use]
    pub fn new(device: D, length: u64, most: usize) -> Arc<Self> {
        let state = State {
            pending: Pending::default(),
            most,
            length,
            synced_length: length,
            preloaded: Vec::new(),
            creating: length == 0,
            header: None,
            generation: 0,
            reads: 0,
            failure: None,
        };
        Arc::new(Self { device, state: Mutex::new(state) })
    }

    /// Bytes of the database.
    pub fn length(&self) -> u64 {
        self.state.lock().length
    }

    /// The most bytes that the database can have.
    pub fn limit(&self) -> u64 {
        (self.device.size() / PAGE as u64).saturating_sub(1) * PAGE as u64
    }

    /// The file for a database that is to be opened. Those given before can do nothing any more, and what they wrote since their last sync
    /// is forgotten.
    pub fn backend(self: &Arc<Self>) -> Backend<D> {
        let mut state = self.state.lock();
        state.generation += 1;
        state.failure = None;
        state.header = None;
        state.pending.discard_open();
        state.length = state.synced_length;
        Backend { shared: self.clone(), generation: state.generation }
    }

    /// How often the disk was read for the database, so far.
    pub fn reads(&self) -> u64 {
        self.state.lock().reads
    }

    /// Why the last call of the database failed, if one did since its file was given out.
    pub fn failure(&self) -> Option<Failure> {
        self.state.lock().failure
    }

    /// Makes the database as long as can be, for one that is opened next: redb itself only doubles its file.
    pub fn extend(&self) {
        let limit = self.limit();
        let mut state = self.state.lock();
        state.pending.discard_open();
        state.set_length(limit);
        state.sync();
    }

    /// Reads all of the database at once, for those who will read every page of it. To be [forgotten](Self::forget_preloaded) before
    /// anything is [settled](Self::settle).
    ///
    /// # Errors
    ///
    /// The failure.
    pub fn preload(&self) -> Result<(), Failure> {
        let mut state = self.state.lock();
        let mut bytes = vec![0; usize::try_from(state.length).unwrap_or_default()];
        let mut at = PAGE as u64;
        for piece in bytes.chunks_mut(PRELOAD) {
            self.device.read_blocking(at, piece).map_err(Failure::Read)?;
            at += piece.len() as u64;
        }
        state.preloaded = bytes;
        Ok(())
    }

    /// Ends what [`preload`](Self::preload) began.
    pub fn forget_preloaded(&self) {
        self.state.lock().preloaded = Vec::new();
    }

    /// Brings what was written and synced to the disk. After an error all of it that may not be durable stays in memory, to be written
    /// again by the next call: a host that has failed to flush may have forgotten what it was to flush.
    ///
    /// # Errors
    ///
    /// The failure.
    pub async fn settle(&self) -> Result<(), Failure> {
        loop {
            let mut from = 0;
            loop {
                let runs = self.state.lock().pending.first(from, WINDOW, LONGEST_RUN);
                let Some(runs) = runs else { return Ok(()) };
                let Some(last) = runs.last() else { break };
                from = last.end();
                self.write(&runs).await.map_err(Failure::Write)?;
            }
            self.device.flush().await.map_err(Failure::Write)?;
            self.state.lock().pending.remove_first();
        }
    }

    /// Forgets what waits for the disk, where none of it is of a transaction: the disk then holds what a crash might have left.
    pub fn forget_pending(&self) {
        self.state.lock().pending = Pending::default();
    }

    /// As [`settle`](Self::settle), for a new database. Only when all of it is durable does the superblock say that it is there.
    ///
    /// # Errors
    ///
    /// The failure.
    pub async fn settle_new(&self) -> Result<(), Failure> {
        self.state.lock().pending.merge();
        self.settle().await?;
        {
            let mut state = self.state.lock();
            state.creating = false;
            let length = state.length;
            state.set_length(length);
            state.sync();
        }
        self.settle().await
    }

    /// Writes all runs of pages side by side.
    async fn write(&self, runs: &[Run]) -> Result<(), DeviceError> {
        let mut writes: Vec<Pin<Box<_>>> =
            runs.iter().map(|run| Box::pin(self.device.write(run.first * PAGE as u64, &run.bytes))).collect();
        let mut outcome = Ok(());
        poll_fn(|context| {
            writes.retain_mut(|write| match write.as_mut().poll(context) {
                Poll::Ready(result) => {
                    outcome = outcome.and(result);
                    false
                }
                Poll::Pending => true,
            });
            if writes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        outcome
    }
}

/// The file of one opened database.
#[derive(Debug)]
pub struct Backend<D> {
    shared: Arc<Shared<D>>,
    generation: u64,
}

/// The page of the disk with that byte of the database, and where in the page.
const fn place(offset: u64) -> (u64, usize) {
    (offset / PAGE as u64 + 1, (offset % PAGE as u64) as usize)
}

impl<D: Device> Backend<D> {
    /// Does something with the state, as long as this is the database's file.
    fn with<T>(&self, f: impl FnOnce(&mut State, &D) -> Result<T, Failure>) -> Result<T, BackendError> {
        let mut state = self.shared.state.lock();
        if state.generation != self.generation {
            return Err(BackendError::Other("the database was opened anew".into()));
        }
        f(&mut state, &self.shared.device).map_err(|failure| {
            state.failure = Some(failure);
            BackendError::Other(Box::new(failure))
        })
    }
}

impl State {
    /// Ends a group of pages.
    fn sync(&mut self) {
        self.pending.close();
        self.synced_length = self.length;
    }

    /// Makes the database so long.
    fn set_length(&mut self, length: u64) {
        self.length = length;
        if !self.creating {
            // This page is always taken: without it the length would be another one.
            let _ = self.pending.write(0, Arc::new(Superblock::page(length)), usize::MAX);
        }
    }

    /// Puts a page where it waits for the disk.
    fn write(&mut self, number: u64, page: Arc<Page>) -> Result<(), Failure> {
        // Which pages are in use takes 64 KiB for each GiB, and may be written to another place than before.
        let in_use = usize::try_from(self.length >> 13).unwrap_or(usize::MAX);
        let most = self.most.saturating_add(in_use) / PAGE;
        if self.pending.write(number, page, most) { Ok(()) } else { Err(Failure::Large) }
    }

    /// The contents of a page.
    fn page<D: Device>(&mut self, number: u64, device: &D) -> Result<Arc<Page>, Failure> {
        let (header, _) = place(0);
        if let Some(page) = self.pending.get(number) {
            return Ok(page.clone());
        }
        if let (true, Some(page)) = (number == header, &self.header) {
            return Ok(page.clone());
        }
        let mut page = [0; PAGE];
        self.read(number, &mut page, device)?;
        let page = Arc::new(page);
        if number == header {
            self.header = Some(page.clone());
        }
        Ok(page)
    }

    /// Reads whole pages of which none is pending.
    fn read<D: Device>(&mut self, first: u64, out: &mut [u8], device: &D) -> Result<(), Failure> {
        let preloaded = usize::try_from(first - 1).ok().and_then(|page| {
            let start = page.checked_mul(PAGE)?;
            self.preloaded.get(start..start.checked_add(out.len())?)
        });
        match preloaded {
            Some(bytes) => out.copy_from_slice(bytes),
            None => {
                self.reads += 1;
                device.read_blocking(first * PAGE as u64, out).map_err(Failure::Read)?;
            }
        }
        Ok(())
    }

    /// Checks that a range is inside the database.
    fn check(&self, offset: u64, length: usize) -> Result<(), Failure> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.length => Ok(()),
            _ => Err(Failure::Damaged),
        }
    }
}

impl<D: Device> StorageBackend for Backend<D> {
    fn len(&self) -> Result<u64, BackendError> {
        self.with(|state, _| Ok(state.length))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), BackendError> {
        self.with(|state, device| {
            state.check(offset, out.len())?;
            let (first, mut at) = place(offset);
            let pages = (out.len() / PAGE) as u64;
            if at == 0 && out.len().is_multiple_of(PAGE) && !state.pending.touches(first..first + pages) {
                return state.read(first, out, device);
            }
            let mut rest = out;
            let mut number = first;
            while !rest.is_empty() {
                let page = state.page(number, device)?;
                let (piece, behind) = rest.split_at_mut(rest.len().min(PAGE - at));
                piece.copy_from_slice(&page[at..at + piece.len()]);
                (rest, number, at) = (behind, number + 1, 0);
            }
            Ok(())
        })
    }

    // What lies behind the old end is as it is. redb reads no page that it has not written before.
    fn set_len(&self, len: u64) -> Result<(), BackendError> {
        let limit = self.shared.limit();
        self.with(|state, _| {
            if len > limit {
                return Err(Failure::Full);
            }
            state.set_length(len);
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<(), BackendError> {
        self.with(|state, _| {
            // Of a new database nothing counts before all of it is there.
            if !state.creating {
                state.sync();
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), BackendError> {
        self.with(|state, device| {
            state.check(offset, data.len())?;
            let (mut number, mut at) = place(offset);
            let (header, _) = place(0);
            let mut rest = data;
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(PAGE - at));
                let page = match piece.first_chunk() {
                    Some(whole) => Arc::new(*whole),
                    None => {
                        let mut page = match state.pending.get(number) {
                            Some(page) => **page,
                            None if state.creating => [0; PAGE],
                            None => *state.page(number, device)?,
                        };
                        page[at..at + piece.len()].copy_from_slice(piece);
                        Arc::new(page)
                    }
                };
                if number == header {
                    state.header = Some(page.clone());
                }
                state.write(number, page)?;
                (rest, number, at) = (behind, number + 1, 0);
            }
            Ok(())
        })
    }
}
