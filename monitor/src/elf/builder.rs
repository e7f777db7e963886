//! Makes ELF files for tests: a small valid unikernel, of which anything can be changed.
//!
//! | file offset | segment | address | what |
//! |---|---|---|---|
//! | 0 | | | file header, program headers |
//! | 0x200 | 0, read-only | 0x0 | notes |
//! | 0x380 | 0 | 0x180 | RELA table |
//! | 0x400 | 0 | 0x200 | RELR table |
//! | 0x420 | 0 | 0x220 | strings |
//! | 0x440 | 1, executable | 0x1000 | code |
//! | 0x450 | 2, writable | 0x2000 | dynamic section, in the page that RELRO seals |
//! | 0x560 | 2 | 0x2110 | eight words |
//! | 0x5a0 | 2 | 0x2150 to 0x4800 | zeros |
//! | 0x5a0 | | | section headers and symbols, where asked for |

use super::{ElfError, Image};
use linux_loader::elf::{self, Elf64_Ehdr, Elf64_Phdr};
use std::io::Write;
use ukvm_abi::manifest::{Device, DeviceKind, Manifest, OPTIONAL, WRITABLE};
use ukvm_abi::note;
use vm_memory::ByteValued;
use vmm_sys_util::tempfile::TempFile;

const HEADERS: u64 = 0x40;
pub(super) const NOTES: u64 = 0x200;
const RELA: u64 = 0x380;
const RELR: u64 = 0x400;
const STRINGS: u64 = 0x420;
const CODE: u64 = 0x440;
const DATA: u64 = 0x450;
const WORDS: u64 = DATA + 0x110;
const END: u64 = 0x5a0;

/// Address of the writable segment.
pub(super) const DATA_ADDRESS: u64 = 0x2000;
/// Address of the eight words.
pub(super) const WORDS_ADDRESS: u64 = DATA_ADDRESS + (WORDS - DATA);
/// Offset of RELA and RELR tables and strings from address 0.
const FIRST: u64 = NOTES;

// Indices into `Builder::headers`.
pub(super) const READ: usize = 0;
pub(super) const TEXT: usize = 1;
pub(super) const WRITE: usize = 2;
pub(super) const NOTE: usize = 3;
pub(super) const DYNAMIC: usize = 4;
pub(super) const RELRO: usize = 5;
pub(super) const STACK: usize = 6;

static MANIFEST: Manifest<'_> = Manifest {
    min_memory: 16 << 20,
    stack_size: 1 << 20,
    devices: &[
        Device { kind: DeviceKind::Net, flags: OPTIONAL, name: "service", features: 0x181 },
        Device { kind: DeviceKind::Block, flags: WRITABLE, name: "data", features: 0 },
    ],
};
static OUR_NOTE: [u8; note::size(2)] = note::encode(&MANIFEST);

/// The parts of a file.
pub(crate) struct Builder {
    pub(super) header: Elf64_Ehdr,
    pub(super) headers: Vec<Elf64_Phdr>,
    pub(super) notes: Vec<u8>,
    pub(super) rela: Vec<[u64; 3]>,
    pub(super) relr: Vec<u64>,
    pub(super) strings: &'static [u8],
    pub(super) dynamic: Vec<(i64, u64)>,
    pub(super) words: [u64; 8],
    /// What follows at [`END`].
    tail: Vec<u8>,
}

impl Builder {
    /// A valid static-pie with two RELA and three RELR relocations.
    pub(super) fn new() -> Self {
        let mut e_ident = [0; 16];
        e_ident[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', elf::ELFCLASS64, elf::ELFDATA2LSB, 1]);
        let header = Elf64_Ehdr {
            e_ident,
            e_type: elf::ET_DYN,
            e_machine: elf::EM_X86_64,
            e_version: 1,
            e_entry: 0x1000,
            e_phoff: HEADERS,
            e_ehsize: 64,
            e_phentsize: 56,
            e_shentsize: 64,
            ..Default::default()
        };
        let load = |flags, offset, address, end: u64, memory| Elf64_Phdr {
            p_type: elf::PT_LOAD,
            p_flags: flags,
            p_offset: offset,
            p_vaddr: address,
            p_paddr: address,
            p_filesz: end - offset,
            p_memsz: memory,
            p_align: 16,
        };
        let part = |kind, offset, address, size| Elf64_Phdr {
            p_type: kind,
            p_flags: elf::PF_R,
            p_offset: offset,
            p_vaddr: address,
            p_paddr: address,
            p_filesz: size,
            p_memsz: size,
            p_align: 8,
        };
        let stack = Elf64_Phdr { p_flags: elf::PF_R | elf::PF_W, ..part(elf::PT_GNU_STACK, 0, 0, 0) };
        let mut builder = Self {
            header,
            headers: vec![
                load(elf::PF_R, NOTES, 0, CODE, CODE - NOTES),
                load(elf::PF_R | elf::PF_X, CODE, 0x1000, DATA, DATA - CODE),
                load(elf::PF_R | elf::PF_W, DATA, DATA_ADDRESS, END, 0x2800),
                Elf64_Phdr { p_align: 4, ..part(elf::PT_NOTE, NOTES, 0, OUR_NOTE.len() as u64) },
                part(elf::PT_DYNAMIC, DATA, DATA_ADDRESS, 0x110),
                part(elf::PT_GNU_RELRO, DATA, DATA_ADDRESS, 0x1000),
                stack,
            ],
            notes: OUR_NOTE.to_vec(),
            rela: vec![[WORDS_ADDRESS, 8, 0x1008], [WORDS_ADDRESS + 8, 8, 0x2000]],
            // The third word, then the fourth and the seventh.
            relr: vec![WORDS_ADDRESS + 16, 0b1_0011],
            strings: b"\0libc.so.6\0",
            dynamic: Vec::new(),
            words: [0x70, 0x71, 0x1002, 0x1003, 0x74, 0x75, 0x1006, 0x77],
            tail: Vec::new(),
        };
        builder.dynamic = builder.tags();
        builder
    }

    /// The dynamic section's entries that fit the tables as they are.
    pub(super) fn tags(&self) -> Vec<(i64, u64)> {
        vec![
            (elf::DT_STRTAB, STRINGS - FIRST),
            (elf::DT_RELA, RELA - FIRST),
            (elf::DT_RELASZ, self.rela.len() as u64 * 24),
            (elf::DT_RELAENT, 24),
            (36, RELR - FIRST),
            (35, self.relr.len() as u64 * 8),
            (37, 8),
            (elf::DT_NULL, 0),
        ]
    }

    /// The same program at fixed addresses from `address` on, without relocations.
    pub(crate) fn fixed(address: u64) -> Self {
        let mut builder = Self::new();
        builder.header.e_type = elf::ET_EXEC;
        builder.header.e_entry += address;
        builder.headers.remove(DYNAMIC);
        for header in &mut builder.headers {
            header.p_vaddr += address;
        }
        builder
    }

    /// Adds another program header.
    pub(super) fn add(&mut self, kind: u32, address: u64, offset: u64, size: u64) -> &mut Elf64_Phdr {
        self.headers.push(Elf64_Phdr {
            p_type: kind,
            p_flags: elf::PF_R,
            p_vaddr: address,
            p_offset: offset,
            p_filesz: size,
            p_memsz: size,
            ..Default::default()
        });
        self.headers.last_mut().unwrap()
    }

    /// Replaces the notes; the owner goes with its NUL.
    pub(super) fn set_notes(&mut self, notes: &[(&[u8], u32, &[u8])], align: usize) {
        self.notes.clear();
        for (owner, kind, descriptor) in notes {
            for word in [owner.len() as u32, descriptor.len() as u32, *kind] {
                self.notes.extend(word.to_le_bytes());
            }
            for part in [owner, descriptor] {
                self.notes.extend(*part);
                self.notes.resize(self.notes.len().next_multiple_of(align), 0);
            }
        }
        self.headers[NOTE].p_filesz = self.notes.len() as u64;
        self.headers[NOTE].p_align = align as u64;
    }

    /// Adds a symbol table: name, type, address, size.
    pub(super) fn set_symbols(&mut self, symbols: &[(&str, u8, u64, u64)]) {
        let mut names = vec![0];
        let mut table = vec![0; 24];
        for (name, kind, address, size) in symbols {
            table.extend((names.len() as u32).to_le_bytes());
            // st_info, st_other, st_shndx
            table.extend([elf::STB_GLOBAL << 4 | kind, 0, 1, 0]);
            table.extend(address.to_le_bytes());
            table.extend(size.to_le_bytes());
            names.extend(name.as_bytes());
            names.push(0);
        }
        let section = |kind: u32, offset: u64, size: usize, link: u32| {
            let mut bytes = [0; 64];
            bytes[4..8].copy_from_slice(&kind.to_le_bytes());
            bytes[24..32].copy_from_slice(&offset.to_le_bytes());
            bytes[32..40].copy_from_slice(&(size as u64).to_le_bytes());
            bytes[40..44].copy_from_slice(&link.to_le_bytes());
            bytes
        };
        self.header.e_shoff = END;
        self.header.e_shnum = 3;
        let at = END + 3 * 64;
        let names_at = at + table.len() as u64;
        self.tail = section(elf::SHT_NULL, 0, 0, 0).to_vec();
        self.tail.extend(section(elf::SHT_SYMTAB, at, table.len(), 2));
        self.tail.extend(section(elf::SHT_STRTAB, names_at, names.len(), 0));
        self.tail.extend(table);
        self.tail.extend(names);
    }

    /// The file's bytes.
    pub(crate) fn build(&mut self) -> Vec<u8> {
        self.header.e_phnum = self.headers.len() as u16;
        let mut bytes = vec![0; END as usize];
        let mut put = |at: u64, room: u64, from: &[u8]| {
            assert!(from.len() as u64 <= room, "no room at {at:#x}");
            bytes[at as usize..at as usize + from.len()].copy_from_slice(from);
        };
        let pour =
            |words: &mut dyn Iterator<Item = u64>| words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>();
        put(0, HEADERS, self.header.as_slice());
        let headers: Vec<u8> = self.headers.iter().flat_map(|header| header.as_slice().to_vec()).collect();
        put(HEADERS, NOTES - HEADERS, &headers);
        put(NOTES, RELA - NOTES, &self.notes);
        put(RELA, RELR - RELA, &pour(&mut self.rela.iter().flatten().copied()));
        put(RELR, STRINGS - RELR, &pour(&mut self.relr.iter().copied()));
        put(STRINGS, CODE - STRINGS, self.strings);
        put(CODE, DATA - CODE, &[0xcc; 16]);
        put(
            DATA,
            WORDS - DATA,
            &pour(&mut self.dynamic.iter().flat_map(|&(tag, value)| [tag as u64, value])),
        );
        put(WORDS, END - WORDS, &pour(&mut self.words.iter().copied()));
        bytes.extend(&self.tail);
        bytes
    }

    /// Opens the file.
    pub(super) fn open(&mut self) -> Result<Image, ElfError> {
        open_bytes(&self.build())
    }
}

/// A file with these bytes, which is deleted when it is dropped.
pub(crate) fn file_of(bytes: &[u8]) -> TempFile {
    let file = TempFile::new().unwrap();
    file.as_file().write_all(bytes).unwrap();
    file
}

/// Opens a file with these bytes.
pub(super) fn open_bytes(bytes: &[u8]) -> Result<Image, ElfError> {
    Image::open(file_of(bytes).as_path())
}
