//! What a Solo5 hvt guest is told: boot information, the manifest with what is known of its devices, and the command line, back to back.

use super::note::{self, Manifest};
use crate::error::{Error, ErrorKind};
use crate::layout::Layout;
use crate::memory::Memory;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use ukvm_abi::boot_info::DeviceInfo;
use ukvm_abi::manifest::DeviceKind;

/// Bytes of the boot information: seven words. Before Solo5 0.11 there were five, and the guests of that time look at no more; a guest from
/// later looks at all, so that the last two must say that there is no ring where there is none.
const INFO_SIZE: u64 = 56;
/// The most bytes of a command line, its NUL included.
const MAX_COMMAND_LINE: usize = 8192;
/// In the boot information's `host_features`: there is a net ring.
const NET_RING: u64 = 1;

/// What the guest is told, as far as it does not depend on where it lies.
#[derive(Debug)]
pub struct BootBlock {
    manifest: Vec<u8>,
    /// With its NUL.
    command_line: Vec<u8>,
}

/// The arguments are too long for the guest's command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the program's arguments take {0} bytes, more than the 8191 that Solo5's ABI has room for: give it fewer or shorter ones"
)]
pub struct CommandLineTooLong(usize);

impl From<CommandLineTooLong> for Error {
    fn from(error: CommandLineTooLong) -> Self {
        Self::caused_by(ErrorKind::BadConfig, error)
    }
}

impl BootBlock {
    /// Collects what the guest is told. `devices` are those of the manifest by their handles less 1; a block size is below 64 KiB.
    ///
    /// # Errors
    ///
    /// Where the arguments are too long.
    pub fn new(
        manifest: &Manifest,
        devices: &[DeviceInfo],
        arguments: &[OsString],
    ) -> Result<Self, CommandLineTooLong> {
        let words: Vec<&[u8]> = arguments.iter().map(OsString::as_os_str).map(OsStr::as_bytes).collect();
        let mut command_line = words.join(&b' ');
        if command_line.len() >= MAX_COMMAND_LINE {
            return Err(CommandLineTooLong(command_line.len()));
        }
        // A NUL cannot come through a command line; through the library it would only end the string early.
        command_line.push(0);
        Ok(Self { manifest: fill(manifest, devices), command_line })
    }

    /// Writes it to its place, for a guest whose time stamp counter counts `cycles_per_second`.
    ///
    /// # Errors
    ///
    /// Where the memory is too small.
    pub fn write(&self, memory: &Memory, layout: &Layout, cycles_per_second: u64) -> io::Result<()> {
        let at = layout.info.start;
        let manifest = at + INFO_SIZE;
        let command_line = manifest + self.manifest.len() as u64;
        // The upper half of the features' word is the guest's, which has no way to write there.
        let (features, ring) = if layout.rings.is_empty() { (0, 0) } else { (NET_RING, layout.rings.start) };
        let words =
            [layout.stack.end, layout.image.end, cycles_per_second, command_line, manifest, features, ring];
        memory.write(at, words.map(u64::to_le_bytes).as_flattened())?;
        memory.write(manifest, &self.manifest)?;
        memory.write(command_line, &self.command_line)
    }
}

/// The manifest's bytes with what is known of its devices.
fn fill(manifest: &Manifest, devices: &[DeviceInfo]) -> Vec<u8> {
    let mut bytes = manifest.bytes().to_vec();
    let entries = bytes.get_mut(note::MANIFEST_HEADER..).unwrap_or_default();
    let entries = entries.as_chunks_mut::<{ note::ENTRY }>().0.iter_mut().skip(1);
    for (entry, info) in entries.zip(devices) {
        let mut put = |at: usize, field: &[u8]| {
            if let Some(to) = entry.get_mut(at..at + field.len()) {
                to.copy_from_slice(field);
            }
        };
        if info.kind == DeviceKind::Net as u32 {
            put(note::MAC_AT, &info.mac);
            put(note::MTU_AT, &info.mtu.to_le_bytes());
        } else {
            put(note::CAPACITY_AT, &info.capacity.to_le_bytes());
            put(note::BLOCK_SIZE_AT, &(info.block_size as u16).to_le_bytes());
        }
        // Solo5 has its own descriptor here. It is no business of the guest's, and no guest looks at it.
        put(note::BACKING_AT, &(-1_i64).to_le_bytes());
        put(note::ATTACHED_AT, &[1]);
    }
    bytes
}

const _: () = assert!(
    super::layout::MAX_INFO
        == INFO_SIZE + (note::MANIFEST_HEADER + 64 * note::ENTRY + MAX_COMMAND_LINE) as u64,
    "all that a guest can be told has its place"
);

#[cfg(test)]
#[path = "boot_tests.rs"]
mod tests;
