//! DHCP servers of others, as processes in this thread's network namespace.

use crate::daemon::Daemon;
use crate::files;
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// Which program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `dnsmasq`.
    Dnsmasq,
    /// `udhcpd`, of busybox.
    Udhcpd,
    /// `kea-dhcp4`.
    Kea,
}

/// What a server is to give: an address of 10.0.0.0/24 with 10.0.0.1 as the gateway, for two minutes.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// The last bytes of the first and the last address.
    pub hosts: (u8, u8),
    /// After how many seconds to ask for more time, and when to ask any server; `None`: the server's own choice.
    pub renewal: Option<(u32, u32)>,
}

/// A server that runs. Ended when it is dropped; what it has given it keeps in its directory.
#[derive(Debug)]
pub struct Server {
    daemon: Daemon,
    kind: Kind,
}

impl Server {
    /// Starts one on `interface`, which has 10.0.0.1, with its files in `directory`.
    ///
    /// # Panics
    ///
    /// Where that is not possible.
    #[must_use]
    pub fn start(kind: Kind, directory: &Path, interface: &str, pool: Pool) -> Self {
        let name = match kind {
            Kind::Dnsmasq => "dnsmasq",
            Kind::Udhcpd => "udhcpd",
            Kind::Kea => "kea-dhcp4",
        };
        let program = files::program(name).unwrap_or_else(|| panic!("{name} is not installed"));
        let mut command = Command::new(program);
        command.args(arguments(kind, directory, interface, pool));
        // kea keeps its locks there.
        command.env("KEA_PIDFILE_DIR", directory).env("KEA_LOCKFILE_DIR", directory);
        let daemon = Daemon::of(command, name, directory);
        daemon.wait_for(match kind {
            Kind::Dnsmasq => "DHCP, IP range",
            Kind::Udhcpd => "started",
            Kind::Kea => "DHCP4_STARTED",
        });
        Self { daemon, kind }
    }

    /// Waits until it has given an address, or given it for longer, so many times since it was started.
    pub fn wait_for_grants(&self, count: usize) {
        let text = match self.kind {
            Kind::Dnsmasq => "DHCPACK(",
            Kind::Udhcpd => "sending ACK",
            Kind::Kea => "DHCP4_LEASE_ALLOC",
        };
        self.wait_for(text, count);
    }

    /// Waits until `text` is in what it says so many times.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn wait_for(&self, text: &str, count: usize) {
        self.daemon.wait_for_count(text, count);
    }
}

/// Its command line; writes the files that it names.
fn arguments(kind: Kind, directory: &Path, interface: &str, pool: Pool) -> Vec<String> {
    let path = |name: &str| directory.join(name).display().to_string();
    let (first, last) = pool.hosts;
    match kind {
        Kind::Dnsmasq => {
            let mut all = vec![
                "--keep-in-foreground".into(),
                "--conf-file=/dev/null".into(),
                "--port=0".into(),
                format!("--interface={interface}"),
                "--bind-interfaces".into(),
                format!("--dhcp-range=10.0.0.{first},10.0.0.{last},255.255.255.0,2m"),
                // Else it first looks for three seconds whether an address answers, and picks one by the hardware address.
                "--no-ping".into(),
                "--dhcp-sequential-ip".into(),
                "--dhcp-authoritative".into(),
                format!("--dhcp-leasefile={}", path("leases")),
                "--pid-file=".into(),
                "--user=root".into(),
                "--log-dhcp".into(),
                "--log-facility=-".into(),
                "--dhcp-option=option:dns-server,9.9.9.9".into(),
                "--dhcp-option=option:domain-name,example.org".into(),
                "--dhcp-option=option:classless-static-route,0.0.0.0/0,10.0.0.1,172.16.0.0/12,10.0.0.1"
                    .into(),
            ];
            if let Some((renewal, rebinding)) = pool.renewal {
                all.push(format!("--dhcp-option=option:T1,{renewal}"));
                all.push(format!("--dhcp-option=option:T2,{rebinding}"));
            }
            all
        }
        Kind::Udhcpd => {
            let mut text = format!(
                "start 10.0.0.{first}\nend 10.0.0.{last}\ninterface {interface}\nlease_file {}\npidfile {}\nauto_time 1\n\
                 option subnet 255.255.255.0\noption router 10.0.0.1\noption dns 9.9.9.9\noption lease 120\n",
                path("leases"),
                path("pid"),
            );
            if let Some((renewal, rebinding)) = pool.renewal {
                text += &format!("option 0x3a {renewal:08x}\noption 0x3b {rebinding:08x}\n");
            }
            // It reads what it has given from there, and wants it to exist.
            let _ = File::options().create(true).append(true).open(path("leases")).expect("a file");
            let _ = files::file(directory, "udhcpd.conf", text.as_bytes());
            vec!["-f".into(), path("udhcpd.conf")]
        }
        Kind::Kea => {
            let times = pool.renewal.map_or_else(String::new, |(renewal, rebinding)| {
                format!(r#""renew-timer": {renewal}, "rebind-timer": {rebinding},"#)
            });
            let text = format!(
                r#"{{"Dhcp4": {{
                    "interfaces-config": {{"interfaces": ["{interface}"]}},
                    "lease-database": {{"type": "memfile", "name": "{}"}},
                    "valid-lifetime": 120, {times}
                    "subnet4": [{{
                        "id": 1, "subnet": "10.0.0.0/24", "pools": [{{"pool": "10.0.0.{first} - 10.0.0.{last}"}}],
                        "option-data": [
                            {{"name": "routers", "data": "10.0.0.1"}},
                            {{"name": "domain-name-servers", "data": "9.9.9.9"}}
                        ]
                    }}],
                    "loggers": [{{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{{"output": "stdout"}}]}}]
                }}}}"#,
                path("leases"),
            );
            let _ = files::file(directory, "kea.json", text.as_bytes());
            vec!["-c".into(), path("kea.json")]
        }
    }
}
