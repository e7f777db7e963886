//! A Solo5 hvt unikernel: its file, checked and loaded by that ABI's rules.
//!
//! Only `PT_LOAD` segments with data in the file count. Solo5's own linker scripts make others, such as an empty `.tdata` at address 0, and
//! `.bss`, which lies in memory that is zero and writable anyway.

use super::note;
use crate::elf::file::ElfFile;
use crate::elf::symbols::Symbols;
use crate::elf::{self, Defect, ElfError, Rights};
use crate::memory::{Memory, PAGE};
use linux_loader::elf::{ET_EXEC, Elf64_Ehdr, Elf64_Phdr, PF_R, PF_W, PF_X, PT_LOAD};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where segments may lie: from the first MiB on, below the most memory that a guest can have.
pub const PLACE: Range<u64> = 0x10_0000..super::layout::MAX_MEMORY;

/// A unikernel: opened, parsed and fully checked, with nothing loaded yet.
///
/// It keeps its file open, for [`load`](Self::load) and [`symbols`](Self::symbols).
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    file: ElfFile,
    entry: u64,
    segments: Vec<Segment>,
    notes: note::Manifest,
    manifest: elf::Manifest,
}

/// A segment that is loaded. Addresses are guest-physical, and virtual as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The pages that get its rights: from its start to its end, each rounded to its alignment; not empty.
    pub pages: Range<u64>,
    /// Where its data goes.
    pub address: u64,
    /// Where its data begins in the file.
    pub file_offset: u64,
    /// Bytes of data, at least 1.
    pub file_size: u64,
    /// What may be done with it; `None`: nothing, not even reading.
    pub rights: Option<Rights>,
}

impl Image {
    /// Opens `path` and checks that it is a unikernel that can be loaded.
    ///
    /// # Errors
    ///
    /// An [`ElfError`] that says what is wrong with the file, or that it could not be read.
    pub fn open(path: &Path) -> Result<Self, ElfError> {
        elf::open(path, |file, header, headers| Self::check(path, file, header, headers))
    }

    /// The same for a file of which the headers are read already.
    pub(crate) fn check(
        path: &Path,
        file: ElfFile,
        header: &Elf64_Ehdr,
        headers: &[Elf64_Phdr],
    ) -> Result<Self, Defect> {
        note::check_abi(&file, headers)?;
        let notes = note::read_manifest(&file, headers)?;
        let manifest = notes.declared()?;
        if header.e_type != ET_EXEC {
            return Err(Defect::Solo5Position);
        }
        let segments = check_segments(&file, headers)?;
        let entry = header.e_entry;
        let executable =
            |segment: &Segment| segment.rights == Some(Rights::EXECUTE) && segment.pages.contains(&entry);
        if !segments.iter().any(executable) {
            return Err(Defect::Entry(entry));
        }
        Ok(Self { path: path.to_owned(), file, entry, segments, notes, manifest })
    }

    /// What the unikernel says that it needs, as the monitor has it of every ABI.
    #[must_use]
    pub const fn manifest(&self) -> &elf::Manifest {
        &self.manifest
    }

    /// The same in the form of its ABI.
    #[must_use]
    pub const fn notes(&self) -> &note::Manifest {
        &self.notes
    }

    /// The address of its first instruction, in an executable segment.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        self.entry
    }

    /// Its segments by address, at least one. They have no page in common.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The functions that its symbol table names.
    #[must_use]
    pub fn symbols(&self) -> Symbols<'_> {
        Symbols::of_file(&self.file)
    }

    /// Whether its file has become shorter since it was opened: pages that were [mapped](Memory::map_file) are then lost.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.file.was_cut()
    }

    /// Brings the segments into `memory`, which must be zero there. Large ones that do not change are mapped from the file.
    ///
    /// # Errors
    ///
    /// An [`ElfError`] where they do not fit in the memory, or the file cannot be read or is not the same any more.
    pub fn load(&self, memory: &mut Memory) -> Result<(), ElfError> {
        self.load_segments(memory).map_err(|defect| ElfError::new(&self.path, defect))
    }

    fn load_segments(&self, memory: &mut Memory) -> Result<(), Defect> {
        let Range { start, end } = span(&self.segments);
        let available = memory.size();
        if end > available {
            return Err(Defect::DoesNotFit { image: end - start, at: start, memory: available });
        }
        for segment in &self.segments {
            let constant = segment.rights.is_none_or(|rights| !rights.write);
            self.file.load(segment.file_offset, segment.file_size, constant, memory, segment.address)?;
        }
        Ok(())
    }
}

/// The pages from the first segment to the last.
pub(super) fn span(segments: &[Segment]) -> Range<u64> {
    match (segments.first(), segments.last()) {
        (Some(first), Some(last)) => first.pages.start..last.pages.end,
        _ => PLACE.start..PLACE.start,
    }
}

/// Checks the segments that are loaded, which must be in the order of their addresses.
fn check_segments(file: &ElfFile, headers: &[Elf64_Phdr]) -> Result<Vec<Segment>, Defect> {
    let mut segments: Vec<Segment> = Vec::new();
    for header in headers.iter().filter(|header| header.p_type == PT_LOAD && header.p_filesz != 0) {
        let segment = check_one(file, header)?;
        if let Some(previous) = segments.last() {
            if segment.address < previous.address {
                return Err(Defect::Unsorted(segment.address));
            }
            if segment.pages.start < previous.pages.end {
                return Err(Defect::Overlap(previous.address, segment.address));
            }
        }
        segments.push(segment);
    }
    if segments.is_empty() { Err(Defect::NoSegments) } else { Ok(segments) }
}

fn check_one(file: &ElfFile, header: &Elf64_Phdr) -> Result<Segment, Defect> {
    let (address, align) = (header.p_vaddr, header.p_align);
    let misaligned = Defect::Misaligned { address, offset: header.p_offset, align };
    if !align.is_power_of_two() {
        return Err(misaligned);
    }
    if header.p_filesz > header.p_memsz {
        return Err(Defect::FileSize(address));
    }
    let start = address & !(align - 1);
    let end = address.checked_add(header.p_memsz).and_then(|end| end.checked_next_multiple_of(align));
    let end = end.ok_or(Defect::WrapsAround(address))?;
    if start < PLACE.start || end > PLACE.end {
        return Err(Defect::Solo5Place { address, place: PLACE });
    }
    if !start.is_multiple_of(PAGE) || !end.is_multiple_of(PAGE) {
        return Err(misaligned);
    }
    file.check(header.p_offset, header.p_filesz, "segment data")?;
    let has = |flag| header.p_flags & flag != 0;
    let rights = match (has(PF_W), has(PF_X)) {
        (true, true) => return Err(Defect::WritableAndExecutable(address)),
        (true, false) => Some(Rights::WRITE),
        // Solo5's text is executable only; it must be readable all the same, as constants lie in it.
        (false, true) => Some(Rights::EXECUTE),
        (false, false) => has(PF_R).then_some(Rights::READ),
    };
    Ok(Segment {
        pages: start..end,
        address,
        file_offset: header.p_offset,
        file_size: header.p_filesz,
        rights,
    })
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
