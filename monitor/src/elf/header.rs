//! The file header and the program header table.

use super::error::Defect;
use super::file::ElfFile;
use linux_loader::elf::{self, Elf64_Ehdr, Elf64_Phdr};
use vm_memory::ByteValued;

/// The most program headers that are read. Linkers make about ten.
const MAX_PROGRAM_HEADERS: u16 = 128;
/// `EV_CURRENT`: there has only been one version of ELF.
const CURRENT_VERSION: u32 = 1;

/// Reads the file header and checks that this is an ELF file.
fn read_identified(file: &ElfFile) -> Result<Elf64_Ehdr, Defect> {
    const PART: &str = "file header";
    let mut header = Elf64_Ehdr::default();
    // What can be said of a short file is said before that it is short.
    let got = file.len().min(size_of::<Elf64_Ehdr>() as u64) as usize;
    file.read(0, header.as_mut_slice().get_mut(..got).unwrap_or_default(), PART)?;
    let ident = header.e_ident;
    if !ident.starts_with(elf::ELFMAG) {
        return Err(Defect::NotElf);
    }
    // The same names mean other layouts in 32-bit and big-endian files: no other field counts before these.
    let [_, _, _, _, class, data, version, ..] = ident;
    match class {
        elf::ELFCLASS64 => {}
        elf::ELFCLASS32 => return Err(Defect::Bits32),
        0 if got <= elf::EI_CLASS => {}
        _ => return Err(Defect::BadField { field: "EI_CLASS", value: class.into() }),
    }
    match data {
        elf::ELFDATA2LSB => {}
        elf::ELFDATA2MSB => return Err(Defect::BigEndian),
        0 if got <= elf::EI_DATA => {}
        _ => return Err(Defect::BadField { field: "EI_DATA", value: data.into() }),
    }
    file.check(0, size_of::<Elf64_Ehdr>() as u64, PART)?;
    if u32::from(version) != CURRENT_VERSION {
        return Err(Defect::BadField { field: "EI_VERSION", value: version.into() });
    }
    if header.e_version != CURRENT_VERSION {
        return Err(Defect::BadField { field: "e_version", value: header.e_version.into() });
    }
    Ok(header)
}

/// Reads the file header of a program for this machine.
pub(crate) fn read(file: &ElfFile) -> Result<Elf64_Ehdr, Defect> {
    let header = read_identified(file)?;
    if header.e_machine != elf::EM_X86_64 {
        return Err(Defect::Machine(header.e_machine));
    }
    match header.e_type {
        elf::ET_EXEC | elf::ET_DYN => {}
        elf::ET_REL => return Err(Defect::Relocatable),
        elf::ET_CORE => return Err(Defect::Core),
        other => return Err(Defect::BadField { field: "e_type", value: other.into() }),
    }
    if usize::from(header.e_ehsize) != size_of::<Elf64_Ehdr>() {
        return Err(Defect::BadField { field: "e_ehsize", value: header.e_ehsize.into() });
    }
    Ok(header)
}

/// Reads the program header table.
pub(crate) fn read_program_headers(file: &ElfFile, header: &Elf64_Ehdr) -> Result<Vec<Elf64_Phdr>, Defect> {
    let count = header.e_phnum;
    if count == 0 {
        return Err(Defect::NoSegments);
    }
    if usize::from(header.e_phentsize) != size_of::<Elf64_Phdr>() {
        return Err(Defect::BadField { field: "e_phentsize", value: header.e_phentsize.into() });
    }
    if count > MAX_PROGRAM_HEADERS {
        return Err(Defect::BadField { field: "e_phnum", value: count.into() });
    }
    let size = u64::from(count) * size_of::<Elf64_Phdr>() as u64;
    let bytes = file.read_vec(header.e_phoff, size, size, "program header table")?;
    let entries = bytes.chunks_exact(size_of::<Elf64_Phdr>()).map(|entry| {
        let mut header = Elf64_Phdr::default();
        header.as_mut_slice().copy_from_slice(entry);
        header
    });
    Ok(entries.collect())
}

/// The one program header of type `kind`, if there is one.
pub(super) fn only<'a>(
    headers: &'a [Elf64_Phdr],
    kind: u32,
    name: &'static str,
) -> Result<Option<&'a Elf64_Phdr>, Defect> {
    let mut found = headers.iter().filter(|header| header.p_type == kind);
    let first = found.next();
    match found.next() {
        Some(_) => Err(Defect::Repeated(name)),
        None => Ok(first),
    }
}
