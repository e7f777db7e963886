//! A program as `cargo run` starts it.

use crate::forward::{Forward, Ports};
use crate::guest::Guest;
use crate::host_failed;
use crate::network::Network;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::process::Child;
use ukvm::error::Error;
use ukvm_host_net::child::{self, as_a_shell_shows};

/// Runs the guest, with its network and the way to it where these have to be made, and gives its exit status.
///
/// # Errors
///
/// Where the host does not let it.
pub(crate) fn run(guest: &Guest, ports: &[Ports], arguments: &[OsString]) -> Result<u8, Error> {
    // Before there is a thread, so that it holds for all of them.
    let signals = Signals::block()?;
    if let Some(network) = &guest.network {
        // In the network of whoever started this.
        let forwards: Vec<_> = ports
            .iter()
            .filter_map(|ports| match *ports {
                Ports::None => None,
                Ports::Pair { host, guest } => Some(Forward::listen(host, guest)),
            })
            .collect::<Result<_, _>>()?;
        Network::permit()?;
        network.enter()?;
        for forward in forwards {
            eprintln!("{forward}");
            forward.pass_on(network.guest());
        }
    }
    let mut command = guest.command(&[], arguments);
    let child = child::with_blocked(&mut command, signals.old).spawn();
    let child = child.map_err(|error| guest.not_started(&error))?;
    signals.pass_on_until_end(child)
}

/// The signals that are not for this process, but for the guest.
#[derive(Debug)]
struct Signals {
    descriptor: SignalFd,
    /// What was blocked before, and is for the guest.
    old: SigSet,
}

impl Signals {
    fn block() -> Result<Self, Error> {
        let all = [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];
        let all: SigSet = all.into_iter().collect();
        let old = all.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(failed)?;
        let descriptor = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC).map_err(failed)?;
        Ok(Self { descriptor, old })
    }

    /// Passes signals on to `child` until it ends, and gives its status. Those that a key of the terminal causes it has had already.
    fn pass_on_until_end(self, mut child: Child) -> Result<u8, Error> {
        let pid = Pid::from_raw(child.id().cast_signed());
        loop {
            if let Some(status) = child.try_wait().map_err(host_failed)? {
                return Ok(as_a_shell_shows(status));
            }
            let signal = match self.descriptor.read_signal() {
                Ok(Some(signal)) => signal,
                Ok(None) | Err(Errno::EINTR) => continue,
                Err(error) => return Err(failed(error)),
            };
            let number = Signal::try_from(signal.ssi_signo.cast_signed());
            // The kernel's own have a code above 0 (sigaction(2)).
            if let Ok(signal_name) = number
                && signal_name != Signal::SIGCHLD
                && signal.ssi_code <= 0
            {
                // It has not been waited for, so the number is still its own.
                let _ = kill(pid, signal_name);
            }
        }
    }
}

fn failed(error: Errno) -> Error {
    host_failed(format_args!("signals cannot be waited for ({error}); look at what confines this process"))
}
