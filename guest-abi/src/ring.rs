//! The rings: how requests reach the monitor and completions come back.
//!
//! One area of shared memory for each vCPU (there is one so far) holds a header page, the submission ring and the completion
//! ring. Each ring has one producer and one consumer. An index counts entries since the start and wraps at
//! 2^32; its entry is at `index % entries`, `entries` being a power of two.
//!
//! | offset | size | written by | header field |
//! |---|---|---|---|
//! | [`SUBMISSION_TAIL`] | 4 | guest | entries submitted |
//! | [`DEADLINE`] | 8 | guest | when [`Enter`](crate::doorbell::Function::Enter) returns at the latest |
//! | [`PANIC_ADDRESS`], [`PANIC_LENGTH`] | 8, 8 | guest | the message of a panic, in UTF-8 |
//! | [`ENTRY_TIME`], [`MAIN_TIME`] | 8, 8 | guest | when it began, for the host's timeline |
//! | [`COMPLETION_HEAD`] | 4 | guest | completions taken |
//! | [`SUBMISSION_HEAD`] | 4 | monitor | entries taken |
//! | [`COMPLETION_TAIL`] | 4 | monitor | completions posted |
//! | [`NEED_ENTER`] | 4 | monitor | whether a submission needs an `Enter` |
//!
//! The monitor takes a submission only when the completions not yet taken, the requests under way and this one together
//! leave one entry of the completion ring free; that entry is the shutdown notice's. So no completion is ever lost, and
//! a guest that does not take its completions has its submissions wait.
//!
//! Each side believes nothing of what the other writes: a consumer that finds more entries than the ring holds, or a
//! producer that finds more room than that, says [`Corrupt`]. For the monitor this is a guest fault.
//!
//! The code is generic over the memory, so that the same lines run in the guest, in the monitor, in tests and in
//! fuzzers.

use crate::request::{Completion, Request};

/// `u32`, guest: index after the last submitted request.
pub const SUBMISSION_TAIL: usize = 0;
/// `u64`, guest: the deadline of the next `Enter` on the [monotonic clock](crate::clock), in nanoseconds. 0: do not
/// wait. [`u64::MAX`]: no deadline.
pub const DEADLINE: usize = 8;
/// `u64`, guest: virtual address of a panic's message.
pub const PANIC_ADDRESS: usize = 16;
/// `u64`, guest: bytes of a panic's message; what is past [`PANIC_MAX`] is cut off.
pub const PANIC_LENGTH: usize = 24;
/// `u64`, guest: its time stamp counter at its first instructions; 0 where it does not say. The monitor reads it at the first exit,
/// for its timeline.
pub const ENTRY_TIME: usize = 32;
/// `u64`, guest: the same before the program's own first instruction, once the runtime is ready.
pub const MAIN_TIME: usize = 40;
/// `u32`, guest: index after the last completion taken.
pub const COMPLETION_HEAD: usize = 64;
/// `u32`, monitor: index after the last request taken.
pub const SUBMISSION_HEAD: usize = 128;
/// `u32`, monitor: index after the last completion posted.
pub const COMPLETION_TAIL: usize = 192;
/// `u32`, monitor: 0 while the monitor looks at the submission ring of itself, else 1. A guest reads it after it wrote
/// the tail and a full fence.
pub const NEED_ENTER: usize = 256;

/// The most bytes of a panic's message that the monitor takes.
pub const PANIC_MAX: usize = 4096;
/// Bytes of the header; the submission ring follows.
pub const HEADER_SIZE: usize = 4096;
/// Entries of the submission ring, as this version's monitor makes it. A guest takes the number from the boot information.
pub const SUBMISSION_ENTRIES: u32 = 1024;
/// Entries of the completion ring, likewise.
pub const COMPLETION_ENTRIES: u32 = 1024;
/// Bytes of the whole area.
pub const AREA_SIZE: usize = Shape::DEFAULT.area_size();

/// Memory that is shared with somebody who may write to it at any time.
///
/// Offsets are in bytes from the area's start and aligned to the access. An implementation may do as it likes with an offset outside
/// the area as long as it is safe; this crate never passes one.
pub trait SharedWords {
    /// Loads a `u32` with acquire ordering.
    fn load_u32_acquire(&self, offset: usize) -> u32;
    /// Stores a `u32` with release ordering.
    fn store_u32_release(&self, offset: usize, value: u32);
    /// Loads a `u64` with acquire ordering.
    fn load_u64_acquire(&self, offset: usize) -> u64;
    /// Stores a `u64` with release ordering.
    fn store_u64_release(&self, offset: usize, value: u64);
}

/// The other side wrote an index that no correct program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Which index it is: the offset of its header field.
    pub field: usize,
    /// What it wrote.
    pub value: u32,
}

/// Where the rings lie in the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    submission_entries: u32,
    completion_entries: u32,
}

impl Shape {
    /// What this version's monitor makes.
    pub const DEFAULT: Self = match Self::new(SUBMISSION_ENTRIES, COMPLETION_ENTRIES) {
        Some(shape) => shape,
        None => panic!("the entries are powers of two"),
    };

    /// A shape with these numbers of entries, or `None` unless both are powers of two from 2 to 2^16.
    #[must_use]
    pub const fn new(submission_entries: u32, completion_entries: u32) -> Option<Self> {
        let legal = submission_entries.is_power_of_two()
            && completion_entries.is_power_of_two()
            && 2 <= submission_entries
            && submission_entries <= 1 << 16
            && 2 <= completion_entries
            && completion_entries <= 1 << 16;
        if legal { Some(Self { submission_entries, completion_entries }) } else { None }
    }

    /// Bytes of the area.
    #[must_use]
    pub const fn area_size(self) -> usize {
        self.completion_at(0) + self.completion_entries as usize * Completion::WORDS * 8
    }

    /// Entries of the submission ring.
    #[must_use]
    pub const fn submission_entries(self) -> u32 {
        self.submission_entries
    }

    /// Entries of the completion ring.
    #[must_use]
    pub const fn completion_entries(self) -> u32 {
        self.completion_entries
    }

    const fn submission_at(self, index: u32) -> usize {
        HEADER_SIZE + (index & (self.submission_entries - 1)) as usize * Request::WORDS * 8
    }

    const fn completion_at(self, index: u32) -> usize {
        self.submission_at(self.submission_entries - 1)
            + Request::WORDS * 8
            + (index & (self.completion_entries - 1)) as usize * Completion::WORDS * 8
    }
}

/// The guest's end: submits requests and takes completions.
#[derive(Debug)]
pub struct GuestRing<M> {
    memory: M,
    shape: Shape,
    submitted: u32,
    taken: u32,
}

impl<M: SharedWords> GuestRing<M> {
    /// The guest's end of fresh, zeroed rings.
    pub const fn new(memory: M, shape: Shape) -> Self {
        Self::after(memory, shape, 0)
    }

    /// The guest's end of rings that `index` entries have gone through, each way, with none left in them. All four indices of the
    /// header must say so. This is how tests get to the wrap at 2^32.
    pub const fn after(memory: M, shape: Shape, index: u32) -> Self {
        Self { memory, shape, submitted: index, taken: index }
    }

    /// Puts `request` into the submission ring; `Ok(false)` where the ring is full.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] where the monitor claims to have taken more than was submitted.
    pub fn submit(&mut self, request: &Request) -> Result<bool, Corrupt> {
        let head = self.memory.load_u32_acquire(SUBMISSION_HEAD);
        let queued = self.submitted.wrapping_sub(head);
        if queued > self.shape.submission_entries {
            return Err(Corrupt { field: SUBMISSION_HEAD, value: head });
        }
        if queued == self.shape.submission_entries {
            return Ok(false);
        }
        let at = self.shape.submission_at(self.submitted);
        for (i, word) in request.to_words().into_iter().enumerate() {
            self.memory.store_u64_release(at + i * 8, word);
        }
        self.submitted = self.submitted.wrapping_add(1);
        self.memory.store_u32_release(SUBMISSION_TAIL, self.submitted);
        Ok(true)
    }

    /// Takes the next completion, if there is one.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] where the monitor claims to have posted more than the ring holds.
    pub fn take(&mut self) -> Result<Option<Completion>, Corrupt> {
        let tail = self.memory.load_u32_acquire(COMPLETION_TAIL);
        let ready = tail.wrapping_sub(self.taken);
        if ready > self.shape.completion_entries {
            return Err(Corrupt { field: COMPLETION_TAIL, value: tail });
        }
        if ready == 0 {
            return Ok(None);
        }
        let at = self.shape.completion_at(self.taken);
        let words = core::array::from_fn(|i| self.memory.load_u64_acquire(at + i * 8));
        self.taken = self.taken.wrapping_add(1);
        self.memory.store_u32_release(COMPLETION_HEAD, self.taken);
        Ok(Some(Completion::from_words(words)))
    }

    /// How many requests are submitted and not yet taken by the monitor, as far as it says.
    pub fn queued(&self) -> u32 {
        self.submitted.wrapping_sub(self.memory.load_u32_acquire(SUBMISSION_HEAD))
    }

    /// States the deadline of the next `Enter`, see [`DEADLINE`].
    pub fn set_deadline(&self, deadline: u64) {
        self.memory.store_u64_release(DEADLINE, deadline);
    }

    /// Says when the guest began, see [`ENTRY_TIME`].
    pub fn set_entry_time(&self, counter: u64) {
        self.memory.store_u64_release(ENTRY_TIME, counter);
    }

    /// Says when its program began, see [`MAIN_TIME`].
    pub fn set_main_time(&self, counter: u64) {
        self.memory.store_u64_release(MAIN_TIME, counter);
    }

    /// Names the message of a panic.
    pub fn set_panic(&self, address: u64, length: u64) {
        self.memory.store_u64_release(PANIC_ADDRESS, address);
        self.memory.store_u64_release(PANIC_LENGTH, length);
    }
}

/// The monitor's end: takes requests and posts completions. Its indices are its own; the guest sees copies.
#[derive(Debug)]
pub struct MonitorRing<M> {
    memory: M,
    shape: Shape,
    taken: u32,
    posted: u32,
    /// The last value of [`COMPLETION_HEAD`] that was believed.
    reaped: u32,
    /// Requests taken whose completion is not yet posted, the shutdown notice not counted.
    under_way: u32,
}

impl<M: SharedWords> MonitorRing<M> {
    /// The monitor's end of fresh, zeroed rings. Writes [`NEED_ENTER`].
    pub fn new(memory: M, shape: Shape) -> Self {
        Self::after(memory, shape, 0)
    }

    /// The monitor's end of rings that `index` entries have gone through, as [`GuestRing::after`] has it. Writes
    /// [`NEED_ENTER`].
    pub fn after(memory: M, shape: Shape, index: u32) -> Self {
        memory.store_u32_release(NEED_ENTER, 1);
        Self { memory, shape, taken: index, posted: index, reaped: index, under_way: 0 }
    }

    /// Takes the next request, if there is one and room for its completion.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] where the guest wrote an index that is not possible.
    pub fn take(&mut self) -> Result<Option<Request>, Corrupt> {
        let tail = self.memory.load_u32_acquire(SUBMISSION_TAIL);
        let queued = tail.wrapping_sub(self.taken);
        if queued > self.shape.submission_entries {
            return Err(Corrupt { field: SUBMISSION_TAIL, value: tail });
        }
        if queued == 0 || !self.has_room()? {
            return Ok(None);
        }
        let at = self.shape.submission_at(self.taken);
        let words = core::array::from_fn(|i| self.memory.load_u64_acquire(at + i * 8));
        self.taken = self.taken.wrapping_add(1);
        self.under_way += 1;
        self.memory.store_u32_release(SUBMISSION_HEAD, self.taken);
        Ok(Some(Request::from_words(words)))
    }

    /// Posts the completion of a request that was taken.
    pub fn post(&mut self, completion: &Completion) {
        self.under_way = self.under_way.saturating_sub(1);
        self.write(completion);
    }

    /// From now on the request that was taken last uses the entry that is kept for the shutdown notice.
    pub fn reserve_notice(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Posts the completion of the shutdown notice into the entry that is kept for it.
    pub fn post_notice(&mut self, completion: &Completion) {
        self.write(completion);
    }

    /// How many completions the guest has not yet taken.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] where the guest wrote an index that is not possible.
    pub fn unreaped(&mut self) -> Result<u32, Corrupt> {
        let head = self.memory.load_u32_acquire(COMPLETION_HEAD);
        // Between what it had taken before and what was posted: it may neither go back nor ahead.
        if head.wrapping_sub(self.reaped) > self.posted.wrapping_sub(self.reaped) {
            return Err(Corrupt { field: COMPLETION_HEAD, value: head });
        }
        self.reaped = head;
        Ok(self.posted.wrapping_sub(head))
    }

    /// Whether all that the guest has submitted was taken.
    pub fn is_drained(&self) -> bool {
        self.memory.load_u32_acquire(SUBMISSION_TAIL) == self.taken
    }

    /// The deadline of the current `Enter`, see [`DEADLINE`].
    pub fn deadline(&self) -> u64 {
        self.memory.load_u64_acquire(DEADLINE)
    }

    /// When the guest and its program began, as the guest says: [`ENTRY_TIME`] and [`MAIN_TIME`].
    pub fn begin_times(&self) -> [u64; 2] {
        [ENTRY_TIME, MAIN_TIME].map(|field| self.memory.load_u64_acquire(field))
    }

    /// Address and length of a panic's message, as the guest gives them.
    pub fn panic_message(&self) -> (u64, u64) {
        (self.memory.load_u64_acquire(PANIC_ADDRESS), self.memory.load_u64_acquire(PANIC_LENGTH))
    }

    fn has_room(&mut self) -> Result<bool, Corrupt> {
        let used = self.unreaped()? + self.under_way;
        // One entry for the request that is about to be taken, one for the shutdown notice.
        Ok(used + 2 <= self.shape.completion_entries)
    }

    fn write(&mut self, completion: &Completion) {
        let at = self.shape.completion_at(self.posted);
        for (i, word) in completion.to_words().into_iter().enumerate() {
            self.memory.store_u64_release(at + i * 8, word);
        }
        self.posted = self.posted.wrapping_add(1);
        self.memory.store_u32_release(COMPLETION_TAIL, self.posted);
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
