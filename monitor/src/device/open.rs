//! Opens what stands on the host for each device of a manifest.

use super::Device;
use super::block::mapping::{MOST_MAPPED, MOST_MEMORY};
use super::block::{Block, Mapping, Worker};
use super::net::Net;
use crate::bind::Binding;
use crate::elf::{Declared, Manifest};
use crate::error::Error;
use crate::stderr::say_briefly;
use std::sync::Arc;
use ukvm_abi::boot_info::{DEVICE_MAPPED, DEVICE_PRESENT, DEVICE_READ_ONLY, DeviceInfo};
use ukvm_abi::manifest::MAX_NAME;
use ukvm_abi::net::{GUEST_TSO4, GUEST_TSO6};

/// The least memory of a guest, in bytes, to which a network device offers large frames to receive: each takes a buffer of 64 KiB, of
/// which a guest needs many.
const LARGE_FRAMES: u64 = 32 << 20;

/// The devices of a guest, as they were opened, in the manifest's order.
#[derive(Debug)]
pub struct Opened<D> {
    /// What the guest is told of each; where a mapping is comes later.
    pub infos: Vec<DeviceInfo>,
    /// What serves each.
    pub devices: Vec<D>,
    /// The mapping of each that has one.
    pub mappings: Vec<Option<Mapping>>,
    /// How each is served, in words for the user; empty for the ordinary way.
    pub ways: Vec<&'static str>,
}

/// What there is to know of [`Opened`] devices, whatever serves them.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// What the guest is told of each.
    pub infos: &'a [DeviceInfo],
    /// How each is served, in words for the user; empty for the ordinary way.
    pub ways: &'a [&'static str],
    /// The mapping of each that has one.
    pub mappings: &'a [Option<Mapping>],
}

impl<D> Default for Opened<D> {
    fn default() -> Self {
        Self { infos: Vec::new(), devices: Vec::new(), mappings: Vec::new(), ways: Vec::new() }
    }
}

impl<D> Opened<D> {
    /// All but what serves them.
    #[must_use]
    pub fn described(&self) -> Described<'_> {
        Described { infos: &self.infos, ways: &self.ways, mappings: &self.mappings }
    }
}

/// What a guest is told of a device that is there, before it is known which.
pub(crate) fn present(declared: &Declared) -> DeviceInfo {
    DeviceInfo {
        kind: declared.kind as u32,
        flags: DEVICE_PRESENT,
        name: padded(&declared.name),
        features: 0,
        capacity: 0,
        block_size: 0,
        max_transfer: 0,
        mac: [0; 6],
        mtu: 0,
        mapping: 0,
    }
}

/// Tells the user what a network device's interface is lacking.
pub(crate) fn warn(net: &Net) {
    if let Some(warning) = net.warning() {
        say_briefly(&format_args!("warning: {warning}"));
    }
}

/// Opens what stands for each device of the manifest, for a guest with `memory` bytes, and describes it to the guest. Nothing serves one
/// that is declared as optional, and absent.
///
/// # Errors
///
/// A sentence about the first that cannot be opened.
pub fn open_devices(
    manifest: &Manifest,
    bindings: Vec<Binding>,
    memory: u64,
) -> Result<Opened<Option<Box<dyn Device>>>, Error> {
    let mut opened: Opened<Option<Box<dyn Device>>> = Opened::default();
    let mut room = if memory <= MOST_MEMORY { MOST_MAPPED } else { 0 };
    // One worker thread serves all disks; a guest without a disk has none.
    let mut worker = None;
    for (declared, binding) in manifest.devices.iter().zip(bindings) {
        let mut info = present(declared);
        let (mut mapping, mut way) = (None, "");
        opened.devices.push(match binding {
            Binding::Net(config) => {
                let too_much = if memory < LARGE_FRAMES { GUEST_TSO4 | GUEST_TSO6 } else { 0 };
                let net = Net::open(&config, declared.features & !too_much)?;
                warn(&net);
                (info.mac, info.mtu, info.features) = (net.mac(), net.mtu(), net.features());
                Some(Box::new(net))
            }
            Binding::Disk { config, may_map } => {
                let worker = match &mut worker {
                    Some(worker) => worker,
                    none => none.insert(Arc::new(Worker::start()?)),
                };
                let block = Block::open(config, worker)?;
                info.flags |= if block.read_only() { DEVICE_READ_ONLY } else { 0 };
                (info.capacity, info.block_size, info.max_transfer) =
                    (block.capacity(), block.block_size(), block.max_transfer());
                mapping = if may_map { block.map(room) } else { None };
                way = block.way();
                if let Some(mapping) = &mapping {
                    way = ", mapped";
                    info.features |= DEVICE_MAPPED;
                    room = room.saturating_sub(mapping.size());
                }
                Some(Box::new(block))
            }
            Binding::Absent => {
                info.flags = 0;
                None
            }
        });
        opened.infos.push(info);
        opened.mappings.push(mapping);
        opened.ways.push(way);
    }
    Ok(opened)
}

/// A device's name as the guest finds it.
fn padded(name: &str) -> [u8; MAX_NAME] {
    let mut padded = [0; MAX_NAME];
    for (to, from) in padded.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    padded
}
