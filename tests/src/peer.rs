//! Another host on the network: a network namespace beside that of the test, with a cable between them.

use crate::files::{call, call_by, program};
use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Another host. It goes when it is dropped, and the cable with it.
#[derive(Debug)]
pub struct Peer {
    /// What keeps the namespace.
    keeper: Child,
}

impl Peer {
    /// A host with the interface `eth0`, whose other end is `uplink` in this thread's namespace. Both are up.
    ///
    /// # Panics
    ///
    /// Where that is not possible.
    #[must_use]
    pub fn behind(uplink: &str) -> Self {
        let keeper = Command::new(program("unshare").expect("checked before"))
            .args(["--net", "--", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .expect("a network namespace");
        let peer = Self { keeper };
        let own = fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
        let deadline = Instant::now() + Duration::from_secs(10);
        while fs::read_link(peer.namespace()).is_ok_and(|namespace| namespace == own) {
            assert!(Instant::now() < deadline, "no new namespace");
            std::thread::sleep(Duration::from_millis(1));
        }
        let number = peer.keeper.id().to_string();
        let _ =
            call("ip", &["link", "add", uplink, "type", "veth", "peer", "name", "eth0", "netns", &number]);
        let _ = call("ip", &["link", "set", uplink, "up"]);
        peer.call("ip", &["link", "set", "lo", "up"]);
        peer.call("ip", &["link", "set", "eth0", "up"]);
        peer
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.keeper.id())
    }

    /// A command that runs the program `name` there.
    ///
    /// # Panics
    ///
    /// If it is not installed.
    #[must_use]
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program("nsenter").expect("checked before"));
        command.arg(format!("--net={}", self.namespace())).arg("--");
        command.arg(program(name).unwrap_or_else(|| panic!("{name} is not installed")));
        command
    }

    /// Runs the program `name` there, and returns what came out of it.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn call(&self, name: &str, arguments: &[&str]) -> Output {
        call_by(&mut self.command(name), name, arguments)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
