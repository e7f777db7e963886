//! The note that makes a program a unikernel, and the manifest in it.

use super::error::Defect;
use super::file::ElfFile;
use linux_loader::elf::{Elf64_Nhdr, Elf64_Phdr, PT_NOTE};
use ukvm_abi::manifest::{DeviceKind, ManifestView, OPTIONAL, WRITABLE};
use ukvm_abi::note::{OWNER, TYPE};
use ukvm_abi::test;
use vm_memory::ByteValued;

/// The most bytes of a note segment. The largest manifest has about 3,000, and each of a program's tests about 100.
const MAX_NOTES: u64 = 1 << 20;

/// What the unikernel says that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The version of its ABI that it was built for: 1 to [`ABI_VERSION`](ukvm_abi::ABI_VERSION), or that of Solo5's hvt ABI.
    pub abi_version: u32,
    /// Least guest memory in bytes; 0: any.
    pub min_memory: u64,
    /// Stack in bytes; 0: the monitor's default.
    pub stack_size: u64,
    /// Its devices; a device's handle is its index here plus 1.
    pub devices: Vec<Declared>,
}

/// What a unikernel does with a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It only reads.
    Read,
    /// It writes as well.
    Write,
    /// Its ABI does not say: it gets what the user gives.
    Unsaid,
}

/// A device that the unikernel declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// What it is.
    pub kind: DeviceKind,
    /// What it does with a block device; [`Access::Read`] for a network device.
    pub access: Access,
    /// Whether the unikernel can run without it.
    pub optional: bool,
    /// Its name without control characters. In our ABI it is unique among the devices of its kind, and 1 to 32 of `A-Z a-z 0-9 - _ .`.
    pub name: String,
    /// The features that it can make use of: any bits.
    pub features: u64,
}

/// A test that a program declares, to be run in a guest of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredTest {
    /// Its name, with the modules it is in; not empty, without control characters.
    pub name: String,
    /// Whether it runs only where that is asked for; then why, without control characters, which may be empty.
    pub ignored: Option<String>,
    /// Whether it is to panic; then what the message contains, which may be empty.
    pub panics: Option<String>,
}

impl From<test::Test<'_>> for DeclaredTest {
    fn from(test: test::Test<'_>) -> Self {
        let has = |flag: u32| test.flags & flag != 0;
        Self {
            name: test.name.to_owned(),
            ignored: has(test::IGNORED).then(|| test.reason.to_owned()),
            panics: has(test::PANICS).then(|| test.expected.to_owned()),
        }
    }
}

impl From<ManifestView<'_>> for Manifest {
    fn from(view: ManifestView<'_>) -> Self {
        let devices = view.devices().map(|device| Declared {
            kind: device.kind,
            access: if device.flags & WRITABLE == 0 { Access::Read } else { Access::Write },
            optional: device.flags & OPTIONAL != 0,
            name: device.name.to_owned(),
            features: device.features,
        });
        Self {
            abi_version: view.abi_version(),
            min_memory: view.min_memory(),
            stack_size: view.stack_size(),
            devices: devices.collect(),
        }
    }
}

/// Finds the ukvm note and reads the manifest in it; `None` where the program has no such note.
pub(super) fn read_manifest(file: &ElfFile, headers: &[Elf64_Phdr]) -> Result<Option<Manifest>, Defect> {
    let mut manifest = None;
    visit(file, headers, |note| {
        if note.owner == OWNER && note.kind == TYPE {
            let view = ManifestView::parse(note.descriptor).map_err(Defect::Manifest)?;
            if manifest.replace(view.into()).is_some() {
                return Err(Defect::Repeated("ukvm note"));
            }
        }
        Ok(())
    })?;
    Ok(manifest)
}

/// Reads which tests the program declares; `None` where it is no program of tests.
pub(super) fn read_tests(
    file: &ElfFile,
    headers: &[Elf64_Phdr],
) -> Result<Option<Vec<DeclaredTest>>, Defect> {
    let mut tests = None;
    visit(file, headers, |note| {
        if note.owner == OWNER && note.kind == test::TYPE {
            // Both will be printed.
            let is_plain = |test: &test::Test<'_>| {
                !test.name.contains(char::is_control) && !test.reason.contains(char::is_control)
            };
            let declared = test::Test::parse(note.descriptor).filter(is_plain).ok_or(Defect::Test)?;
            let tests: &mut Vec<_> = tests.get_or_insert_default();
            if !declared.name.is_empty() {
                tests.push(declared.into());
            }
        }
        Ok(())
    })?;
    Ok(tests)
}

/// Calls `look` with each note.
fn visit(
    file: &ElfFile,
    headers: &[Elf64_Phdr],
    mut look: impl FnMut(&Note<'_>) -> Result<(), Defect>,
) -> Result<(), Defect> {
    for segment in headers.iter().filter(|header| header.p_type == PT_NOTE) {
        let bytes = file.read_vec(segment.p_offset, segment.p_filesz, MAX_NOTES, "note segment")?;
        // Notes are padded to 4 bytes, but to 8 in a segment that is aligned so (gABI, "Note Sections", and
        // GNU property notes).
        let align = if segment.p_align == 8 { 8 } else { 4 };
        let mut at = 0;
        while at < bytes.len() {
            let malformed = || Defect::MalformedNote(segment.p_offset + at as u64);
            let rest = bytes.get(at..).unwrap_or_default();
            let (note, size) = parse(rest, align).ok_or_else(malformed)?;
            look(&note)?;
            at += size;
        }
    }
    Ok(())
}

struct Note<'a> {
    /// With its NUL.
    owner: &'a [u8],
    kind: u32,
    descriptor: &'a [u8],
}

/// The note at the start of `bytes`, and the bytes that it takes up there with its padding.
fn parse(bytes: &[u8], align: usize) -> Option<(Note<'_>, usize)> {
    let mut header = Elf64_Nhdr::default();
    let start = size_of::<Elf64_Nhdr>();
    header.as_mut_slice().copy_from_slice(bytes.get(..start)?);
    let owner_end = start.checked_add(header.n_namesz as usize)?;
    let descriptor_start = owner_end.checked_next_multiple_of(align)?;
    let descriptor_end = descriptor_start.checked_add(header.n_descsz as usize)?;
    let note = Note {
        owner: bytes.get(start..owner_end)?,
        kind: header.n_type,
        // Padding that nothing follows may be missing.
        descriptor: if header.n_descsz == 0 { &[] } else { bytes.get(descriptor_start..descriptor_end)? },
    };
    Some((note, descriptor_end.checked_next_multiple_of(align)?))
}
