//! The monitor with its guest as a child process.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use ukvm_host_net::child;

/// The time between two looks at something that will happen soon.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How long a shutdown may take: the monitor's own limit, and some.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A monitor that runs, until this is dropped.
#[derive(Debug)]
pub(super) struct Service {
    child: Child,
    started: Instant,
}

impl Service {
    /// Starts `words`, whose first is the program, from the top of the repository, and prints them as a person would type
    /// them.
    pub(super) fn start(words: &[&Path]) -> Result<Self> {
        let typed: Vec<_> = words.iter().map(|word| word.display().to_string()).collect();
        println!("$ {}", typed.join(" "));
        let (program, arguments) = words.split_first().context("there is no program to start")?;
        // The program's path counts from the directory that the child is moved to.
        let program = crate::cargo::root().join(program);
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(crate::cargo::root()).stdin(Stdio::null());
        child::end_with_us(&mut command);
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        Ok(Self { child, started })
    }

    /// The time since it was started.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until `happened` says so.
    pub(super) fn wait_until(
        &mut self,
        patience: Duration,
        mut happened: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !happened()? {
            if let Some(status) = self.child.try_wait()? {
                bail!("the monitor ended before the service answered ({status})");
            }
            if Instant::now() > deadline {
                bail!("the service does not answer within {} s", patience.as_secs());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Asks it to shut down, as Ctrl-C or a service manager would, and gives its exit status.
    pub(super) fn stop(mut self) -> Result<u8> {
        let number = self.child.id();
        println!("$ kill {number}");
        kill(Pid::from_raw(number.try_into()?), Signal::SIGTERM)
            .context("the monitor cannot be signalled")?;
        let deadline = Instant::now() + SHUTDOWN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(child::as_a_shell_shows(status));
            }
            if Instant::now() > deadline {
                bail!("the monitor is still there {} s after SIGTERM", SHUTDOWN.as_secs());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail where it has ended and was waited for, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
