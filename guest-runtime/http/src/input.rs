//! The bytes of a connection that are not yet dealt with.

use alloc::vec::Vec;

/// The room that a connection keeps while it is idle, in bytes: enough for most requests.
const IDLE_ROOM: usize = 512;

/// Bytes that the peer has sent and nobody has taken yet: a request, a reply, a record of TLS. It grows to its limit when one of these
/// needs that.
#[derive(Debug)]
pub struct Input {
    bytes: Vec<u8>,
    filled: usize,
    limit: usize,
}

impl Input {
    /// Nothing yet, and never more than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { bytes: alloc::vec![0; IDLE_ROOM.min(limit)], filled: 0, limit }
    }

    /// What is there.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// The same, to be changed in its place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.filled]
    }

    /// Whether a request has begun, once the line ends before it are dropped (RFC 9112, section 2.2). A carriage
    /// return alone may become one of them.
    pub(crate) fn begins(&mut self) -> bool {
        let mut count = 0;
        loop {
            match &self.bytes()[count..] {
                [b'\n', ..] => count += 1,
                [b'\r', b'\n', ..] => count += 2,
                _ => break,
            }
        }
        if count > 0 {
            self.drop_front(count);
        }
        !matches!(self.bytes(), [] | [b'\r'])
    }

    /// Room for more; empty once as many bytes wait as may.
    pub fn room(&mut self) -> &mut [u8] {
        if self.filled == self.bytes.len() {
            let larger = (2 * self.bytes.len()).min(self.limit);
            self.bytes.reserve_exact(larger - self.bytes.len());
            self.bytes.resize(larger, 0);
        }
        &mut self.bytes[self.filled..]
    }

    /// Takes note that so many bytes of the room were filled.
    ///
    /// # Panics
    ///
    /// If there was not so much room.
    pub fn add(&mut self, count: usize) {
        assert!(count <= self.bytes.len() - self.filled, "no more is filled than there is room");
        self.filled += count;
    }

    /// Drops so many bytes at the front, or as many as there are, and says how many that were.
    pub fn drop_front(&mut self, count: usize) -> usize {
        let count = count.min(self.filled);
        self.bytes.copy_within(count..self.filled, 0);
        self.filled -= count;
        if self.filled == 0 && self.bytes.len() > IDLE_ROOM {
            self.bytes.truncate(IDLE_ROOM);
            self.bytes.shrink_to_fit();
        }
        count
    }

    /// Moves bytes from the front into `buffer`, as many as there are and fit, and says how many.
    pub(crate) fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.filled);
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.drop_front(count)
    }
}
