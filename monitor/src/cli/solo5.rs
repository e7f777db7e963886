//! The command line of `solo5-hvt`, for those who call this program by that name: scripts, albatross, urunc.
//!
//! Its grammar is not that of `ukvm-run`: an option is one word with its value behind `=`, and most carry a device's name behind `:`.

use super::value::{self, hardware_address, interface, split_once};
use crate::abi::hvt::layout::{GRANULE, MAX_MEMORY};
use crate::abi::hvt::note::ABI_VERSION;
use crate::config::{Config, ConsoleConfig, DiskConfig, DiskSource, NetConfig, NetRing, NetSource};
use crate::device::net;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The program's name.
pub const NAME: &str = "solo5-hvt";
/// The status of a wrong command line, and of everything else that goes wrong.
pub const FAILED: u8 = 1;
/// The most characters of a device's name: those of the manifest less its NUL.
const MAX_NAME: usize = 67;
/// Bytes of a disk's sector where no option says more.
const SECTOR: u32 = 512;

const USAGE: &str = "\
usage: solo5-hvt [ OPTIONS ] [ -- ] KERNEL [ ARGS ]
KERNEL is a Solo5 unikernel for hvt. ARGS are its own.
Options:
  --mem=MB                       its memory in MiB, a multiple of 2 up to 4096 (default 512)
  --net:NAME=IFACE               its network device NAME is the TAP interface IFACE
  --net:NAME=@FD                 or the one that is open as descriptor FD
  --net-mac:NAME=HWADDR          the hardware address of NAME
  --block:NAME=PATH              its block device NAME is the file or host device PATH
  --block-sector-size:NAME=SIZE  the bytes of a sector of NAME (default 512)
  --no-net-ring                  a hypercall for each frame
  --help                         this text
  --version                      the version
This is ukvm-run, called by this name. It has more options under its own.
";

/// What the user wants to be done.
#[derive(Debug)]
pub enum Command {
    /// Run a guest.
    Run {
        /// The guest.
        config: Box<Config>,
        /// What the user should know before.
        warnings: Vec<String>,
    },
    /// Print a text on standard error, and end with a status.
    Print {
        /// Whole lines.
        text: String,
        /// The exit status.
        status: u8,
    },
}

/// Whether a program that is called so is to be `solo5-hvt`.
#[must_use]
pub fn is_called(name: Option<&OsStr>) -> bool {
    name.and_then(|name| Path::new(name).file_name()).is_some_and(|name| name == NAME)
}

/// Understands a command line whose first item is the name of the program. `started` is when the process began.
pub fn parse(words: impl IntoIterator<Item = OsString>, started: Instant) -> Command {
    let wrong =
        |sentence: String| Command::Print { text: format!("{NAME}: {sentence}\n{USAGE}"), status: FAILED };
    let mut words = words.into_iter().skip(1);
    let mut options = Options::default();
    let program = loop {
        let Some(word) = words.next() else { break None };
        match word.as_bytes() {
            b"--" => break words.next(),
            b"--help" => return Command::Print { text: USAGE.to_owned(), status: FAILED },
            b"--version" => return Command::Print { text: version(), status: 0 },
            option if option.starts_with(b"-") => match options.read(option) {
                Ok(()) => {}
                Err(Wrong::Memory(sentence)) => return wrong(sentence),
                Err(Wrong::Option(why)) => {
                    return wrong(format!("Invalid option: '{}'{why}", word.display()));
                }
            },
            _ => break Some(word),
        }
    };
    match program.filter(|program| !program.is_empty()) {
        None => wrong("Missing KERNEL operand".to_owned()),
        Some(program) => match options.devices() {
            Ok((nets, disks)) => Command::Run {
                config: Box::new(Config {
                    started,
                    arguments: words.collect(),
                    memory: options.memory,
                    nets,
                    disks,
                    // The ABI has no input, and standard input is nothing to wait for.
                    console: ConsoleConfig::Descriptors { input: -1, output: 1, raw: false },
                    net_ring: if options.no_ring { NetRing::Off } else { NetRing::Inside },
                    as_solo5: true,
                    ..Config::new(program)
                }),
                warnings: options.warnings,
            },
            Err(sentence) => wrong(sentence),
        },
    }
}

/// The first TAP that does not exist: `solo5-hvt` makes none, as nobody would connect it with anything.
#[must_use]
pub fn missing_interface(config: &Config) -> Option<&str> {
    config.nets.iter().find_map(|net| match &net.source {
        NetSource::Tap(name) if !net::exists(name) => Some(name.as_str()),
        _ => None,
    })
}

fn version() -> String {
    format!("{NAME} (ukvm {})\nABI version {ABI_VERSION}\n", super::VERSION)
}

/// What is wrong with an option.
enum Wrong {
    /// The memory; a sentence.
    Memory(String),
    /// Any other; what follows its text.
    Option(String),
}

/// What stands before KERNEL.
#[derive(Default)]
struct Options {
    memory: Option<u64>,
    nets: Vec<(String, NetSource)>,
    macs: Vec<(String, [u8; 6])>,
    disks: Vec<(String, PathBuf)>,
    sectors: Vec<(String, u32)>,
    no_ring: bool,
    warnings: Vec<String>,
}

impl Options {
    /// Takes one option in.
    fn read(&mut self, option: &[u8]) -> Result<(), Wrong> {
        if option == b"--no-net-ring" {
            self.no_ring = true;
            return Ok(());
        }
        let unknown = || Wrong::Option(String::new());
        let (key, value) = split_once(option, b'=').ok_or_else(unknown)?;
        if key == b"--mem" {
            return self.read_memory(value);
        }
        let (kind, name) = split_once(key, b':').ok_or_else(unknown)?;
        if !matches!(kind, b"--net" | b"--net-mac" | b"--block" | b"--block-sector-size") {
            return Err(unknown());
        }
        let name = device_name(name)?;
        let text = OsStr::from_bytes(value);
        match kind {
            b"--net" => add(&mut self.nets, name, net_source(text)?),
            b"--net-mac" => add(&mut self.macs, name, hardware_address(text).map_err(because)?),
            b"--block" if value.is_empty() => Err(because("it names no file")),
            b"--block" => add(&mut self.disks, name, text.into()),
            _ => add(&mut self.sectors, name, sector(text)?),
        }
    }

    /// The number of MiB that `value` begins with; what follows is not looked at.
    fn read_memory(&mut self, value: &[u8]) -> Result<(), Wrong> {
        let shown = OsStr::from_bytes(value).display();
        let digits: Vec<u8> = value.iter().copied().take_while(u8::is_ascii_digit).collect();
        let number = std::str::from_utf8(&digits).unwrap_or_default().trim_start_matches('0');
        if number.is_empty() {
            return Err(Wrong::Memory(format!(
                "Malformed argument to --mem: '{shown}' is no number of MiB; write it like --mem=64"
            )));
        }
        // What does not fit in 64 bits is too much as well.
        let wanted = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << 20));
        let wanted = wanted.filter(|&wanted| wanted <= MAX_MEMORY).ok_or_else(|| {
            Wrong::Memory(format!("--mem={shown} exceeds the max size of {} MiB", MAX_MEMORY >> 20))
        })?;
        let size = (wanted / GRANULE * GRANULE).max(GRANULE);
        if size != wanted {
            self.warnings.push(format!("adjusting memory to {} MB", size >> 20));
        }
        self.memory = Some(size);
        Ok(())
    }

    /// The devices, each with all that is said of it.
    fn devices(&mut self) -> Result<(Vec<NetConfig>, Vec<DiskConfig>), String> {
        let (mut macs, mut sectors) = (std::mem::take(&mut self.macs), std::mem::take(&mut self.sectors));
        let nets = self.nets.drain(..).map(|(name, source)| {
            let mac = take(&mut macs, &name);
            NetConfig { name: Some(name), source, mac }
        });
        let nets = nets.collect();
        let disks = self.disks.drain(..).map(|(name, path)| {
            let block_size = Some(take(&mut sectors, &name).unwrap_or(SECTOR));
            let source = DiskSource::Path(path);
            DiskConfig { name: Some(name), source, read_only: false, direct: false, block_size }
        });
        let disks = disks.collect();
        let lonely = |what: &str, name: &str, option: &str| {
            Err(format!(
                "Invalid option: --{what}:{name} says of a device what it has, and not what it is: add --{option}"
            ))
        };
        match (macs.first(), sectors.first()) {
            (Some((name, _)), _) => lonely("net-mac", name, &format!("net:{name}=IFACE")),
            (_, Some((name, _))) => lonely("block-sector-size", name, &format!("block:{name}=PATH")),
            _ => Ok((nets, disks)),
        }
    }
}

fn because(why: impl std::fmt::Display) -> Wrong {
    Wrong::Option(format!(": {why}"))
}

/// A device's name, by the rules of Solo5's tools.
fn device_name(name: &[u8]) -> Result<String, Wrong> {
    let legal = (1..=MAX_NAME).contains(&name.len()) && name.iter().all(u8::is_ascii_alphanumeric);
    match std::str::from_utf8(name) {
        Ok(name) if legal => Ok(name.to_owned()),
        _ => Err(because(format!("a device's name is 1 to {MAX_NAME} letters and digits"))),
    }
}

/// An interface's name, or `@` and the number of a descriptor.
fn net_source(text: &OsStr) -> Result<NetSource, Wrong> {
    let Some(number) = text.as_bytes().strip_prefix(b"@") else {
        return Ok(NetSource::Tap(interface(text).map_err(because)?));
    };
    let number =
        std::str::from_utf8(number).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    number
        .and_then(|number| number.parse().ok())
        .map(NetSource::Fd)
        .ok_or_else(|| because(format!("'{}' is not a descriptor; write it like @3", text.display())))
}

fn sector(text: &OsStr) -> Result<u32, Wrong> {
    value::sector(text).map_err(|why| {
        because(format!("Block size must be a multiple of 2 greater than or equal 512: {why}"))
    })
}

/// Adds what is said of a device, once.
fn add<T>(list: &mut Vec<(String, T)>, name: String, value: T) -> Result<(), Wrong> {
    if list.iter().any(|(other, _)| *other == name) {
        return Err(because(format!("'{name}' has this option already")));
    }
    list.push((name, value));
    Ok(())
}

/// Takes what is said of a device.
fn take<T>(list: &mut Vec<(String, T)>, name: &str) -> Option<T> {
    let index = list.iter().position(|(other, _)| other == name)?;
    Some(list.swap_remove(index).1)
}

#[cfg(test)]
#[path = "solo5_tests.rs"]
mod tests;
