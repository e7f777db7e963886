//! What a job finds: a file on a web server, a server of addresses and names, and a disk.

use crate::directory::Directory;
use crate::error::Error;
use crate::io::network;
use crate::nginx;
use crate::program::Program;
use crate::session::Session;
use crate::turn::Turn;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of the host.
pub(super) const NAME: &str = "web.example";
/// The file that is fetched.
pub(super) const FILE: &str = "data.bin";
/// Its size in bytes.
pub(super) const SIZE: usize = 1 << 20;
/// The bytes of the disk: enough for a FAT file system with a mark of whether it was put away in order.
const DISK: u64 = 64 << 20;
/// The ports of HTTP and DNS, where the servers take connections once they serve.
const PORTS: [u16; 2] = [80, 53];

/// The files, and the programs that serve them.
#[derive(Debug)]
pub(super) struct World {
    directory: Directory,
    servers: [Program; 2],
}

impl World {
    /// Makes all of it in a directory in `parent`, which goes with this.
    pub(super) fn create(parent: &Path, nginx: &Path, dnsmasq: &Path, mkfs: &Path) -> Result<Self, Error> {
        let directory = Directory::create(parent, "job")?;
        let path = directory.path();
        let nginx = fill(path).and_then(|()| nginx::program(nginx, path, None));
        let nginx = nginx.map_err(|error| Error::output(path, &error))?;
        let dnsmasq = dnsmasq_in(path, dnsmasq);
        let world = Self { directory, servers: [nginx, dnsmasq] };
        let disk = world.disk();
        let made = Command::new(mkfs).arg(&disk).output().map_err(|error| Error::start(mkfs, &error))?;
        if made.status.success() {
            Ok(world)
        } else {
            Err(Error::program(format!(
                "mkfs.vfat ended with {}; try it alone on {}",
                made.status,
                disk.display()
            )))
        }
    }

    /// The image of the disk.
    pub(super) fn disk(&self) -> PathBuf {
        self.directory.path().join("data.img")
    }

    /// A place for the file where there is no disk.
    pub(super) fn copy(&self) -> PathBuf {
        self.directory.path().join("copy.bin")
    }

    /// Starts the servers, and waits until they serve.
    pub(super) fn serve(&self, session: &Session) -> Result<Vec<Turn>, Error> {
        let servers = self.servers.iter().zip(PORTS);
        servers
            .map(|(program, port)| Turn::serve(program, SocketAddr::from((network::HOST, port)), session))
            .collect()
    }
}

/// The file that is served, and an empty disk.
fn fill(directory: &Path) -> std::io::Result<()> {
    let tree = directory.join("tree");
    fs::create_dir(&tree)?;
    fs::write(tree.join(FILE), (0..SIZE).map(|at| (at % 251) as u8).collect::<Vec<_>>())?;
    fs::File::create(directory.join("data.img"))?.set_len(DISK)
}

/// dnsmasq, which gives the guest's address to whoever asks, and knows the host by its name.
fn dnsmasq_in(directory: &Path, path: &Path) -> Program {
    let (host, guest) = (network::HOST, network::GUEST);
    let words = [
        "--keep-in-foreground".to_owned(),
        "--conf-file=/dev/null".into(),
        "--no-resolv".into(),
        "--no-hosts".into(),
        "--bind-interfaces".into(),
        format!("--interface={}", network::TAP),
        format!("--host-record={NAME},{host}"),
        "--local=/example/".into(),
        format!("--dhcp-range={guest},{guest},255.255.255.0,1h"),
        // It would look for three seconds whether somebody has the address, the first time.
        "--no-ping".into(),
        "--dhcp-authoritative".into(),
        format!("--dhcp-leasefile={}", directory.join("leases").display()),
        "--pid-file=".into(),
        "--user=".into(),
        "--log-facility=-".into(),
    ];
    Program { arguments: words.into_iter().map(Into::into).collect(), ..Program::at(path) }
}
