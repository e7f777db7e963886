//! Solo5's ELF notes: which target a unikernel is built for, and which devices it declares.
//!
//! Solo5 looks only at the first note of a segment, so that each of its notes has a segment of its own; of two of a kind the first counts.

use crate::bind::Binding;
use crate::elf::file::{ElfFile, printable};
use crate::elf::{self, Access, Declared, Defect};
use linux_loader::elf::{Elf64_Phdr, PT_NOTE};
use std::ops::RangeInclusive;
use ukvm_abi::manifest::DeviceKind;

/// The version of the hvt ABI that is spoken here.
pub const ABI_VERSION: u32 = 2;

/// Owner of Solo5's notes.
const OWNER: &[u8] = b"Solo5\0";
/// Bytes of an ELF note's header without its owner.
const NOTE_HEADER: u64 = 12;
/// Bytes of the same with the owner, which is padded.
const HEADER: u64 = 20;
/// The number of the hvt target.
const HVT: u32 = 1;
/// The version of the manifest's structure.
const MANIFEST_VERSION: u32 = 1;
/// The most entries of a manifest.
const MAX_ENTRIES: u32 = 64;
/// The type of the manifest's first entry, which stands for no device.
const RESERVED: u32 = 0x4000_0000;
/// The types of devices.
const BLOCK_BASIC: u32 = 1;
const NET_BASIC: u32 = 2;

/// Bytes of a manifest before its entries: version and number of entries.
pub(super) const MANIFEST_HEADER: usize = 8;
/// Bytes of an entry: its name, its type, what is known of the device, the host's backing, whether it is attached.
pub(super) const ENTRY: usize = 104;
const NAME_SIZE: usize = 68;
/// Offsets in an entry.
const KIND_AT: usize = NAME_SIZE;
pub(super) const CAPACITY_AT: usize = 72;
pub(super) const BLOCK_SIZE_AT: usize = 80;
pub(super) const MAC_AT: usize = 72;
pub(super) const MTU_AT: usize = 78;
pub(super) const BACKING_AT: usize = 88;
pub(super) const ATTACHED_AT: usize = 96;

/// A kind of note.
struct Kind {
    name: &'static str,
    number: u32,
    /// Bytes between the header and what counts; the note's size includes them.
    padding: u32,
    /// The sizes that it may have.
    sizes: RangeInclusive<u32>,
}

/// `ABI1` in ASCII: the target and the version of its ABI, then 8 bytes that are reserved.
const ABI: Kind = Kind { name: "ABI", number: 0x3149_4241, padding: 0, sizes: 8..=32 };
/// `MFT1` in ASCII: the manifest.
const MANIFEST: Kind = Kind { name: "manifest", number: 0x3154_464d, padding: 4, sizes: 12..=6668 };

/// What a Solo5 unikernel declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The structure, as it lies in the file.
    bytes: Vec<u8>,
    devices: Vec<Device>,
}

/// A device that a Solo5 unikernel declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name: at most 67 bytes, none of which is 0. Solo5's own tools make 1 to 67 letters and digits.
    pub name: Vec<u8>,
    /// The number of its type.
    pub kind: u32,
    /// The hardware address that the file has for it, if it is a network device.
    pub mac: Option<[u8; 6]>,
    /// The block size in bytes that the file has for it, if it is a block device: any number.
    pub block_size: Option<u16>,
}

impl Device {
    /// Its name for people.
    #[must_use]
    pub fn printable_name(&self) -> String {
        printable(&String::from_utf8_lossy(&self.name))
    }
}

/// Whether this is one of Solo5's unikernels, for whatever target: whether one of its note segments begins with a note of Solo5's.
pub(crate) fn is_solo5(file: &ElfFile, headers: &[Elf64_Phdr]) -> bool {
    let of_solo5 = |segment| matches!(first_note(file, segment), Ok(Some(_)));
    note_segments(headers).any(of_solo5)
}

/// Checks that the unikernel is built for the ABI that is spoken here.
pub(crate) fn check_abi(file: &ElfFile, headers: &[Elf64_Phdr]) -> Result<(), Defect> {
    let note = read(file, headers, &ABI)?;
    match (word(&note, 0), word(&note, 4)) {
        (HVT, ABI_VERSION) => Ok(()),
        (HVT, version) => Err(Defect::Solo5Version(version)),
        (target, _) => Err(Defect::Solo5Target(target)),
    }
}

/// Reads and checks the manifest.
pub(crate) fn read_manifest(file: &ElfFile, headers: &[Elf64_Phdr]) -> Result<Manifest, Defect> {
    Manifest::parse(read(file, headers, &MANIFEST)?)
}

impl Manifest {
    fn parse(bytes: Vec<u8>) -> Result<Self, Defect> {
        let (version, count) = (word(&bytes, 0), word(&bytes, 4));
        if version != MANIFEST_VERSION {
            return Err(Defect::Solo5ManifestVersion(version));
        }
        if count == 0 || count > MAX_ENTRIES {
            return Err(Defect::Solo5ManifestCount(count));
        }
        let expected = MANIFEST_HEADER + count as usize * ENTRY;
        if bytes.len() != expected {
            return Err(Defect::Solo5ManifestSize { size: bytes.len(), count, expected });
        }
        let entries = bytes.get(MANIFEST_HEADER..).unwrap_or_default().as_chunks::<ENTRY>().0;
        let mut devices = Vec::with_capacity(entries.len());
        for (handle, entry) in (0..).zip(entries) {
            let (name, kind) = (field::<NAME_SIZE>(entry, 0), word(entry, KIND_AT));
            let length = name.iter().position(|&byte| byte == 0);
            if handle == 0 && (kind, length) != (RESERVED, Some(0)) {
                return Err(Defect::Solo5FirstEntry);
            }
            if name.last() != Some(&0) {
                return Err(Defect::Solo5Name(handle));
            }
            if field(entry, ATTACHED_AT) != [0] {
                return Err(Defect::Solo5Attached(handle));
            }
            let (mac, block_size) = (field(entry, MAC_AT), u16::from_le_bytes(field(entry, BLOCK_SIZE_AT)));
            devices.push(Device {
                name: name.split(|&byte| byte == 0).next().unwrap_or_default().to_vec(),
                kind,
                mac: (kind == NET_BASIC && mac != [0; 6]).then_some(mac),
                block_size: (kind == BLOCK_BASIC && block_size != 0).then_some(block_size),
            });
        }
        // The first stands for no device.
        devices.remove(0);
        Ok(Self { bytes, devices })
    }

    /// The structure, as it lies in the file: whole entries, of which the first stands for no device.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its devices; a device's handle is its index here plus 1.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The same, as the monitor has it of every ABI. All devices are needed, and nobody knows which disks are written to.
    ///
    /// # Errors
    ///
    /// Where a device's type is not known.
    pub fn declared(&self) -> Result<elf::Manifest, Defect> {
        let devices = self.devices.iter().map(|device| {
            let name = device.printable_name();
            let (kind, access) = match device.kind {
                BLOCK_BASIC => (DeviceKind::Block, Access::Unsaid),
                NET_BASIC => (DeviceKind::Net, Access::Read),
                kind => return Err(Defect::Solo5DeviceType { name, kind }),
            };
            Ok(Declared { kind, access, optional: false, name, features: 0 })
        });
        let devices = devices.collect::<Result<_, _>>()?;
        Ok(elf::Manifest { abi_version: ABI_VERSION, min_memory: 0, stack_size: 0, devices })
    }

    /// Gives each network device that has none from the user the hardware address that the file has for it. `bindings` are by the
    /// device's handle less 1.
    pub fn preset(&self, bindings: &mut [Binding]) {
        for (device, binding) in self.devices.iter().zip(bindings) {
            if let Binding::Net(config) = binding {
                config.mac = config.mac.or(device.mac);
            }
        }
    }
}

fn note_segments(headers: &[Elf64_Phdr]) -> impl Iterator<Item = &Elf64_Phdr> {
    headers.iter().filter(|header| header.p_type == PT_NOTE)
}

/// Type and size of the note that begins `segment`; `None` where it is not one of Solo5's.
fn first_note(file: &ElfFile, segment: &Elf64_Phdr) -> Result<Option<(u32, u32)>, Defect> {
    if segment.p_filesz < NOTE_HEADER {
        return Err(Defect::MalformedNote(segment.p_offset));
    }
    if segment.p_filesz < HEADER {
        return Ok(None);
    }
    let mut header = [0; HEADER as usize];
    file.read(segment.p_offset, &mut header, "note segment")?;
    let owner = field::<6>(&header, NOTE_HEADER as usize);
    let is_ours = word(&header, 0) as usize == OWNER.len() && owner == OWNER;
    Ok(is_ours.then(|| (word(&header, 8), word(&header, 4))))
}

/// What the first note of this kind says, of a size that the kind allows, its padding not included.
fn read(file: &ElfFile, headers: &[Elf64_Phdr], wanted: &Kind) -> Result<Vec<u8>, Defect> {
    for segment in note_segments(headers) {
        let Some((number, size)) = first_note(file, segment)? else { continue };
        if number != wanted.number {
            continue;
        }
        if !wanted.sizes.contains(&size) {
            let (note, sizes) = (wanted.name, wanted.sizes.clone());
            return Err(Defect::Solo5NoteSize { note, size, sizes });
        }
        let end = HEADER + u64::from(size);
        if segment.p_filesz < end {
            return Err(Defect::MalformedNote(segment.p_offset));
        }
        let mut bytes = file.read_vec(segment.p_offset, end, end, "Solo5 note")?;
        return Ok(bytes.split_off(HEADER as usize + wanted.padding as usize));
    }
    Err(Defect::Solo5NoNote(wanted.name))
}

/// The `N` bytes at `at`, which the callers know to be there; zeros where they are not.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

/// The little-endian word at `at`.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
