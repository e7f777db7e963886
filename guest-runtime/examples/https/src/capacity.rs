//! How the memory of the machine is shared out.

pub use static_site::capacity::{RECEIVE_BUFFER, SEND_BUFFER, Shares};

use static_site::capacity;
use ukvm_tls::{MOST_MEMORY, SHARED_MEMORY};

/// Shares out `memory` bytes of heap, without the buffers for frames.
#[must_use]
pub const fn share(memory: usize) -> Shares {
    capacity::share(memory.saturating_sub(SHARED_MEMORY), MOST_MEMORY)
}
