//! A program during its turn.

use crate::error::Error;
use crate::life;
use crate::program::Program;
use crate::session::Session;
use std::io::{PipeReader, PipeWriter, Read, pipe};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A program that was started; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// What it is called in messages.
    pub(crate) name: String,
    words: String,
    child: Child,
    complaint: PipeReader,
}

impl Turn {
    /// Starts a program without input, whose output goes to `output`.
    pub(crate) fn start(program: &Program, output: Stdio) -> Result<Self, Error> {
        let (complaint, writer) = a_pipe()?;
        let mut command = program.command();
        command.stdin(Stdio::null()).stdout(output).stderr(writer);
        // The command holds the writing ends, without which the pipes would never end; it goes with this function.
        let child = command.spawn().map_err(|error| Error::start(&program.path, &error))?;
        Ok(Self { name: program.name.clone(), words: program.words(), child, complaint })
    }

    /// Starts a program that serves, and waits until it takes connections to `address`.
    pub(crate) fn serve(program: &Program, address: SocketAddr, session: &Session) -> Result<Self, Error> {
        /// How often to try whether it listens.
        const TICK: Duration = Duration::from_millis(5);
        let mut server = Self::start(program, Stdio::null())?;
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

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// That it has ended, if it has, which it should not.
    pub(crate) fn has_ended(&mut self) -> Option<Error> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(self.ended(Some(status)))
    }

    /// That it has ended, or is to: it has closed its output, which it should not.
    pub(crate) fn closed_output(&mut self) -> Error {
        // Where it only closed its output.
        let _ = self.child.kill();
        let status = self.child.wait().ok();
        self.ended(status)
    }

    fn ended(&mut self, status: Option<ExitStatus>) -> Error {
        let status = status.map_or("an unknown status".to_owned(), |status| status.to_string());
        let mut complaint = String::new();
        // What cannot be read is not told.
        let _ = self.complaint.read_to_string(&mut complaint);
        let said = complaint.lines().next().map_or(String::new(), |line| format!(" and said \"{line}\""));
        self.wrong(&format!("ended with {status}{said}"))
    }

    /// It did what it should not.
    pub(crate) fn wrong(&self, what: &str) -> Error {
        Error::program(format!("{} {what}; try it alone: {}", self.name, self.words))
    }

    /// Ends it, and waits until nothing of it is left: its TAP must be free for the next one.
    pub(crate) fn end(self, session: &Session) -> Result<(), Error> {
        drop(self);
        life::wait_for_helpers(session).map(drop)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Neither fails unless the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pipe to a program that is to be started.
pub(crate) fn a_pipe() -> Result<(PipeReader, PipeWriter), Error> {
    pipe().map_err(|error| Error::host(format!("no pipe can be made ({error}); start again")))
}
