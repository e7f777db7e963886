//! A server during its turn.

use crate::error::Error;
use crate::life;
use crate::memory::smaps;
use crate::program::Program;
use crate::session::Session;
use std::io::{PipeReader, Read, pipe};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The port of HTTP.
const PORT: u16 = 80;
/// How often to try whether it listens.
const TICK: Duration = Duration::from_millis(5);

/// A server that listens; killed when it is dropped.
pub(super) struct Server {
    name: String,
    words: String,
    child: Child,
    complaint: PipeReader,
}

impl Server {
    /// Starts a program, and waits until it takes connections to `address`.
    pub(super) fn start(program: &Program, address: Ipv4Addr, session: &Session) -> Result<Self, Error> {
        let (complaint, writer) =
            pipe().map_err(|error| Error::host(format!("no pipe can be made ({error}); start again")))?;
        let mut command = program.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer);
        let child = command.spawn().map_err(|error| Error::start(&program.path, &error))?;
        // It holds the writing end, without which the pipe would never end.
        drop(command);
        let mut server = Self { name: program.name.clone(), words: program.words(), child, complaint };
        let start = Instant::now();
        while TcpStream::connect_timeout(&SocketAddr::from((address, PORT)), 20 * TICK).is_err() {
            if session.is_interrupted() {
                return Err(Error::interrupted());
            }
            if let Ok(Some(status)) = server.child.try_wait() {
                let mut complaint = String::new();
                // What cannot be read is not told.
                let _ = server.complaint.read_to_string(&mut complaint);
                let said =
                    complaint.lines().next().map_or(String::new(), |line| format!(" and said \"{line}\""));
                return Err(server.wrong(&format!("ended with {status}{said}")));
            }
            if start.elapsed() > session.patience {
                return Err(server.wrong("took no connection in the time that --patience allows"));
            }
            sleep(TICK);
        }
        Ok(server)
    }

    /// What it has of the machine's memory, in bytes; its guest included.
    pub(super) fn memory(&self) -> Result<u64, Error> {
        smaps::of(self.child.id(), &self.name).map(|usage| usage.own + usage.guest)
    }

    fn wrong(&self, what: &str) -> Error {
        Error::program(format!("{} {what}; try it alone: {}", self.name, self.words))
    }

    /// Ends it, and waits until nothing of it is left: its TAP must be free for the next one.
    pub(super) fn end(self, session: &Session) -> Result<(), Error> {
        drop(self);
        life::wait_for_helpers(session).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Neither fails unless the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
