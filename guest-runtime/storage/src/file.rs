//! A file of an image: where its bytes are, and what is known of it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hasher;

/// A file of an image. It holds no bytes of it: [`Store::read_at`](crate::Store::read_at) reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    size: u64,
    modified: Option<u64>,
    identity: u64,
    place: Place,
}

/// Where a file's bytes are on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In one piece from here on.
    Whole(u64),
    /// In several, by their offset in the file; the first is at 0.
    Runs(Arc<[Run]>),
}

/// A part of a file that is in one piece on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where it is in the file.
    pub(crate) offset: u64,
    /// Where it is on the disk.
    pub(crate) start: u64,
}

impl File {
    /// A file of `size` bytes that is on the disk in these runs.
    pub(crate) fn new(path: &str, runs: Vec<Run>, size: u64, modified: Option<u64>) -> Self {
        let start = runs.first().map_or(0, |run| run.start);
        let mut hasher = Fnv::default();
        hasher.write(path.as_bytes());
        for number in [start, size, modified.unwrap_or(u64::MAX)] {
            hasher.write(&number.to_le_bytes());
        }
        let place = if runs.len() > 1 { Place::Runs(runs.into()) } else { Place::Whole(start) };
        Self { size, modified, identity: hasher.finish(), place }
    }

    /// The memory that its runs take, in bytes.
    pub(crate) fn held(&self) -> usize {
        match &self.place {
            Place::Whole(_) => 0,
            Place::Runs(runs) => size_of_val(&**runs),
        }
    }

    /// Its size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// When its contents were last modified, in seconds since 1970-01-01 00:00 UTC, if the image says so.
    pub const fn modified(&self) -> Option<u64> {
        self.modified
    }

    /// A number that differs between the files of an image, and between a file and what comes to have its name in a later
    /// image, unless its size, its place and its time are the same: made for an ETag. Its contents have no part in it, so that whoever
    /// makes images with fixed times has to change them with the contents.
    pub const fn identity(&self) -> u64 {
        self.identity
    }

    /// Where its bytes from `offset` on are on the disk, and how many there are in one piece; none at its end.
    pub(crate) fn piece(&self, offset: u64) -> Option<(u64, u64)> {
        if offset >= self.size {
            return None;
        }
        match &self.place {
            Place::Whole(start) => Some((start + offset, self.size - offset)),
            Place::Runs(runs) => {
                let next = runs.partition_point(|run| run.offset <= offset);
                let run = runs[next - 1];
                let end = runs.get(next).map_or(self.size, |run| run.offset);
                Some((run.start + (offset - run.offset), end - offset))
            }
        }
    }
}

/// FNV-1a with 64 bits (RFC 9923, section 2): small, and the same on every run.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
