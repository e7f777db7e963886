//! Makes ELF files for tests: a small unikernel as Solo5's linker scripts have it, of which anything can be changed.
//!
//! | file offset | address | what |
//! |---|---|---|
//! | 0 | | file header, program headers |
//! | 0x300 | | OpenBSD's note |
//! | 0x318 | | ABI note |
//! | 0x340 | 0x100000 | code, executable only |
//! | 0x350 | 0x101000 | data that does not change |
//! | 0x360 | 0x102000 | data |
//! | 0x370 | | manifest note, to the end |
//!
//! There are two more segments, neither with data: one at address 0, and `.bss` from 0x103000 to 0x10b000.

use super::image::Image;
use crate::elf::Defect;
use crate::elf::builder::file_of;
use linux_loader::elf::{self, Elf64_Ehdr, Elf64_Phdr};
use vm_memory::ByteValued;

const HEADERS: u64 = 0x40;
const OPENBSD: u64 = 0x300;
const ABI: u64 = 0x318;
const CODE: u64 = 0x340;
const MANIFEST: u64 = 0x370;

// Indices into `Builder::headers`.
pub(super) const OPENBSD_NOTE: usize = 0;
pub(super) const ABI_NOTE: usize = 1;
pub(super) const MANIFEST_NOTE: usize = 2;
pub(super) const TEXT: usize = 3;
pub(super) const READ: usize = 4;
pub(super) const WRITE: usize = 5;
pub(super) const EMPTY: usize = 6;
pub(super) const BSS: usize = 7;

/// The parts of a file.
pub(super) struct Builder {
    pub(super) header: Elf64_Ehdr,
    pub(super) headers: Vec<Elf64_Phdr>,
    /// The ABI note, 36 bytes.
    pub(super) abi: Vec<u8>,
    /// The manifest note.
    pub(super) manifest: Vec<u8>,
}

/// A note of Solo5's: its header, then `rest`, which is all of its size.
pub(super) fn note(kind: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = [6, rest.len() as u32, kind].map(u32::to_le_bytes).concat();
    bytes.extend(b"Solo5\0\0\0");
    bytes.extend(rest);
    bytes
}

/// An entry of a manifest.
pub(super) fn entry(name: &[u8], kind: u32) -> [u8; 104] {
    let mut bytes = [0; 104];
    bytes[..name.len()].copy_from_slice(name);
    bytes[68..72].copy_from_slice(&kind.to_le_bytes());
    bytes
}

/// A manifest of these entries, to which the first is added.
pub(super) fn manifest(entries: &[[u8; 104]]) -> Vec<u8> {
    let mut bytes = [1, entries.len() as u32 + 1].map(u32::to_le_bytes).concat();
    bytes.extend(entry(b"", 0x4000_0000));
    bytes.extend(entries.as_flattened());
    bytes
}

impl Builder {
    pub(super) fn new() -> Self {
        let mut header = Elf64_Ehdr {
            e_type: elf::ET_EXEC,
            e_machine: elf::EM_X86_64,
            e_version: 1,
            e_entry: 0x10_0004,
            e_phoff: HEADERS,
            e_ehsize: 64,
            e_phentsize: 56,
            ..Default::default()
        };
        header.e_ident[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let part = |p_type, p_flags, p_offset, p_vaddr, p_filesz, p_memsz| Elf64_Phdr {
            p_type,
            p_flags,
            p_offset,
            p_vaddr,
            p_filesz,
            p_memsz,
            p_align: 0x1000,
            ..Default::default()
        };
        let (r, w, x) = (elf::PF_R, elf::PF_W, elf::PF_X);
        let mut builder = Self {
            header,
            headers: vec![
                part(elf::PT_NOTE, r, OPENBSD, 0, 24, 24),
                part(elf::PT_NOTE, r, ABI, 0, 36, 36),
                part(elf::PT_NOTE, r, MANIFEST, 0, 0, 0),
                part(elf::PT_LOAD, x, CODE, 0x10_0000, 16, 16),
                part(elf::PT_LOAD, r, CODE + 16, 0x10_1000, 16, 16),
                part(elf::PT_LOAD, r | w, CODE + 32, 0x10_2000, 16, 16),
                part(elf::PT_LOAD, r, 0, 0, 0, 0),
                part(elf::PT_LOAD, r | w, 0, 0x10_3000, 0, 0x8000),
                part(elf::PT_INTERP, r, CODE, 0, 16, 16),
                part(elf::PT_TLS, r, 0, 0, 0, 16),
            ],
            abi: note(0x3149_4241, &[1, 2, 0, 0].map(u32::to_le_bytes).concat()),
            manifest: Vec::new(),
        };
        builder.set_manifest(&manifest(&[entry(b"service", 2), entry(b"data", 1)]));
        builder
    }

    pub(super) fn set_manifest(&mut self, manifest: &[u8]) {
        self.manifest = note(0x3154_464d, &[&[0; 4], manifest].concat());
        self.headers[MANIFEST_NOTE].p_filesz = self.manifest.len() as u64;
    }

    /// The file's bytes.
    pub(super) fn build(&mut self) -> Vec<u8> {
        self.header.e_phnum = self.headers.len() as u16;
        let mut bytes = vec![0; MANIFEST as usize];
        let mut put = |at: u64, from: &[u8]| bytes[at as usize..][..from.len()].copy_from_slice(from);
        put(0, self.header.as_slice());
        let headers: Vec<u8> = self.headers.iter().flat_map(|header| header.as_slice().to_vec()).collect();
        put(HEADERS, &headers);
        put(OPENBSD, b"\x08\0\0\0\x04\0\0\0\x01\0\0\0OpenBSD\0\0\0\0\0");
        put(ABI, &self.abi);
        put(CODE, &[[0xcc; 16], [0xdd; 16], [0xee; 16]].concat());
        bytes.extend(&self.manifest);
        bytes
    }

    /// Opens the file.
    pub(super) fn open(&mut self) -> Result<Image, String> {
        open_bytes(&self.build())
    }
}

/// Opens a file with these bytes; else the sentence behind its path.
pub(super) fn open_bytes(bytes: &[u8]) -> Result<Image, String> {
    let opened = Image::open(file_of(bytes).as_path());
    opened.map_err(|error| {
        assert_eq!(error.defect().kind(), crate::error::ErrorKind::BadElf);
        sentence(error.defect())
    })
}

/// The sentence, which says what to do.
pub(super) fn sentence(defect: &Defect) -> String {
    let sentence = defect.to_string();
    assert!(sentence.contains([';', ':']) && !sentence.ends_with('.'), "{sentence}");
    sentence
}

/// Asserts that the valid file, changed, is refused with this sentence.
#[track_caller]
pub(super) fn refused(change: impl FnOnce(&mut Builder), expected: &str) {
    let mut builder = Builder::new();
    change(&mut builder);
    let sentence = builder.open().expect_err("it should have been refused");
    assert_eq!(sentence, expected);
}
