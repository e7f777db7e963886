//! How the memory of the machine is shared out.

use crate::session::SHORT;

/// The receive buffer of a connection in bytes.
pub const RECEIVE_BUFFER: usize = 16 << 10;

/// The send buffer of a connection in bytes.
pub const SEND_BUFFER: usize = 16 << 10;

/// What a connection takes at most, in bytes: its buffers; requests as they came, the commands made of them, their answers and these as
/// they are sent; and the task that serves it with what an allocator and a network stack keep for it.
pub const CONNECTION: usize = RECEIVE_BUFFER + SEND_BUFFER + 6 * SHORT + (16 << 10);

/// Bytes of pages that a transaction may change with any memory. A value of the greatest length has pages of 2 MiB, and two of them change
/// where one is divided.
const LEAST_TRANSACTION: usize = 6 << 20;

/// What the network stack takes beside its buffers, a transaction with the pages that it changes, and everything else, in bytes.
const FIXED: usize = 12 << 20;

/// Who gets how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// The most connections at once, at least one.
    pub connections: usize,
    /// Bytes for pages of the database.
    pub cache: usize,
    /// Bytes of pages that a transaction may change.
    pub transaction: usize,
    /// Bytes for long requests and replies.
    pub long: usize,
    /// Bytes of the largest store that is read at once when it is opened. The memory is that of connections, which come later.
    pub small: u64,
}

/// Shares out `memory` bytes of heap, without the buffers for frames.
#[must_use]
pub const fn share(memory: usize) -> Shares {
    let memory = memory.saturating_sub(FIXED);
    let (cache, long, transaction) = (memory / 4, memory / 4, memory / 16);
    let connections = (memory - cache - long - transaction) / CONNECTION;
    Shares {
        connections: if connections == 0 { 1 } else { connections },
        cache,
        transaction: LEAST_TRANSACTION + transaction,
        long,
        small: (memory / 4) as u64,
    }
}
