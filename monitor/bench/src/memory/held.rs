//! A program that is held at its first output.

use super::smaps::{self, Usage};
use crate::error::Error;
use crate::program::Program;
use crate::session::Session;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::fcntl_setpipe_size;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Write, pipe};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A program that is held at its first output, and killed when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    name: String,
    child: Child,
    /// Without a reader, the program would not wait.
    _reader: PipeReader,
}

impl Held {
    /// Starts a program and waits until it waits.
    pub(super) fn start(program: &Program, session: &Session) -> Result<Self, Error> {
        let (reader, writer) = full_pipe()
            .map_err(|error| Error::host(format!("a pipe cannot be filled ({error}); start again")))?;
        let mut command = program.command();
        command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| Error::start(&program.path, &error))?;
        let mut held = Self { name: program.name.clone(), child, _reader: reader };
        held.wait_until_it_waits(session, program)?;
        Ok(held)
    }

    /// What it has of the machine's memory.
    pub(super) fn usage(&self) -> Result<Usage, Error> {
        smaps::of(self.child.id(), &self.name)
    }

    /// It waits where it sleeps and nothing has happened for a while: on the way to its first output it has nothing to wait for,
    /// but for its file at the very first time.
    fn wait_until_it_waits(&mut self, session: &Session, program: &Program) -> Result<(), Error> {
        const PAUSE: Duration = Duration::from_millis(1);
        const PAUSES: usize = 5;
        let start = Instant::now();
        let (mut last, mut quiet) = (String::new(), 0);
        while quiet < PAUSES {
            sleep(PAUSE);
            let ended =
                self.child.try_wait().map_err(|error| Error::host(format!("waiting fails ({error})")))?;
            if let Some(status) = ended {
                return Err(Error::program(format!(
                    "{} ended with {status} before it printed anything; try it alone: {}",
                    program.name,
                    program.words()
                )));
            }
            if session.is_interrupted() {
                return Err(Error::interrupted());
            }
            if start.elapsed() > session.patience {
                return Err(Error::program(format!(
                    "{} still computes after {} s; measure a program that prints when it has started, or allow more with \
                     --patience",
                    program.name,
                    session.patience.as_secs_f64()
                )));
            }
            let now = switches(self.child.id());
            quiet = if now.as_ref() == Some(&last) { quiet + 1 } else { 0 };
            last = now.unwrap_or_default();
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Neither fails unless the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often a process has given up its processor, if it sleeps.
fn switches(process: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    let sleeps = state.is_some_and(|state| state.trim_start().starts_with('S'));
    let switches = status.lines().filter(|line| line.contains("_ctxt_switches"));
    sleeps.then(|| switches.collect())
}

/// A pipe without room for a single byte.
fn full_pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, mut writer) = pipe()?;
    // One page, the least.
    fcntl_setpipe_size(&writer, 4096)?;
    let flags = fcntl_getfl(&writer)?;
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK)?;
    let filled = loop {
        match writer.write(&[0; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    fcntl_setfl(&writer, flags)?;
    filled.map(|()| (reader, writer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_held_at_its_output() {
        let session = Session::new(Duration::from_secs(5)).unwrap();
        let shell = |script: &str| Program {
            name: "script".into(),
            path: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
        };
        let held = Held::start(&shell("echo a"), &session).unwrap();
        let usage = held.usage().unwrap();
        assert!(usage.own > 0 && usage.guest == 0, "{usage:?}");
        let process = held.child.id();
        drop(held);
        assert_eq!(switches(process), None, "it is gone");
        let error = Held::start(&shell("exit 3"), &session).unwrap_err();
        assert!(error.to_string().contains("exit status: 3 before it printed"), "{error}");
        let impatient = Session::new(Duration::from_millis(300)).unwrap();
        let error = Held::start(&shell("while :; do :; done"), &impatient).unwrap_err();
        assert!(error.to_string().contains("still computes after 0.3 s; measure a program that"), "{error}");
    }
}
