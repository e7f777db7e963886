//! A server during its turn.

use crate::error::Error;
use crate::memory::smaps;
use crate::program::Program;
use crate::session::Session;
use crate::turn::Turn;
use std::net::SocketAddr;

/// What a server has of the machine's memory, in bytes; its guest included.
pub(super) fn memory(server: &Turn) -> Result<u64, Error> {
    smaps::of(server.id(), &server.name).map(|usage| usage.own + usage.guest)
}
