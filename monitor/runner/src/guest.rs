//! A program, and with which options `ukvm-run` runs it.

use crate::network::Network;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use ukvm::abi::setup;
use ukvm::bind::unbound;
use ukvm::cli;
use ukvm::config::{DiskConfig, NetConfig};
use ukvm::elf::{Access, Declared};
use ukvm::error::{Error, ErrorKind};
use ukvm_abi::manifest::DeviceKind;
use ukvm_host_net::child;

/// A program that can be run.
#[derive(Debug)]
pub(crate) struct Guest {
    monitor: PathBuf,
    program: PathBuf,
    file: Option<PathBuf>,
    /// How long the file lets it run.
    pub(crate) timeout: Option<Duration>,
    /// Whether the file gives it something that two guests cannot have at a time: a disk that it may write to, or a TAP.
    pub(crate) is_exclusive: bool,
    /// The network that its devices need; `None`: there is nothing to be made.
    pub(crate) network: Option<Network>,
}

impl Guest {
    /// The unikernel `program`, run by `monitor` with the options in `file`, if there is that file. With `tells_addresses` it is told those
    /// that it has in a network made for it.
    ///
    /// # Errors
    ///
    /// Where the program is no unikernel, or the file is wrong or leaves out what the program needs.
    pub(crate) fn open(
        monitor: PathBuf,
        program: PathBuf,
        file: Option<PathBuf>,
        tells_addresses: bool,
    ) -> Result<Self, Error> {
        let wanted = file.clone();
        let file = file.filter(|file| file.exists());
        let mut given = Given::default();
        if let Some(file) = &file {
            given = Given::read(file, &program)?;
        }
        let setup = setup::open(&program)?;
        let manifest = setup.manifest();
        let some_nets = !given.nets.is_empty();
        let timeout = given.timeout;
        let is_exclusive = given.is_exclusive();
        let left = unbound(manifest, given.nets, given.disks)?;
        let place = wanted.unwrap_or_else(|| "vm.toml".into());
        refuse_missing_disk(&left, &place)?;
        let devices = missing_networks(&left, some_nets, &place)?;
        // With several it would not be plain which one an address is for.
        let is_only = manifest.devices.iter().filter(|device| device.kind == DeviceKind::Net).count() == 1;
        let network = (!devices.is_empty()).then(|| Network::new(devices, is_only && tells_addresses));
        Ok(Self { monitor, program, file, timeout, is_exclusive, network })
    }

    /// The monitor with the guest, yet without arguments of its own. It ends with the thread that starts it.
    pub(crate) fn command(&self, options: &[&OsStr], arguments: &[OsString]) -> Command {
        let mut command = Command::new(&self.monitor);
        if let Some(file) = &self.file {
            command.arg("--config").arg(file);
        }
        let network = self.network.as_ref();
        command.args(network.into_iter().flat_map(Network::options)).args(options);
        command.arg(&self.program).arg("--");
        let says_address = |word: &OsString| word == "--ip" || word.as_encoded_bytes().starts_with(b"--ip=");
        if !arguments.iter().any(says_address) {
            command.args(network.into_iter().flat_map(Network::arguments));
        }
        command.args(arguments);
        child::end_with_us(&mut command);
        command
    }

    /// What to say where the monitor cannot be started.
    pub(crate) fn not_started(&self, error: &std::io::Error) -> Error {
        let monitor = self.monitor.display();
        Error::new(
            ErrorKind::of_file(error),
            format!(
                "{monitor} cannot be started ({error}); build ukvm-run, and name it by --monitor in .cargo/config.toml"
            ),
        )
    }
}

/// What the options in a file give a guest.
#[derive(Debug, Default)]
struct Given {
    nets: Vec<NetConfig>,
    disks: Vec<DiskConfig>,
    timeout: Option<Duration>,
}

impl Given {
    fn read(file: &Path, program: &Path) -> Result<Self, Error> {
        let words: [&OsStr; 4] = ["ukvm-run".as_ref(), "--config".as_ref(), file.as_ref(), program.as_ref()];
        match cli::parse(words.map(OsString::from), Instant::now())? {
            cli::Command::Run { config, .. } => {
                Ok(Self { nets: config.nets, disks: config.disks, timeout: config.timeout })
            }
            // Such as `inspect = true`: there will be no guest.
            _ => Ok(Self::default()),
        }
    }

    fn is_exclusive(&self) -> bool {
        // One of two guests finds the disk locked by the other, or the TAP busy.
        !self.nets.is_empty() || self.disks.iter().any(|disk| !disk.read_only)
    }
}

/// No disk can be made up.
fn refuse_missing_disk(left: &[&Declared], file: &Path) -> Result<(), Error> {
    let is_missing = |declared: &&&Declared| declared.kind == DeviceKind::Block && !declared.optional;
    let Some(Declared { name, access, .. }) = left.iter().find(is_missing) else { return Ok(()) };
    let read_only = if *access == Access::Read { ",ro" } else { "" };
    let sentence = format!(
        "the program needs the block device '{name}': write disk = [\"{name}=PATH{read_only}\"] into {}",
        file.display()
    );
    Err(Error::new(ErrorKind::BadConfig, sentence))
}

/// The names of the network devices that a network is to be made for, all of them or none: one guest is in one network namespace.
fn missing_networks(left: &[&Declared], some_given: bool, file: &Path) -> Result<Vec<String>, Error> {
    let devices = left.iter().filter(|declared| declared.kind == DeviceKind::Net);
    let names: Vec<String> = devices.map(|declared| declared.name.clone()).collect();
    match names.first() {
        Some(name) if some_given => {
            let sentence = format!(
                "{} gives some network devices a TAP, but not '{name}': write one for each, or none, and each \
                 gets one in a network of the guest's own",
                file.display()
            );
            Err(Error::new(ErrorKind::BadConfig, sentence))
        }
        _ => Ok(names),
    }
}
