//! The program: an ELF file that is checked before anything of it is loaded.
//!
//! Accepted are static executables for x86-64 with a ukvm note, at fixed addresses (`ET_EXEC`) or
//! position-independent (`ET_DYN` without interpreter and libraries, a "static-pie"). The order of the checks
//! is that of the sentences that help most: what kind of file it is, whether it is a unikernel at all, and
//! then whether it can be loaded.
//!
//! 1. `file` opens and reads, `header` checks what the file says of itself.
//! 2. `note` finds the manifest.
//! 3. `segments` checks what is to be loaded where, with which rights.
//! 4. `dynamic` finds the relocations, `relocate` checks and applies them.
//! 5. [`symbols`] names functions in a fault report.

mod dynamic;
mod error;
pub(crate) mod file;
pub(crate) mod header;
mod names;
mod note;
mod relocate;
mod segments;
pub mod symbols;

pub use crate::layout::Rights;
pub use error::{Defect, ElfError};
pub use note::{Access, Declared, DeclaredTest, Manifest};
pub use segments::Segment;

use crate::memory::{Memory, PAGE};
use file::ElfFile;
use linux_loader::elf::{self, Elf64_Ehdr, Elf64_Phdr};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The largest alignment that a segment may ask for: that of a large page.
pub const MAX_ALIGNMENT: u64 = crate::memory::LARGE_PAGE;

/// The most bytes of an interpreter's name that are shown.
const MAX_INTERPRETER: u64 = 256;

/// A unikernel: opened, parsed and fully checked, with nothing loaded yet. All addresses are link-time
/// addresses.
///
/// It keeps its file open, for [`load`](Self::load) and [`symbols`].
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    file: ElfFile,
    manifest: Manifest,
    pie: bool,
    entry: u64,
    segments: Vec<Segment>,
    /// The pages that are sealed after relocation; may be empty.
    relro: Range<u64>,
    relocations: dynamic::Tables,
}

/// Opens `path`, reads its headers, and has `check` look at the rest.
pub(crate) fn open<T>(
    path: &Path,
    check: impl FnOnce(ElfFile, &Elf64_Ehdr, &[Elf64_Phdr]) -> Result<T, Defect>,
) -> Result<T, ElfError> {
    let read = || {
        let file = ElfFile::open(path)?;
        let header = header::read(&file)?;
        let headers = header::read_program_headers(&file, &header)?;
        check(file, &header, &headers)
    };
    read().map_err(|defect| ElfError::new(path, defect))
}

/// Reads which tests the program at `path` declares, by their names; `None` where it is no program of tests. Nothing else of it is
/// checked.
///
/// # Errors
///
/// An [`ElfError`] where it is no ELF file, or what it declares cannot be understood.
pub fn tests(path: &Path) -> Result<Option<Vec<DeclaredTest>>, ElfError> {
    let mut tests = open(path, |file, _, headers| note::read_tests(&file, headers))?;
    if let Some(tests) = &mut tests {
        tests.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(tests)
}

impl Image {
    /// Opens `path` and checks that it is a unikernel that can be loaded.
    ///
    /// # Errors
    ///
    /// An [`ElfError`] that says what is wrong with the file, or that it could not be read.
    pub fn open(path: &Path) -> Result<Self, ElfError> {
        open(path, |file, header, headers| Self::check(path, file, header, headers))
    }

    /// The same for a file of which the headers are read already.
    pub(crate) fn check(
        path: &Path,
        file: ElfFile,
        header: &Elf64_Ehdr,
        headers: &[Elf64_Phdr],
    ) -> Result<Self, Defect> {
        let interpreter = header::only(headers, elf::PT_INTERP, "PT_INTERP")?;
        let manifest = note::read_manifest(&file, headers)?.ok_or(match interpreter {
            None => Defect::OrdinaryProgram,
            Some(_) => Defect::OrdinaryDynamicProgram,
        })?;
        if let Some(header) = interpreter {
            let name = file.read_string(header.p_offset, header.p_filesz.min(MAX_INTERPRETER));
            return Err(Defect::Interpreter(name.unwrap_or_else(|| "(without a name)".to_owned())));
        }
        refuse_what_needs_an_operating_system(headers)?;
        let pie = header.e_type == elf::ET_DYN;
        let segments = segments::check(&file, headers, pie)?;
        let entry = header.e_entry;
        let executable =
            |segment: &Segment| segment.rights.execute && (segment.address..segment.end()).contains(&entry);
        if !segments.iter().any(executable) {
            return Err(Defect::Entry(entry));
        }
        let relro = segments::relro(headers, &segments)?;
        let relocations = dynamic::read(&file, headers, &segments)?;
        relocate::visit(&file, &segments, &relocations, |_, _| Ok(()))?;
        Ok(Self { path: path.to_owned(), file, manifest, pie, entry, segments, relro, relocations })
    }

    /// What the unikernel says that it needs.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether it can be loaded anywhere.
    #[must_use]
    pub const fn is_pie(&self) -> bool {
        self.pie
    }

    /// The address of its first instruction.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        self.entry
    }

    /// The addresses from its first page to its last; not empty.
    #[must_use]
    pub fn span(&self) -> Range<u64> {
        segments::span(&self.segments)
    }

    /// What a load bias must be a multiple of: a power of two from a page to [`MAX_ALIGNMENT`].
    #[must_use]
    pub fn alignment(&self) -> u64 {
        self.segments.iter().map(|segment| segment.alignment).fold(PAGE, u64::max)
    }

    /// Its segments by address. They have no page in common.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Its pages with their rights once it is loaded and RELRO is sealed: by address, without overlap. Pages
    /// between segments are in none.
    #[must_use]
    pub fn pages(&self) -> Vec<(Range<u64>, Rights)> {
        segments::pages(&self.segments, &self.relro)
    }

    /// Whether its file has become shorter since it was opened: pages that were [mapped](Memory::map_file) are then lost.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.file.was_cut()
    }

    /// Brings the segments into `memory`, which must be zero there, and applies the relocations. Large ones that do not change are
    /// mapped from the file, so that the cost does not grow with them.
    ///
    /// `gpa` is the guest-physical address for the start of [`span`](Self::span), `bias` the run-time virtual
    /// address less the link-time address: 0 for a program with fixed addresses, else a multiple of
    /// [`alignment`](Self::alignment), modulo 2^64.
    ///
    /// # Errors
    ///
    /// An [`ElfError`] where the image does not fit in the memory, or the file cannot be read or is not the
    /// same any more.
    pub fn load(&self, memory: &mut Memory, gpa: u64, bias: u64) -> Result<(), ElfError> {
        debug_assert!(bias.is_multiple_of(self.alignment()) && (self.pie || bias == 0));
        self.load_segments(memory, gpa, bias).map_err(|defect| ElfError::new(&self.path, defect))
    }

    fn load_segments(&self, memory: &mut Memory, gpa: u64, bias: u64) -> Result<(), Defect> {
        let span = self.span();
        let size = span.end - span.start;
        let available = memory.size();
        let does_not_fit = || Defect::DoesNotFit { image: size, at: gpa, memory: available };
        let end = gpa.checked_add(size).filter(|&end| end <= available).ok_or_else(does_not_fit)?;
        for segment in &self.segments {
            let to = gpa + (segment.address - span.start);
            let constant = !segment.rights.write;
            self.file.load(segment.file_offset, segment.file_size, constant, memory, to)?;
        }
        let image = memory.at(gpa..end).map_err(|_| does_not_fit())?;
        relocate::apply(&self.file, &self.segments, &self.relocations, &image, span.start, bias)
    }
}

fn refuse_what_needs_an_operating_system(headers: &[Elf64_Phdr]) -> Result<(), Defect> {
    for header in headers {
        match header.p_type {
            elf::PT_TLS if header.p_memsz != 0 => return Err(Defect::ThreadLocal),
            elf::PT_GNU_STACK if header.p_flags & elf::PF_X != 0 => return Err(Defect::ExecutableStack),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod builder;
#[cfg(test)]
mod load_tests;
#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod symbols_tests;
