//! Which host device stands for which of the guest's.

use crate::config::{DiskConfig, NetConfig};
use crate::elf::{Access, Declared, Manifest};
use crate::error::{Error, ErrorKind};
use ukvm_abi::manifest::DeviceKind;

/// What stands for a device that the guest declares.
#[derive(Debug)]
pub enum Binding {
    /// A network device.
    Net(NetConfig),
    /// A block device.
    Disk {
        /// What it is opened with.
        config: DiskConfig,
        /// Whether the user said that it is only read, by whomever, so that the guest may have it in its memory. Where nobody
        /// said so the image may change, and a guest that can cope with a failed read should be given one.
        may_map: bool,
    },
    /// Nothing: the device is optional.
    Absent,
}

/// What is wrong between the options and the manifest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// An option names a device that the program does not declare.
    #[error("the program declares no {kind} named '{name}'; it declares {declared}")]
    Unknown {
        /// The option's kind of device.
        kind: &'static str,
        /// The option's name.
        name: String,
        /// The names that it could have had.
        declared: String,
    },
    /// There are more options of a kind than devices.
    #[error("there are more {option} options than the program declares {kind}s; it declares {declared}")]
    TooMany {
        /// The option.
        option: &'static str,
        /// Its kind of device.
        kind: &'static str,
        /// The names of the devices of that kind.
        declared: String,
    },
    /// The program needs a device that no option gives.
    #[error("the program needs the {kind} '{name}': add {option} {name}={value}")]
    Missing {
        /// The device's kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The option that gives one.
        option: &'static str,
        /// The option's value.
        value: &'static str,
    },
    /// The program writes to a disk that is given read-only.
    #[error("the program writes to the block device '{0}': remove ',ro' from its --disk option")]
    ReadOnly(String),
}

impl From<BindError> for Error {
    fn from(error: BindError) -> Self {
        Self::caused_by(ErrorKind::BadConfig, error)
    }
}

/// Words for a kind of device: what it is called, its option, and the value that the option takes.
const fn words(kind: DeviceKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        DeviceKind::Net => ("network device", "--net", "TAP"),
        DeviceKind::Block => ("block device", "--disk", "PATH"),
    }
}

/// Finds what stands for each device of the manifest, in its order.
///
/// An option with a name is for the device of that name; one without is for the first device of its kind that is left.
///
/// # Errors
///
/// A [`BindError`] where an option has no device, a device that is needed has no option, or a disk has the wrong rights.
pub fn bind(
    manifest: &Manifest,
    nets: Vec<NetConfig>,
    disks: Vec<DiskConfig>,
) -> Result<Vec<Binding>, BindError> {
    let mut nets = assign(manifest, DeviceKind::Net, nets, |net| net.name.as_deref())?;
    let mut disks = assign(manifest, DeviceKind::Block, disks, |disk| disk.name.as_deref())?;
    let bound = manifest.devices.iter().zip(nets.iter_mut().zip(disks.iter_mut()));
    bound
        .map(|(declared, (net, disk))| match (net.take(), disk.take()) {
            (Some(net), _) => Ok(Binding::Net(net)),
            (None, Some(disk)) if disk.read_only && declared.access == Access::Write => {
                Err(BindError::ReadOnly(declared.name.clone()))
            }
            // What the program does not write to is not opened for writing.
            (None, Some(disk)) => Ok(Binding::Disk {
                // An ABI that cannot say whether a disk is written to knows nothing of mapped ones either.
                may_map: disk.read_only && declared.access != Access::Unsaid,
                config: DiskConfig { read_only: disk.read_only || declared.access == Access::Read, ..disk },
            }),
            (None, None) if declared.optional => Ok(Binding::Absent),
            (None, None) => {
                let (kind, option, value) = words(declared.kind);
                Err(BindError::Missing { kind, name: declared.name.clone(), option, value })
            }
        })
        .collect()
}

/// The devices of the manifest that no option is for, in its order.
///
/// # Errors
///
/// A [`BindError`] where an option has no device.
pub fn unbound(
    manifest: &Manifest,
    nets: Vec<NetConfig>,
    disks: Vec<DiskConfig>,
) -> Result<Vec<&Declared>, BindError> {
    let nets = assign(manifest, DeviceKind::Net, nets, |net| net.name.as_deref())?;
    let disks = assign(manifest, DeviceKind::Block, disks, |disk| disk.name.as_deref())?;
    let places = manifest.devices.iter().zip(nets.iter().zip(&disks));
    Ok(places
        .filter(|(_, (net, disk))| net.is_none() && disk.is_none())
        .map(|(declared, _)| declared)
        .collect())
}

/// The options of one kind, each at the place of the device that it is for.
fn assign<T>(
    manifest: &Manifest,
    kind: DeviceKind,
    options: Vec<T>,
    name: impl Fn(&T) -> Option<&str>,
) -> Result<Vec<Option<T>>, BindError> {
    let of_kind = |declared: &&Declared| declared.kind == kind;
    let names = || {
        let names: Vec<String> =
            manifest.devices.iter().filter(of_kind).map(|device| format!("'{}'", device.name)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let (word, option, _) = words(kind);
    let mut places: Vec<Option<T>> = manifest.devices.iter().map(|_| None).collect();
    let (named, unnamed): (Vec<T>, Vec<T>) = options.into_iter().partition(|option| name(option).is_some());
    for given in named {
        let wanted = name(&given).unwrap_or_default();
        let device = manifest.devices.iter().position(|device| device.kind == kind && device.name == wanted);
        match device.and_then(|index| places.get_mut(index)) {
            Some(place @ None) => *place = Some(given),
            Some(Some(_)) => return Err(BindError::TooMany { option, kind: word, declared: names() }),
            None => {
                let name = wanted.to_owned();
                return Err(BindError::Unknown { kind: word, name, declared: names() });
            }
        }
    }
    for given in unnamed {
        let left = manifest.devices.iter().zip(&places);
        let index = { left }.position(|(device, place)| device.kind == kind && place.is_none());
        match index.and_then(|index| places.get_mut(index)) {
            Some(place) => *place = Some(given),
            None => return Err(BindError::TooMany { option, kind: word, declared: names() }),
        }
    }
    Ok(places)
}

#[cfg(test)]
#[path = "bind_tests.rs"]
mod tests;
