//! The devices of a Solo5 guest: those of every guest, asked for one thing at a time.

use super::calls::{EINVAL, EUNSPEC, OK};
use crate::config::DiskConfig;
use crate::device::Counters;
use crate::device::block::{self, BlockBackend, SizeError, check_size};
use crate::device::log::Log;
use crate::device::net::Net;
use crate::error::Error;
use crate::memory::{GuestBuffer, Memory};
use std::io;
use std::sync::Arc;

/// The least and the most bytes of a sector: what the manifest's 16 bits can hold of powers of two.
const MIN_BLOCK: u32 = 512;
const MAX_BLOCK: u32 = 32768;

/// A device.
#[derive(Debug)]
pub enum HvtDevice {
    /// Of type NET_BASIC.
    Net(Box<Net>),
    /// Of type BLOCK_BASIC.
    Disk(Disk),
}

/// A disk whose requests are carried out at once: the guest waits for each.
#[derive(Debug)]
pub struct Disk {
    backend: Arc<dyn BlockBackend>,
    block_size: u32,
    read_only: bool,
    counters: Counters,
    log: Log,
}

impl HvtDevice {
    /// Whether it is a network device.
    #[must_use]
    pub const fn is_net(&self) -> bool {
        matches!(self, Self::Net(_))
    }

    /// Whether it is a disk.
    #[must_use]
    pub const fn is_disk(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        match self {
            Self::Net(net) => crate::device::Device::counters(net.as_ref()),
            Self::Disk(disk) => disk.counters,
        }
    }
}

impl Disk {
    /// Opens what is behind a disk.
    ///
    /// # Errors
    ///
    /// As [`block::open`], and where it cannot have the sectors that are wanted (78).
    pub fn open(config: DiskConfig) -> Result<Self, Error> {
        let wanted = config.block_size;
        let block::Disk { backend, read_only, label } = block::open(config)?;
        let own = backend.block_size();
        let block_size = wanted.unwrap_or(own);
        // Only the host's page cache takes less than a block of the device.
        let least = if backend.direct().is_some() { own } else { MIN_BLOCK };
        if !block_size.is_power_of_two() || !(least..=MAX_BLOCK).contains(&block_size) {
            return Err(SizeError::Sector { label, size: block_size, least }.into());
        }
        check_size(&label, backend.capacity(), block_size)?;
        let log = Log::new(format!("disk `{label}`"));
        Ok(Self { backend, block_size, read_only, counters: Counters::default(), log })
    }

    /// Its size in bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.backend.capacity()
    }

    /// The unit of requests in bytes, as the guest is told.
    #[must_use]
    pub const fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Whether the guest may only read it.
    #[must_use]
    pub const fn read_only(&self) -> bool {
        self.read_only
    }

    /// Reads to `buffer`; the call's result.
    pub(super) fn read(&mut self, buffer: GuestBuffer, offset: u64, memory: &Memory) -> i32 {
        if !self.is_inside(buffer, offset) {
            return EINVAL;
        }
        let result = self.backend.read(&memory.slice(buffer), offset);
        if result.is_ok() {
            self.counters.bytes_in += buffer.len() as u64;
            self.counters.requests_in += 1;
        }
        self.end("reading", buffer, offset, result)
    }

    /// Writes from `buffer`; the call's result.
    pub(super) fn write(&mut self, buffer: GuestBuffer, offset: u64, memory: &Memory) -> i32 {
        if !self.is_inside(buffer, offset) {
            return EINVAL;
        }
        if self.read_only {
            return EUNSPEC;
        }
        let result = self.backend.write(&memory.slice(buffer), offset);
        if result.is_ok() {
            self.counters.bytes_out += buffer.len() as u64;
            self.counters.requests_out += 1;
        }
        self.end("writing", buffer, offset, result)
    }

    fn is_inside(&self, buffer: GuestBuffer, offset: u64) -> bool {
        let capacity = self.backend.capacity();
        let end = offset.checked_add(buffer.len() as u64);
        offset < capacity && end.is_some_and(|end| end <= capacity)
    }

    fn end(&mut self, what: &str, buffer: GuestBuffer, offset: u64, result: io::Result<()>) -> i32 {
        match result {
            Ok(()) => OK,
            Err(error) => {
                self.counters.errors += 1;
                self.log.say(format_args!("{what} {} bytes at {offset} failed: {error}", buffer.len()));
                EUNSPEC
            }
        }
    }
}
