//! The symbol table, for naming the functions in a fault report.

use super::Image;
use super::error::Defect;
use super::file::{ElfFile, printable, words};
use super::header;
use linux_loader::elf::{self, Elf64_Shdr, Elf64_Sym};

/// The most bytes of the section header table and of the symbol table.
const MAX_TABLE: u64 = 64 << 20;
/// The most bytes of a symbol's name that are read. Names of generic functions can be long.
const MAX_NAME: u64 = 4096;
/// The most characters of a name that are shown.
const MAX_SHOWN: usize = 512;

/// The functions of an [`Image`]. It reads names from the image's file when they are asked for.
#[derive(Debug)]
pub struct Symbols<'a> {
    file: &'a ElfFile,
    /// By address; of functions at one address the largest comes last.
    functions: Vec<Function>,
    /// Where the names are in the file, and their bytes.
    names: (u64, u64),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    address: u64,
    /// 0 where it is not known.
    size: u64,
    /// From the start of the names.
    name: u32,
}

impl<'a> Symbols<'a> {
    /// Reads the symbol table. A program that was stripped, or whose table cannot be read, has no symbols:
    /// that is no reason to lose a fault report.
    #[must_use]
    pub fn read(image: &'a Image) -> Self {
        Self::of_file(&image.file)
    }

    /// The same of an ELF file, whatever its ABI.
    pub(crate) fn of_file(file: &'a ElfFile) -> Self {
        let mut symbols = Self { file, functions: Vec::new(), names: (0, 0) };
        if symbols.read_tables().is_err() {
            symbols.functions.clear();
        }
        symbols
    }

    /// The name of the function that has the link-time address `address`, and how many bytes behind the
    /// function's start that is.
    ///
    /// A return address can be the first byte behind a function that ends with a call: to name the caller,
    /// ask for the return address less 1.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<(String, u64)> {
        let count = self.functions.partition_point(|function| function.address <= address);
        let function = self.functions.get(count.checked_sub(1)?)?;
        let offset = address - function.address;
        if function.size != 0 && offset >= function.size {
            return None;
        }
        let (start, size) = self.names;
        let room = size.checked_sub(function.name.into())?.min(MAX_NAME);
        let name = self.file.read_string(start.checked_add(function.name.into())?, room)?;
        // Without the hash at its end.
        let name = format!("{:#}", rustc_demangle::demangle(&name));
        Some((printable(&name).chars().take(MAX_SHOWN).collect(), offset))
    }

    fn read_tables(&mut self) -> Result<(), Defect> {
        let header = header::read(self.file)?;
        let entry = size_of::<Elf64_Shdr>() as u64;
        if u64::from(header.e_shentsize) != entry {
            return Err(Defect::BadField { field: "e_shentsize", value: header.e_shentsize.into() });
        }
        let size = u64::from(header.e_shnum) * entry;
        let bytes = self.file.read_vec(header.e_shoff, size, MAX_TABLE, "section header table")?;
        let sections: Vec<Section> = words(&bytes).map(Section::from).collect();
        let Some(symbols) = sections.iter().find(|section| section.kind == elf::SHT_SYMTAB) else {
            return Ok(());
        };
        if let Some(names) = sections.get(symbols.link as usize)
            && names.kind == elf::SHT_STRTAB
        {
            self.names = (names.offset, names.size);
            let bytes = self.file.read_vec(symbols.offset, symbols.size, MAX_TABLE, "symbol table")?;
            self.functions = words(&bytes).filter_map(function).collect();
            self.functions.sort_unstable();
        }
        Ok(())
    }
}

/// What counts of a section header.
struct Section {
    kind: u32,
    offset: u64,
    size: u64,
    link: u32,
}

impl From<[u64; size_of::<Elf64_Shdr>() / 8]> for Section {
    fn from([name_and_kind, _flags, _address, offset, size, link_and_info, ..]: [u64; 8]) -> Self {
        Self { kind: (name_and_kind >> 32) as u32, offset, size, link: link_and_info as u32 }
    }
}

/// The symbol, if it is a function of this program.
fn function([name_and_rest, address, size]: [u64; size_of::<Elf64_Sym>() / 8]) -> Option<Function> {
    let info = (name_and_rest >> 32) as u8;
    let section = (name_and_rest >> 48) as u16;
    // Section 0 (SHN_UNDEF) is for symbols that are elsewhere.
    (elf::ELF_ST_TYPE(info) == elf::STT_FUNC && section != 0).then_some(Function {
        address,
        size,
        name: name_and_rest as u32,
    })
}
