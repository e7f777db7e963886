//! How many connections fit into the memory of the machine.

use crate::login::LOOKUPS;
use crate::password::PASSWORD_FILE;
use ukvm_storage::fat::LARGE_WINDOW;

/// The longest head of a request, from its first byte to the empty line, in bytes. A name and a password of the longest kind,
/// percent-encoded, fit with the headers of a browser.
pub const HEAD_LIMIT: usize = 4096;

/// The receive buffer of a connection in bytes: a head of the longest kind.
pub const RECEIVE_BUFFER: usize = HEAD_LIMIT;

/// The send buffer of a connection in bytes: several replies, each of which has at most 500.
pub const SEND_BUFFER: usize = 2048;

/// What a connection takes at most, in bytes: its buffers, a head, a decoded query and a reply, and the task that serves it
/// with what an allocator and a network stack keep for it.
pub const CONNECTION: usize = RECEIVE_BUFFER + SEND_BUFFER + 2 * HEAD_LIMIT + 4096;

/// What everything else takes at most, in bytes: the lookups, with two large windows each, and the network stack without its buffers
/// for frames.
const FIXED: usize = LOOKUPS * (2 * LARGE_WINDOW + PASSWORD_FILE + 4096) + (1 << 20);

/// The most connections that `memory` bytes can serve at once, beside the buffers for frames; at least one.
#[must_use]
pub const fn connections(memory: usize) -> usize {
    let count = memory.saturating_sub(FIXED) / CONNECTION;
    if count == 0 { 1 } else { count }
}
