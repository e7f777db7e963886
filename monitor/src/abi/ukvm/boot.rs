//! The boot information: what the guest is told, built before its place is known and written once it is.

use crate::layout::Layout;
use crate::memory::Memory;
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use ukvm_abi::ABI_VERSION;
use ukvm_abi::boot_info::{self, BootInfo, DeviceInfo};
use ukvm_abi::ring::Shape;

/// What the guest is told.
#[derive(Debug)]
pub struct BootBlock {
    arguments: Strings,
    environment: Strings,
    devices: Vec<DeviceInfo>,
    console_flags: u64,
    seed: [u8; 32],
}

/// Strings, each ended by a NUL.
#[derive(Debug, Default)]
struct Strings {
    bytes: Vec<u8>,
    count: u64,
}

impl Strings {
    fn push(&mut self, parts: &[&OsStr]) {
        for part in parts {
            // A NUL cannot come through a command line; through the library it would only end the string early.
            self.bytes.extend_from_slice(part.as_bytes());
        }
        self.bytes.push(0);
        self.count += 1;
    }
}

impl BootBlock {
    /// Collects what the guest is told.
    #[must_use]
    pub fn new(
        arguments: &[OsString],
        environment: &[(OsString, OsString)],
        devices: &[DeviceInfo],
        console_flags: u64,
        seed: [u8; 32],
    ) -> Self {
        let mut block = Self {
            arguments: Strings::default(),
            environment: Strings::default(),
            devices: devices.to_vec(),
            console_flags,
            seed,
        };
        for argument in arguments {
            block.arguments.push(&[argument]);
        }
        for (name, value) in environment {
            block.environment.push(&[name, OsStr::new("="), value]);
        }
        block
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn size(&self) -> u64 {
        (size_of::<BootInfo>()
            + self.devices.len() * size_of::<DeviceInfo>()
            + self.arguments.bytes.len()
            + self.environment.bytes.len()) as u64
    }

    /// The devices, with the addresses of those that are mapped.
    fn describe_devices(&self, layout: &Layout) -> Vec<u8> {
        let mappings = layout.mappings.iter().map(Some).chain(std::iter::repeat(None));
        let described = self.devices.iter().zip(mappings).flat_map(|(device, mapping)| {
            let mapping = mapping.filter(|range| !range.is_empty());
            let mapping = mapping.map_or(0, |range| layout.virtual_address(range.start));
            DeviceInfo { mapping, ..*device }.to_bytes()
        });
        described.collect()
    }

    /// Writes it to its place.
    ///
    /// # Errors
    ///
    /// Where the place is smaller than [`size`](Self::size).
    pub fn write(&self, memory: &Memory, layout: &Layout, shape: Shape) -> io::Result<()> {
        let mut next = layout.info.start + size_of::<BootInfo>() as u64;
        let mut put = |bytes: &[u8]| {
            let at = next;
            memory.write(at, bytes)?;
            next += bytes.len() as u64;
            Ok::<_, io::Error>(boot_info::Range {
                start: layout.virtual_address(at),
                length: bytes.len() as u64,
            })
        };
        let (devices, arguments, environment) = (
            put(&self.describe_devices(layout))?,
            put(&self.arguments.bytes)?,
            put(&self.environment.bytes)?,
        );
        let range = |gpa: &Range<u64>| boot_info::Range {
            start: layout.virtual_address(gpa.start),
            length: gpa.end - gpa.start,
        };
        let info = BootInfo {
            size: size_of::<BootInfo>() as u32,
            abi_version: ABI_VERSION,
            features: boot_info::QUIET_SENDS,
            seed: self.seed,
            image: range(&layout.image),
            stack: range(&layout.stack),
            small_heap: range(&layout.small_heap),
            heap: range(&layout.heap),
            arguments,
            argument_count: self.arguments.count,
            environment,
            environment_count: self.environment.count,
            devices,
            device_count: self.devices.len() as u32,
            device_size: size_of::<DeviceInfo>() as u32,
            rings: range(&layout.rings),
            submission_entries: shape.submission_entries(),
            completion_entries: shape.completion_entries(),
            clock: layout.virtual_address(layout.clock.start),
            console_flags: self.console_flags,
            load_bias: layout.bias,
            memory_size: layout.memory,
        };
        memory.write(layout.info.start, &info.to_bytes())
    }
}
