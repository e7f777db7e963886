//! A disk in memory that logs what is done to it, and can fail.

use embassy_futures::yield_now;
use kv_server::device::{Device, DeviceError};
use std::sync::{Arc, Mutex, MutexGuard};
use ukvm_tests::random::Random;

/// Bytes that a disk writes whole or not at all.
pub(crate) const SECTOR: usize = 512;

/// What was done to the disk.
#[derive(Clone, Debug)]
enum Event {
    /// A write began.
    Write { offset: usize, bytes: Vec<u8> },
    /// A flush has ended: the writes that had ended when it began, by the places of their events in the log.
    Flushed(Vec<usize>),
}

/// Which flushes a disk carries out; it says that it has in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushes {
    /// Each.
    All,
    /// None.
    Never,
    /// Those of the database's header: not those before it, of the pages that it names.
    Headers,
}

/// Where the pages of the database begin that its header names.
const BEHIND_HEADER: usize = 8192;

/// How a disk fails.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Reads.
    pub(crate) read: Option<DeviceError>,
    /// The one read behind so many others.
    pub(crate) read_after: Option<usize>,
    /// Writes.
    pub(crate) write: Option<DeviceError>,
    /// Flushes.
    pub(crate) flush: Option<DeviceError>,
    /// Everything behind this byte, as on a disk that shrank.
    pub(crate) behind: Option<usize>,
    /// One in so many writes and flushes, by chance.
    pub(crate) one_in: Option<usize>,
}

#[derive(Debug)]
struct State {
    base: Vec<u8>,
    image: Vec<u8>,
    log: Vec<Event>,
    /// The writes that have ended since the last flush began.
    ended: Vec<usize>,
    random: Random,
    faults: Faults,
    flushes: Flushes,
    /// Whether something behind the header was written since the last flush.
    named: bool,
    /// Bytes that were read.
    read: usize,
    /// Bytes written since the last flush, and the most that these ever were.
    unflushed: usize,
    most_unflushed: usize,
}

/// The disk. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
}

impl Disk {
    /// A disk that holds `image`.
    pub(crate) fn new(image: Vec<u8>, seed: u64) -> Self {
        let state = State {
            base: image.clone(),
            image,
            log: Vec::new(),
            ended: Vec::new(),
            random: Random::new(seed),
            faults: Faults::default(),
            flushes: Flushes::All,
            named: false,
            read: 0,
            unflushed: 0,
            most_unflushed: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A sound one that holds `image`.
    pub(crate) fn with(image: Vec<u8>) -> Self {
        Self::new(image, 1)
    }

    /// Lets it fail from now on, or no longer.
    pub(crate) fn fail(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Says which flushes it carries out from now on.
    pub(crate) fn flushes(&self, flushes: Flushes) {
        self.state().flushes = flushes;
    }

    /// What is on it.
    pub(crate) fn image(&self) -> Vec<u8> {
        self.state().image.clone()
    }

    /// How many events there were so far: the time as this disk knows it.
    pub(crate) fn now(&self) -> usize {
        self.state().log.len()
    }

    /// How many bytes were read since this was last asked.
    pub(crate) fn take_read(&self) -> usize {
        std::mem::take(&mut self.state().read)
    }

    /// The most bytes that were written between two flushes since this was last asked.
    pub(crate) fn take_unflushed(&self) -> usize {
        std::mem::take(&mut self.state().most_unflushed)
    }

    /// What a crash of the host at `time` may leave: all that was flushed before, and of the other writes that had begun any sectors.
    pub(crate) fn crashed(&self, time: usize, random: &mut Random) -> Vec<u8> {
        let state = self.state();
        let log = &state.log[..time];
        let mut flushed = vec![false; time];
        for event in log {
            if let Event::Flushed(writes) = event {
                writes.iter().for_each(|&write| flushed[write] = true);
            }
        }
        let mut image = state.base.clone();
        // Of what is not flushed, at times nearly all is there, or nearly nothing.
        let part = random.below(5);
        for (event, flushed) in log.iter().zip(flushed) {
            let Event::Write { offset, bytes } = event else { continue };
            for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                if flushed || random.below(4) < part {
                    let start = offset + index * SECTOR;
                    image[start..start + sector.len()].copy_from_slice(sector);
                }
            }
        }
        image
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics inside")
    }

    /// Takes some time.
    async fn wait(&self) {
        let turns = self.state().random.below(4);
        for _ in 0..turns {
            yield_now().await;
        }
    }
}

impl State {
    /// Fails by chance.
    fn chance(&mut self) -> Result<(), DeviceError> {
        match self.faults.one_in {
            Some(others) if self.random.below(others) == 0 => Err(DeviceError::Failed),
            _ => Ok(()),
        }
    }
}

impl Device for Disk {
    fn size(&self) -> u64 {
        self.state().base.len() as u64
    }

    fn read_blocking(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let mut state = self.state();
        let start = usize::try_from(offset).expect("small");
        let end = start + buffer.len();
        assert!(start.is_multiple_of(SECTOR) && buffer.len().is_multiple_of(SECTOR));
        if state.faults.behind.is_some_and(|size| end > size) {
            return Err(DeviceError::Failed);
        }
        state.faults.read.map_or(Ok(()), Err)?;
        match state.faults.read_after {
            Some(0) => {
                state.faults.read_after = None;
                return Err(DeviceError::Failed);
            }
            more => state.faults.read_after = more.map(|others| others - 1),
        }
        buffer.copy_from_slice(&state.image[start..end]);
        state.read += buffer.len();
        Ok(())
    }

    async fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        let offset = usize::try_from(offset).expect("small");
        assert!(offset.is_multiple_of(SECTOR) && bytes.len().is_multiple_of(SECTOR));
        let place = {
            let mut state = self.state();
            state.log.push(Event::Write { offset, bytes: bytes.to_vec() });
            state.named |= offset + bytes.len() > BEHIND_HEADER;
            state.unflushed += bytes.len();
            state.most_unflushed = state.most_unflushed.max(state.unflushed);
            state.log.len() - 1
        };
        self.wait().await;
        let mut state = self.state();
        if state.faults.behind.is_some_and(|size| offset + bytes.len() > size) {
            return Err(DeviceError::Failed);
        }
        state.faults.write.map_or(Ok(()), Err)?;
        state.chance()?;
        state.image[offset..offset + bytes.len()].copy_from_slice(bytes);
        state.ended.push(place);
        Ok(())
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        let ended = {
            let mut state = self.state();
            let named = std::mem::take(&mut state.named);
            if state.flushes == Flushes::Never || (state.flushes == Flushes::Headers && named) {
                return Ok(());
            }
            std::mem::take(&mut state.ended)
        };
        self.wait().await;
        let mut state = self.state();
        // As on a host: what failed to be flushed is forgotten, and the next flush says nothing of it.
        state.faults.flush.map_or(Ok(()), Err)?;
        state.chance()?;
        state.unflushed = 0;
        state.log.push(Event::Flushed(ended));
        Ok(())
    }
}
