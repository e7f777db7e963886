//! How the memory of the machine is shared out.

use crate::path::{LONGEST_NAME, LONGEST_REDIRECT};
use core::time::Duration;
use ukvm_http::Limits;

/// The longest head of a request, from its first byte to the empty line, in bytes: the requests of browsers with their cookies
/// fit.
pub const HEAD_LIMIT: usize = 8 << 10;

/// The receive buffer of a connection in bytes. What a browser sends fits nearly always.
pub const RECEIVE_BUFFER: usize = 4 << 10;

/// The send buffer of a connection in bytes: as much as may be on its way to the client. With half of it a large file took twice
/// as long.
pub const SEND_BUFFER: usize = 64 << 10;

/// Bytes of a file that are read at once where many are sent.
pub const PIECE: usize = 16 << 10;

/// Bytes of a file that are read at once as long as few are sent.
pub const LARGE_PIECE: usize = 128 << 10;

/// What a connection takes at most beside what its transport has, in bytes: its buffers; a head while it grows to
/// its limit; the decoded path with the names that are made of it, or a redirect with the head of that reply, or a
/// piece with its head; and the task that serves it with what an allocator and a network stack keep for it.
pub const CONNECTION: usize = RECEIVE_BUFFER + SEND_BUFFER + HEAD_LIMIT * 3 / 2 + WORK + 8192;

/// The most of what is made of one request at a time, in bytes.
const WORK: usize = {
    let lookup = HEAD_LIMIT + 4 * LONGEST_NAME;
    let redirect = LONGEST_NAME + 5 * LONGEST_REDIRECT;
    let contents = LONGEST_NAME + PIECE;
    let most = if lookup > redirect { lookup } else { redirect };
    if contents > most { contents } else { most }
};

/// What the network stack takes beside its buffers for frames and connections, and everything else, in bytes.
const FIXED: usize = 1 << 20;

/// Who gets how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// The most connections at once, at least one.
    pub connections: usize,
    /// How many of them may have two large pieces of a file in memory.
    pub large_streams: usize,
    /// The bytes that the index of the site's files may have.
    pub index: usize,
}

impl Shares {
    /// What clients may take, with so much time for each step.
    #[must_use]
    pub const fn limits(&self, timeout: Duration) -> Limits {
        Limits {
            timeout,
            head: HEAD_LIMIT,
            piece: PIECE,
            large_piece: LARGE_PIECE,
            large_streams: self.large_streams,
        }
    }
}

/// Shares out `memory` bytes of heap, without the buffers for frames, where the transport takes so many bytes for a connection.
#[must_use]
pub const fn share(memory: usize, transport: usize) -> Shares {
    let memory = memory.saturating_sub(FIXED);
    let (index, large) = (memory / 8, memory / 8);
    let connections = (memory - index - large) / (CONNECTION + transport);
    Shares {
        connections: if connections == 0 { 1 } else { connections },
        large_streams: large / (2 * LARGE_PIECE),
        index,
    }
}
