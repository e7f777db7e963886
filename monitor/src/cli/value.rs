//! The values of options: sizes, durations, devices, descriptors.
//!
//! Each parser takes what the user wrote and gives the value or the second half of a sentence, which the caller puts behind
//! the name of the option.

use crate::config::{ConsoleConfig, KvmSource, NetConfig, NetRing, NetSource};
use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ukvm_abi::manifest;

/// The most bytes of an interface's name: `IFNAMSIZ` of Linux less the NUL.
const MAX_INTERFACE_NAME: usize = 15;

/// What is wrong with a value; continues a sentence that began with the option's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadValue(String);

/// A block device as an option names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// The name in the manifest.
    pub(super) name: Option<String>,
    /// What is behind it.
    pub(super) file: FileOrFd,
    /// Whether the guest may only read it.
    pub(super) read_only: bool,
    /// Whether it bypasses the host's page cache.
    pub(super) direct: bool,
    /// Bytes of a sector, for a Solo5 guest.
    pub(super) block_size: Option<u32>,
}

/// A file that is to be opened, or that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileOrFd {
    /// Its path.
    Path(PathBuf),
    /// Its open descriptor.
    Fd(RawFd),
}

/// A number with a suffix, split into the two, where it is one.
fn number_and_suffix(text: &OsStr) -> Option<(Option<u64>, &str)> {
    let text = text.to_str()?;
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at_checked(end)?;
    // Only an overflow can fail here.
    (!digits.is_empty()).then(|| (digits.parse().ok(), suffix))
}

/// A size of memory in bytes: `512K`, `64M`, `2G`, or a number of MiB.
pub(super) fn size(text: &OsStr) -> Result<u64, BadValue> {
    let shown = text.display();
    let junk =
        || BadValue(format!("'{shown}' is not a size; write it like 512K, 64M or 2G (a bare number is MiB)"));
    let (number, suffix) = number_and_suffix(text).ok_or_else(junk)?;
    let unit = match suffix {
        "" | "M" | "m" => 1 << 20,
        "K" | "k" => 1 << 10,
        "G" | "g" => 1_u64 << 30,
        _ => return Err(junk()),
    };
    match number.and_then(|number| number.checked_mul(unit)) {
        Some(0) => Err(BadValue("a guest needs memory, so the size must not be 0; try 64M".into())),
        Some(bytes) => Ok(bytes),
        None => Err(BadValue(format!("{shown} is more than any host has; write a size like 64M or 2G"))),
    }
}

/// A duration: `500ms`, `5s`, `2m`, `1h`, or a number of seconds.
pub(super) fn duration(text: &OsStr) -> Result<Duration, BadValue> {
    let shown = text.display();
    let junk = || {
        BadValue(format!(
            "'{shown}' is not a duration; write it like 500ms, 5s, 2m or 1h (a bare number is seconds)"
        ))
    };
    let (number, suffix) = number_and_suffix(text).ok_or_else(junk)?;
    let milliseconds = match suffix {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(junk()),
    };
    match number.and_then(|number| number.checked_mul(milliseconds)) {
        // The monitor counts nanoseconds in 64 bits.
        Some(milliseconds) if milliseconds <= u64::MAX / 1_000_000 => Ok(Duration::from_millis(milliseconds)),
        _ => {
            Err(BadValue(format!("{shown} is longer than 584 years; leave the option out to have no limit")))
        }
    }
}

/// The duration of `--timeout`, which cannot be 0.
pub(super) fn timeout(text: &OsStr) -> Result<Duration, BadValue> {
    match duration(text)? {
        Duration::ZERO => Err(BadValue(
            "0 would end the guest before it starts; leave the option out to have no limit".into(),
        )),
        duration => Ok(duration),
    }
}

/// The seed of a placement: up to 16 hexadecimal digits, `0x` before them or not.
pub(super) fn seed(text: &OsStr) -> Result<u64, BadValue> {
    text.to_str()
        .map(|text| text.strip_prefix("0x").unwrap_or(text))
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| {
            BadValue(format!(
                "'{}' is not a seed; it is up to 16 hexadecimal digits, as --verbose and --report print it",
                text.display()
            ))
        })
}

/// A variable of the guest's environment, `KEY=VALUE`.
pub(super) fn variable(text: &OsStr) -> Result<(OsString, OsString), BadValue> {
    match split_once(text.as_bytes(), b'=') {
        Some((name, value)) if !name.is_empty() => {
            Ok((OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
        }
        _ => Err(BadValue(format!("'{}' is not a variable; write it as KEY=VALUE", text.display()))),
    }
}

/// The KVM device: a path, or `fd:N`.
pub(super) fn kvm(text: &OsStr) -> Result<KvmSource, BadValue> {
    match descriptor(text.as_bytes())? {
        Some(number) => Ok(KvmSource::Fd(number)),
        None if text.is_empty() => Err(BadValue("the path is empty; it is mostly /dev/kvm".into())),
        None => Ok(KvmSource::Path(text.into())),
    }
}

/// A file to write: a path that is not empty.
pub(super) fn file(text: &OsStr) -> Result<PathBuf, BadValue> {
    if text.is_empty() { Err(BadValue("the path is empty; name a file".into())) } else { Ok(text.into()) }
}

/// A network device: `[NAME=]TAP[,mac=ADDRESS]`, TAP also as `fd:N`.
pub(super) fn net(text: &OsStr) -> Result<NetConfig, BadValue> {
    let (name, rest) = device_name(text.as_bytes());
    let (tap, mac) = match split_once(rest, b',') {
        None => (rest, None),
        Some((tap, option)) => match option.strip_prefix(b"mac=") {
            Some(address) => (tap, Some(hardware_address(OsStr::from_bytes(address))?)),
            None => {
                return Err(BadValue(format!(
                    "',{}' is unknown; the one thing that can follow the TAP is ,mac=ADDRESS",
                    OsStr::from_bytes(option).display()
                )));
            }
        },
    };
    let source = match descriptor(tap)? {
        Some(number) => NetSource::Fd(number),
        None => NetSource::Tap(interface(OsStr::from_bytes(tap))?),
    };
    Ok(NetConfig { name, source, mac })
}

/// A block device: `[NAME=]PATH[,ro][,direct][,sector=N]`, PATH also as `fd:N`.
///
/// A path may hold any byte: only what stands before the first `=` and is a legal device name is taken as the name, and
/// only `,ro`, `,direct` and `,sector=N` at the very end, each once and in any order, as options.
pub(super) fn disk(text: &OsStr) -> Result<Disk, BadValue> {
    let (name, rest) = device_name(text.as_bytes());
    let (mut path, mut read_only, mut direct, mut block_size) = (rest, false, false, None);
    loop {
        if let Some(rest) = path.strip_suffix(b",ro").filter(|_| !read_only) {
            (path, read_only) = (rest, true);
        } else if let Some(rest) = path.strip_suffix(b",direct").filter(|_| !direct) {
            (path, direct) = (rest, true);
        } else if let Some((rest, number)) = sector_option(path).filter(|_| block_size.is_none()) {
            (path, block_size) = (rest, Some(sector(OsStr::from_bytes(number))?));
        } else {
            break;
        }
    }
    let file = match descriptor(path)? {
        Some(number) => FileOrFd::Fd(number),
        None if path.is_empty() => {
            return Err(BadValue(format!(
                "'{}' names no file; write it as PATH or NAME=PATH",
                text.display()
            )));
        }
        None => FileOrFd::Path(OsStr::from_bytes(path).into()),
    };
    Ok(Disk { name, file, read_only, direct, block_size })
}

/// What stands before a `,sector=` that is the last option, and its value.
fn sector_option(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let comma = text.iter().rposition(|&byte| byte == b',')?;
    let (before, option) = text.split_at_checked(comma)?;
    Some((before, option.strip_prefix(b",sector=")?))
}

/// The bytes of a sector: a power of two from 512 to 32768.
pub(super) fn sector(text: &OsStr) -> Result<u32, BadValue> {
    let number =
        number_and_suffix(text).filter(|(_, suffix)| suffix.is_empty()).and_then(|(number, _)| number);
    let size = number.and_then(|number| u32::try_from(number).ok());
    size.filter(|size| size.is_power_of_two() && (512..=32768).contains(size)).ok_or_else(|| {
        BadValue(format!(
            "'{}' is not the size of a sector, which is a power of two from 512 to 32768",
            text.display()
        ))
    })
}

/// A console: `stdio`, `null`, `file:PATH`, `unix:PATH` or `pty`.
pub(super) fn console(text: &OsStr) -> Result<ConsoleConfig, BadValue> {
    let path = |path: &[u8]| match path {
        [] => Err(BadValue(format!("'{}' names no path; write one behind the colon", text.display()))),
        path => Ok(PathBuf::from(OsStr::from_bytes(path))),
    };
    match text.as_bytes() {
        b"stdio" => Ok(ConsoleConfig::STDIO),
        b"null" => Ok(ConsoleConfig::Null),
        b"pty" => Ok(ConsoleConfig::Pty),
        other => match split_once(other, b':') {
            Some((b"file", rest)) => path(rest).map(ConsoleConfig::File),
            Some((b"unix", rest)) => path(rest).map(ConsoleConfig::Unix),
            _ => Err(BadValue(format!(
                "'{}' is no console; write stdio, null, file:PATH, unix:PATH or pty",
                text.display()
            ))),
        },
    }
}

/// Where a Solo5 guest's net ring lies.
pub(super) fn net_ring(text: &OsStr) -> Result<NetRing, BadValue> {
    match text.as_bytes() {
        b"inside" => Ok(NetRing::Inside),
        b"above" => Ok(NetRing::Above),
        _ => Err(BadValue(format!("'{}' is no place for it; write inside or above", text.display()))),
    }
}

/// The device's name before the first `=`, where there is one that is legal, and the rest.
fn device_name(text: &[u8]) -> (Option<String>, &[u8]) {
    match split_once(text, b'=') {
        Some((name, rest)) if manifest::is_name(name) => {
            (std::str::from_utf8(name).ok().map(str::to_owned), rest)
        }
        _ => (None, text),
    }
}

/// The descriptor that `fd:N` names; `None` where it is not of this form.
fn descriptor(text: &[u8]) -> Result<Option<RawFd>, BadValue> {
    let Some(number) = text.strip_prefix(b"fd:") else {
        return Ok(None);
    };
    let parsed = std::str::from_utf8(number)
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse::<RawFd>().ok());
    match parsed {
        Some(number @ 3..) => Ok(Some(number)),
        Some(number) => Err(BadValue(format!(
            "fd:{number} is the console's; pass the device on as descriptor 3 or above, as a shell does with 3<>FILE"
        ))),
        None => Err(BadValue(format!(
            "'{}' is not a descriptor; write fd:N with its number, or ./fd:… for a file of that name",
            OsStr::from_bytes(text).display()
        ))),
    }
}

/// A network interface's name, by the rules of Linux.
pub(super) fn interface(text: &OsStr) -> Result<String, BadValue> {
    let legal = |name: &str| {
        !name.is_empty()
            && name.len() <= MAX_INTERFACE_NAME
            && name != "."
            && name != ".."
            // '%' makes Linux choose a number, and the rest it refuses.
            && !name.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | '%'))
    };
    match text.to_str() {
        Some(name) if legal(name) => Ok(name.to_owned()),
        _ => Err(BadValue(format!(
            "'{}' cannot be the name of a TAP interface, which has 1 to {MAX_INTERFACE_NAME} characters and no '/', ':', '%' or blank",
            text.display()
        ))),
    }
}

/// A unicast hardware address: six bytes in hexadecimal, `:` between them.
pub(super) fn hardware_address(text: &OsStr) -> Result<[u8; 6], BadValue> {
    let byte = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u8::from_str_radix(part, 16).ok()).flatten()
    };
    let bytes: Option<Vec<u8>> = text.to_str().and_then(|text| text.split(':').map(byte).collect());
    match bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok()) {
        None => Err(BadValue(format!(
            "'{}' is not a hardware address; write it like 02:00:00:12:34:56",
            text.display()
        ))),
        Some(address @ [first, ..]) if first & 1 == 1 || address == [0; 6] => Err(BadValue(format!(
            "{} belongs to no single device; take an address like 02:00:00:12:34:56, whose first byte is even",
            text.display()
        ))),
        Some(address) => Ok(address),
    }
}

/// The path in the value of an option, and what stands before it; `None` where the value names no file.
pub(super) fn path_in<'a>(option: &str, value: &'a OsStr) -> Option<(&'a OsStr, &'a Path)> {
    let bytes = value.as_bytes();
    let start = match option {
        "program" | "report" | "kvm" => 0,
        "disk" => bytes.len() - device_name(bytes).1.len(),
        "console" if bytes.starts_with(b"file:") || bytes.starts_with(b"unix:") => 5,
        _ => return None,
    };
    let (before, path) = bytes.split_at_checked(start)?;
    let is_descriptor = matches!(option, "disk" | "kvm") && path.starts_with(b"fd:");
    (!path.is_empty() && !is_descriptor)
        .then(|| (OsStr::from_bytes(before), Path::new(OsStr::from_bytes(path))))
}

/// The parts before and after the first `separator`.
pub(super) fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(1..)?))
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
