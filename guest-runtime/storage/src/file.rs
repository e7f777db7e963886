//! A file of an image: where its bytes are, and what is known of it.

use core::hash::Hasher;

/// A file of an image. It holds no bytes of it: [`Store::read_at`](crate::Store::read_at) reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    size: u64,
    modified: Option<u64>,
    identity: u64,
    start: u64,
}

impl File {
    /// A file of `size` bytes from byte `start` of the disk on.
    pub(crate) fn new(path: &str, start: u64, size: u64, modified: Option<u64>) -> Self {
        let mut hasher = Fnv::default();
        hasher.write(path.as_bytes());
        for number in [start, size, modified.unwrap_or(u64::MAX)] {
            hasher.write(&number.to_le_bytes());
        }
        Self { size, modified, identity: hasher.finish(), start }
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
    /// image, unless its size, its place and its time are the same: made for an ETag.
    pub const fn identity(&self) -> u64 {
        self.identity
    }

    /// Where its bytes from `offset` on are on the disk, and how many there are in one piece; none at its end.
    pub(crate) const fn piece(&self, offset: u64) -> Option<(u64, u64)> {
        if offset >= self.size {
            return None;
        }
        Some((self.start + offset, self.size - offset))
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
