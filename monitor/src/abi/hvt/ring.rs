//! The net ring of Solo5 since 0.11: entries that send or receive a frame, and commits of those that receive.
//!
//! | offset | size | field | written by |
//! |---|---|---|---|
//! | 0 | 4 | entries' tail | guest |
//! | 4 | 4 | commits' head | guest |
//! | 64 | 4 | entries' head | monitor |
//! | 68 | 4 | commits' tail | monitor |
//! | 72 | 4 | whether entries need a kick | monitor |
//! | 128 | 1024 × 32 | entries | guest |
//! | 32896 | 1024 × 16 | commits | monitor |
//!
//! Entries are served where the guest kicks, on the vCPU's thread, so that each needs one: that costs as much as a call and saves
//! it the copy of an argument block, and no other thread looks at the ring.

use super::calls::{self, EINVAL};
use super::devices::HvtDevice;
use crate::abi::Stop;
use crate::fault::Fault;
use crate::memory::{GuestBuffer, Memory};

/// Slots of either ring.
const SLOTS: u32 = 1024;
const ENTRIES_TAIL: u64 = 0;
const COMMITS_HEAD: u64 = 4;
const ENTRIES_HEAD: u64 = 64;
const COMMITS_TAIL: u64 = 68;
const NEEDS_KICK: u64 = 72;
const ENTRIES: u64 = 128;
const ENTRY_WORDS: u64 = 4;
const COMMITS: u64 = ENTRIES + SLOTS as u64 * ENTRY_WORDS * 8;

/// An entry's operations.
const WRITE: u32 = 1;
const READ: u32 = 2;

/// The monitor's end of the ring.
#[derive(Debug)]
pub(super) struct NetRing {
    gpa: u64,
    /// Entries taken.
    taken: u32,
    /// Commits made.
    committed: u32,
}

/// An entry, as it was when it was taken.
#[derive(Clone, Copy, Debug)]
struct Entry {
    operation: u32,
    handle: u32,
    data: u64,
    length: u32,
    id: u32,
}

impl NetRing {
    /// The ring at `gpa`, which is zeroed.
    pub(super) const fn new(gpa: u64) -> Self {
        Self { gpa, taken: 0, committed: 0 }
    }

    /// Says that entries need a kick, before the guest runs.
    pub(super) fn begin(&self, memory: &Memory) -> std::io::Result<()> {
        memory.write(self.gpa + NEEDS_KICK, &1_u32.to_le_bytes())
    }

    /// Serves the entries that are there. `buffer` finds what one names, or says that the guest may not use it. Whether a frame came.
    pub(super) fn serve(
        &mut self,
        devices: &mut [HvtDevice],
        memory: &Memory,
        buffer: impl Fn(u64, u64, bool) -> Result<GuestBuffer, Stop>,
    ) -> Result<bool, Stop> {
        let tail = self.word(memory, ENTRIES_TAIL)?;
        if tail.wrapping_sub(self.taken) > SLOTS {
            return Err(corrupt("entries' tail", tail));
        }
        let mut came = false;
        while self.taken != tail {
            let entry = self.entry(memory)?;
            match entry.operation {
                WRITE => {
                    let frame = buffer(entry.data, entry.length.into(), false)?;
                    // It has no commit that could tell of a failure.
                    let _ = calls::send(devices, entry.handle.into(), frame, memory);
                }
                READ => {
                    let into = buffer(entry.data, entry.length.into(), true)?;
                    let (result, length) = calls::receive(devices, entry.handle.into(), into, memory);
                    came |= result == calls::OK;
                    let result = if result == calls::EUNSPEC { EINVAL } else { result };
                    self.commit(memory, entry.id, result, length as u32)?;
                }
                // As Solo5 has it: what it does not know, it leaves alone.
                _ => {}
            }
            self.taken = self.taken.wrapping_add(1);
            self.put(memory, ENTRIES_HEAD, &self.taken.to_le_bytes())?;
        }
        Ok(came)
    }

    fn entry(&self, memory: &Memory) -> Result<Entry, Stop> {
        let at = self.gpa + ENTRIES + u64::from(self.taken % SLOTS) * ENTRY_WORDS * 8;
        let word = |number: u64| memory.word(at + number * 8).map_err(|_| lost());
        let (first, data, last) = (word(0)?, word(1)?, word(2)?);
        Ok(Entry {
            operation: first as u32,
            handle: (first >> 32) as u32,
            data,
            length: last as u32,
            id: (last >> 32) as u32,
        })
    }

    fn commit(&mut self, memory: &Memory, id: u32, result: i32, length: u32) -> Result<(), Stop> {
        let head = self.word(memory, COMMITS_HEAD)?;
        // One that no guest would have room for.
        if self.committed.wrapping_sub(head) >= SLOTS {
            return Err(corrupt("commits' head", head));
        }
        let at = COMMITS + u64::from(self.committed % SLOTS) * 16;
        let mut bytes = [0; 16];
        for (to, from) in bytes.as_chunks_mut::<4>().0.iter_mut().zip([id, result.cast_unsigned(), length]) {
            *to = from.to_le_bytes();
        }
        self.put(memory, at, &bytes)?;
        self.committed = self.committed.wrapping_add(1);
        self.put(memory, COMMITS_TAIL, &self.committed.to_le_bytes())
    }

    fn word(&self, memory: &Memory, offset: u64) -> Result<u32, Stop> {
        let word = memory.word(self.gpa + offset / 8 * 8).map_err(|_| lost())?;
        Ok((word >> (offset % 8 * 8)) as u32)
    }

    fn put(&self, memory: &Memory, offset: u64, bytes: &[u8]) -> Result<(), Stop> {
        memory.write(self.gpa + offset, bytes).map_err(|_| lost())
    }
}

fn corrupt(index: &'static str, value: u32) -> Stop {
    Stop::Fault(Fault::NetRing { index, value })
}

/// The layout has made sure that the ring is in the memory.
fn lost() -> Stop {
    corrupt("place", 0)
}
