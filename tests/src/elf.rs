//! ELF files that are broken in one place, made from a good one.
//!
//! Offsets are those of `Elf64_Ehdr`, `Elf64_Phdr` and `Elf64_Nhdr` in the ELF gABI.

use std::path::{Path, PathBuf};
use ukvm_abi::note;

/// Loadable segment.
pub const PT_LOAD: u32 = 1;
/// Dynamic linking information.
pub const PT_DYNAMIC: u32 = 2;
/// Path of the dynamic linker.
pub const PT_INTERP: u32 = 3;
/// Notes.
pub const PT_NOTE: u32 = 4;

/// Offset in the file header of the class: 2 for 64-bit.
pub const EI_CLASS: usize = 4;
/// Offset in the file header of the byte order: 1 for little-endian.
pub const EI_DATA: usize = 5;
/// Offset of the type, 2 bytes.
pub const E_TYPE: usize = 16;
/// Offset of the machine, 2 bytes.
pub const E_MACHINE: usize = 18;
/// Offset of the entry point, 8 bytes.
pub const E_ENTRY: usize = 24;
/// Offset of the program headers' offset, 8 bytes.
pub const E_PHOFF: usize = 32;
/// Offset of a program header's size, 2 bytes.
pub const E_PHENTSIZE: usize = 54;
/// Offset of the number of program headers, 2 bytes.
pub const E_PHNUM: usize = 56;

/// Offset in a program header of its flags, 4 bytes.
pub const P_FLAGS: usize = 4;
/// Offset of the segment's place in the file, 8 bytes.
pub const P_OFFSET: usize = 8;
/// Offset of its virtual address, 8 bytes.
pub const P_VADDR: usize = 16;
/// Offset of its bytes in the file, 8 bytes.
pub const P_FILESZ: usize = 32;
/// Offset of its bytes in memory, 8 bytes.
pub const P_MEMSZ: usize = 40;
/// Offset of its alignment, 8 bytes.
pub const P_ALIGN: usize = 48;

/// The bytes of an ELF file to change.
#[derive(Clone, Debug)]
pub struct Elf(pub Vec<u8>);

impl Elf {
    /// The bytes of `path`.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self(std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Writes it to a file in `directory`.
    #[must_use]
    pub fn save(&self, directory: &Path) -> PathBuf {
        crate::files::file(directory, "changed.elf", &self.0)
    }

    /// Overwrites bytes at `offset`.
    #[must_use]
    pub fn put(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The `u64` at `offset`.
    #[must_use]
    pub fn u64_at(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.0[offset..offset + 8].try_into().expect("8 bytes"))
    }

    /// The `u32` at `offset`.
    #[must_use]
    pub fn u32_at(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.0[offset..offset + 4].try_into().expect("4 bytes"))
    }

    /// The offsets of the program headers of type `kind`.
    #[must_use]
    pub fn headers(&self, kind: u32) -> Vec<usize> {
        let start = self.u64_at(E_PHOFF) as usize;
        let count = usize::from(u16::from_le_bytes([self.0[E_PHNUM], self.0[E_PHNUM + 1]]));
        (0..count).map(|i| start + i * 56).filter(|&at| self.u32_at(at) == kind).collect()
    }

    /// The offset of the first loadable segment's header that has all of the rights in `flags` (4 read, 2 write, 1 execute).
    #[must_use]
    pub fn segment(&self, flags: u32) -> usize {
        let found = self.headers(PT_LOAD).into_iter().find(|at| self.u32_at(at + P_FLAGS) & flags == flags);
        found.expect("the guest has such a segment")
    }

    /// The offset of the guest's note: of its three words.
    #[must_use]
    pub fn note(&self) -> usize {
        let starts = (0..self.0.len() - note::PREFIX_SIZE).step_by(4);
        let is_note =
            |at: &usize| self.u32_at(at + 8) == note::TYPE && self.0[at + 12..at + 17] == note::OWNER;
        starts.filter(is_note).find(|at| self.u32_at(*at) == 5).expect("the guest has a note")
    }

    /// The offset of the manifest in the note.
    #[must_use]
    pub fn manifest(&self) -> usize {
        self.note() + note::PREFIX_SIZE
    }
}
