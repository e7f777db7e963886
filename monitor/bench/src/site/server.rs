//! A server during its turn.

use crate::error::Error;
use crate::memory::smaps;
use crate::program::Program;
use crate::session::Session;
use crate::turn::Turn;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often to try whether it listens.
const TICK: Duration = Duration::from_millis(5);

/// Starts a program, and waits until it takes connections to `address`.
pub(super) fn start(program: &Program, address: SocketAddr, session: &Session) -> Result<Turn, Error> {
    let mut server = Turn::start(program, Stdio::null())?;
    let start = Instant::now();
    while TcpStream::connect_timeout(&address, 20 * TICK).is_err() {
        if session.is_interrupted() {
            return Err(Error::interrupted());
        }
        if let Some(error) = server.has_ended() {
            return Err(error);
        }
        if start.elapsed() > session.patience {
            return Err(server.wrong("took no connection in the time that --patience allows"));
        }
        sleep(TICK);
    }
    Ok(server)
}

/// What a server has of the machine's memory, in bytes; its guest included.
pub(super) fn memory(server: &Turn) -> Result<u64, Error> {
    smaps::of(server.id(), &server.name).map(|usage| usage.own + usage.guest)
}
