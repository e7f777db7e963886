//! Processes that do not outlive whoever started them.

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getppid};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

/// Has the kernel kill what `command` starts when the thread that starts it ends, however that comes.
pub fn end_with_us(command: &mut Command) -> &mut Command {
    let own = Pid::this();
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // We may have ended just now.
            if getppid() == own { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
        })
    }
}

/// Has what `command` starts begin with `mask` as its blocked signals, whatever the thread that starts it has blocked for itself.
pub fn with_blocked(command: &mut Command, mask: SigSet) -> &mut Command {
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(move || Ok(mask.thread_set_mask()?)) }
}

/// The exit status of a process as a shell shows it: 128 and the signal's number where one ended it.
#[must_use]
pub fn as_a_shell_shows(status: ExitStatus) -> u8 {
    let shown = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    // The kernel keeps no more of it.
    shown as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::SigmaskHow;
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    #[test]
    fn it_ends_with_the_thread_that_started_it() {
        let start = || {
            let mut command = Command::new("sleep");
            command.arg("60").stdin(Stdio::null());
            end_with_us(&mut command).spawn().unwrap()
        };
        let mut child = std::thread::spawn(start).join().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert_eq!(as_a_shell_shows(status), 128 + 9);
                return;
            }
            assert!(Instant::now() < deadline, "it still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn it_has_the_mask_that_it_is_given() {
        let blocked = |command: &mut Command| {
            let output = command.args(["^SigBlk", "/proc/self/status"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let before = blocked(&mut Command::new("grep"));
        let own: SigSet = [Signal::SIGQUIT, Signal::SIGHUP].into_iter().collect();
        let old = own.thread_swap_mask(SigmaskHow::SIG_BLOCK).unwrap();
        assert_ne!(blocked(&mut Command::new("grep")), before);
        assert_eq!(blocked(with_blocked(&mut Command::new("grep"), old)), before);
        old.thread_set_mask().unwrap();
    }

    #[test]
    fn a_status_is_shown_as_shells_do() {
        let status = |script: &str| Command::new("sh").args(["-c", script]).status().unwrap();
        assert_eq!(as_a_shell_shows(status("exit 7")), 7);
        assert_eq!(as_a_shell_shows(status("kill -TERM $$")), 143);
    }
}
