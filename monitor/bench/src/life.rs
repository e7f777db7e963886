//! One life of a program, from its start to its end, as seen from outside.

use crate::error::Error;
use crate::program::Program;
use crate::session::Session;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, wait};
use std::io::{self, PipeReader, Read, pipe};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes of a program's output, and of what it has to say of errors, that are kept.
const KEPT: usize = 4096;
/// How often a wait looks whether the user still wants it.
const TICK: Duration = Duration::from_millis(100);

/// One life of a program that did what it should: it printed something and ended with status 0. Times count from just before
/// the process was made.
#[derive(Clone, Debug)]
pub struct Life {
    /// When it began.
    pub start: Instant,
    /// To the first byte of output.
    pub first_byte: Duration,
    /// To the last output.
    pub last_byte: Duration,
    /// To the moment at which nobody had its output open any more: the process closes its files one after the other, and its
    /// virtual machine behind its output.
    pub closed: Duration,
    /// To the end of the process.
    pub reaped: Duration,
    /// The start of the output.
    pub output: Vec<u8>,
}

/// How a life went.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// It ended.
    Ended(ExitStatus),
    /// It took too long, and was killed.
    Late,
    /// The user had enough, and it was killed.
    Interrupted,
}

/// Starts a program and follows it to its end.
///
/// # Errors
///
/// Where it cannot be started, prints nothing, fails, or is not done in the session's time: the sentence says which. The process
/// is gone then.
pub fn follow(program: &Program, session: &Session) -> Result<Life, Error> {
    let mut command = program.command();
    let mut seen = Seen::default();
    let end =
        observe(&mut command, session, &mut seen).map_err(|error| Error::start(&program.path, &error))?;
    let Some(start) = seen.start else {
        return Err(Error::host("the clock failed; start again"));
    };
    let alone = || format!("try it alone: {}", program.words());
    match (end, seen.first_byte) {
        (End::Interrupted, _) => Err(Error::interrupted()),
        (End::Ended(status), Some(first_byte)) if status.success() => Ok(Life {
            start,
            first_byte,
            last_byte: seen.last_byte,
            closed: seen.closed,
            reaped: seen.reaped,
            output: seen.output.kept,
        }),
        (End::Ended(status), None) if status.success() => Err(Error::program(format!(
            "{} ended without any output, so there is no first byte to measure; {}",
            program.name,
            alone()
        ))),
        (End::Ended(status), _) => {
            let complaint = String::from_utf8_lossy(&seen.complaint.kept);
            let said = complaint.lines().next().map_or(String::new(), |line| format!(" and said \"{line}\""));
            Err(Error::program(format!("{} ended with {status}{said}; {}", program.name, alone())))
        }
        (End::Late, first_byte) => {
            let what = if first_byte.is_none() { "printed nothing" } else { "did not end" };
            Err(Error::program(format!(
                "{} {what} within {} s; measure a program that prints and ends, or allow more with --patience",
                program.name,
                session.patience.as_secs_f64()
            )))
        }
    }
}

/// Follows a program as [`follow`] does, and the processes that it leaves behind: how many these are, and the time to the end of the
/// last of all.
///
/// # Errors
///
/// As [`follow`] and [`wait_for_helpers`].
pub fn follow_all(program: &Program, session: &Session) -> Result<(Life, usize, Duration), Error> {
    let life = follow(program, session)?;
    let helpers = wait_for_helpers(session)?;
    let whole = if helpers == 0 { life.reaped } else { life.start.elapsed() };
    Ok((life, helpers, whole))
}

/// Waits for the processes that ended programs have left behind, and gives how many there were.
///
/// # Errors
///
/// Where one is still there after the session's time, or the user had enough.
pub fn wait_for_helpers(session: &Session) -> Result<usize, Error> {
    /// Short beside what a start takes, long beside what looking takes.
    const PAUSE: Duration = Duration::from_micros(20);
    let start = Instant::now();
    let mut helpers = 0;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => helpers += 1,
            Ok(None) if session.is_interrupted() => return Err(Error::interrupted()),
            Ok(None) if start.elapsed() > session.patience => {
                return Err(Error::program(
                    "a program leaves a process behind that does not end; measure one that stays in the foreground",
                ));
            }
            Ok(None) => std::thread::sleep(PAUSE),
            // There is no child left.
            Err(_) => return Ok(helpers),
        }
    }
}

/// What was seen of a life.
#[derive(Debug, Default)]
struct Seen {
    start: Option<Instant>,
    first_byte: Option<Duration>,
    last_byte: Duration,
    closed: Duration,
    reaped: Duration,
    output: Text,
    complaint: Text,
}

/// The start of what a program wrote.
#[derive(Debug, Default)]
struct Text {
    kept: Vec<u8>,
    ended: bool,
}

impl Text {
    /// Takes what there is, without waiting: the caller knows that there is something, or the end.
    fn take(&mut self, from: &mut PipeReader) -> io::Result<usize> {
        let mut bytes = [0; 1 << 14];
        let count = from.read(&mut bytes)?;
        self.ended = count == 0;
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend(bytes.iter().take(count.min(room)));
        Ok(count)
    }
}

fn observe(command: &mut Command, session: &Session, seen: &mut Seen) -> io::Result<End> {
    let (mut output, writer) = pipe()?;
    let (mut complaint, complaint_writer) = pipe()?;
    command.stdin(Stdio::null()).stdout(writer).stderr(complaint_writer);
    let start = Instant::now();
    let mut child = command.spawn()?;
    seen.start = Some(start);
    // The command holds the writing ends, without which the pipes would never end.
    *command = Command::new("");
    let end = watch(&mut child, &mut output, &mut complaint, session, seen, start);
    if !matches!(end, Ok(End::Ended(_))) {
        // It fails only where the process has just ended.
        let _ = child.kill();
        child.wait()?;
    }
    end
}

fn watch(
    child: &mut Child,
    output: &mut PipeReader,
    complaint: &mut PipeReader,
    session: &Session,
    seen: &mut Seen,
    start: Instant,
) -> io::Result<End> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut last = start;
    loop {
        let [from_output, from_complaint, ended] = ready(
            [
                (!seen.output.ended).then_some(output as &PipeReader),
                (!seen.complaint.ended).then_some(complaint),
            ],
            &process,
        )?;
        if from_output {
            let now = Instant::now();
            if seen.output.take(output)? > 0 {
                seen.last_byte = now - start;
                if seen.first_byte.is_none() {
                    seen.first_byte = Some(now - start);
                    last = now;
                }
            } else {
                seen.closed = now - start;
            }
        }
        if from_complaint {
            seen.complaint.take(complaint)?;
        }
        if ended && !from_output && !from_complaint {
            let status = child.wait()?;
            seen.reaped = start.elapsed();
            return Ok(End::Ended(status));
        }
        if session.is_interrupted() {
            return Ok(End::Interrupted);
        }
        if last.elapsed() > session.patience {
            return Ok(End::Late);
        }
    }
}

/// Waits until one of the pipes has something or ends, the process ends, or a tick is over; says which of the first three.
fn ready(pipes: [Option<&PipeReader>; 2], process: &OwnedFd) -> io::Result<[bool; 3]> {
    let mut polled: Vec<PollFd<'_>> = Vec::with_capacity(3);
    polled.push(PollFd::new(process, PollFlags::IN));
    polled.extend(pipes.iter().flatten().map(|pipe| PollFd::new(*pipe, PollFlags::IN)));
    let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
    match poll(&mut polled, Some(&tick)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut found = polled.iter().map(|polled| !polled.revents().is_empty());
    let ended = found.next().unwrap_or(false);
    let mut of = |pipe: Option<&PipeReader>| pipe.is_some() && found.next().unwrap_or(false);
    let from_output = of(pipes[0]);
    Ok([from_output, of(pipes[1]), ended])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program { name: "script".into(), path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] }
    }

    fn session() -> Session {
        Session::new(Duration::from_millis(500)).unwrap()
    }

    #[test]
    fn a_life_has_its_times_in_order() {
        let life = follow(&shell("printf ab; sleep 0.05; echo c; sleep 0.05"), &session()).unwrap();
        assert_eq!(life.output, b"abc\n");
        assert!(life.first_byte + Duration::from_millis(45) < life.last_byte, "{life:?}");
        assert!(life.last_byte + Duration::from_millis(45) < life.closed, "{life:?}");
        assert!(life.closed <= life.reaped, "{life:?}");
    }

    #[test]
    fn much_output_is_read_and_little_kept() {
        let life =
            follow(&shell("head -c 1000000 /dev/zero; head -c 300000 /dev/zero >&2"), &session()).unwrap();
        assert_eq!(life.output.len(), KEPT);
    }

    #[test]
    fn failures_are_told_apart() {
        for (script, said) in [
            ("true", "without any output"),
            ("echo no such disk >&2; exit 3", "exit status: 3 and said \"no such disk\""),
            ("echo a; exit 66", "exit status: 66; try it alone: /bin/sh -c"),
            ("echo a; kill -9 $$", "signal: 9"),
            ("exec sleep 10", "printed nothing within 0.5 s"),
            ("echo a; exec sleep 10", "did not end within 0.5 s"),
        ] {
            let error = follow(&shell(script), &session()).unwrap_err();
            assert_eq!(error.status(), 1, "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
        let nothing = Program::of_words("--compare", "/nowhere/monitor").unwrap();
        assert_eq!(follow(&nothing, &session()).unwrap_err().status(), 66);
    }
}
