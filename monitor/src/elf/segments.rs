//! The loadable segments: checked, and what can be asked of them.

use super::MAX_ALIGNMENT;
use super::error::Defect;
use super::file::ElfFile;
use super::header::only;
use crate::layout::{LOWEST, Rights, VIRTUAL_END};
use crate::memory::PAGE;
use linux_loader::elf::{self, Elf64_Phdr};
use std::ops::Range;

/// The most addresses from the first segment to the last. Guest memory is far smaller; this keeps sums in
/// range.
const MAX_SPAN: u64 = 1 << 46;

/// A loadable segment. All addresses are link-time addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first byte.
    pub address: u64,
    /// Its bytes, at least 1.
    pub memory_size: u64,
    /// Where its data begins in the file.
    pub file_offset: u64,
    /// Bytes of data in the file, at most `memory_size`; the rest is zero.
    pub file_size: u64,
    /// What may be done with it before RELRO is sealed.
    pub rights: Rights,
    /// A power of two that its address keeps, up to 2 MiB.
    pub alignment: u64,
}

impl Segment {
    /// One past its last byte.
    #[must_use]
    pub const fn end(&self) -> u64 {
        // `check_one` has refused what overflows.
        self.address.saturating_add(self.memory_size)
    }

    /// The pages that it touches.
    #[must_use]
    pub const fn pages(&self) -> Range<u64> {
        page_down(self.address)..page_up(self.end())
    }

    fn contains(&self, address: u64, size: u64) -> bool {
        address >= self.address && address.checked_add(size).is_some_and(|end| end <= self.end())
    }
}

/// Checks the loadable segments, which must be in the order of their addresses, and returns those that are
/// not empty.
pub(super) fn check(file: &ElfFile, headers: &[Elf64_Phdr], pie: bool) -> Result<Vec<Segment>, Defect> {
    let mut segments: Vec<Segment> = Vec::new();
    for header in headers.iter().filter(|header| header.p_type == elf::PT_LOAD) {
        let segment = check_one(file, header)?;
        if segment.memory_size == 0 {
            continue;
        }
        if let Some(previous) = segments.last() {
            if segment.address < previous.address {
                return Err(Defect::Unsorted(segment.address));
            }
            // Rights are given to pages, so that two segments in one page would each get the other's.
            if page_down(segment.address) < page_up(previous.end()) {
                return Err(Defect::Overlap(previous.address, segment.address));
            }
        }
        segments.push(segment);
    }
    let all = span(&segments);
    if all.is_empty() {
        return Err(Defect::NoSegments);
    }
    if !pie && all.start < LOWEST {
        return Err(Defect::TooLow(all.start));
    }
    match all.end - all.start {
        size if size > MAX_SPAN => Err(Defect::SpanTooLarge(size)),
        _ => Ok(segments),
    }
}

fn check_one(file: &ElfFile, header: &Elf64_Phdr) -> Result<Segment, Defect> {
    let (address, offset, align) = (header.p_vaddr, header.p_offset, header.p_align);
    let end = address.checked_add(header.p_memsz).ok_or(Defect::WrapsAround(address))?;
    if end > VIRTUAL_END {
        return Err(Defect::TooHigh(address));
    }
    if header.p_filesz > header.p_memsz {
        return Err(Defect::FileSize(address));
    }
    file.check(offset, header.p_filesz, "segment data")?;
    // gABI, "Program Header": 0 and 1 ask for nothing; else address and offset are congruent modulo the
    // alignment.
    let alignment = align.max(1);
    if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT || address % alignment != offset % alignment
    {
        return Err(Defect::Misaligned { address, offset, align });
    }
    let has = |flag| header.p_flags & flag != 0;
    let rights = Rights { write: has(elf::PF_W), execute: has(elf::PF_X) };
    if rights.write && rights.execute {
        return Err(Defect::WritableAndExecutable(address));
    }
    Ok(Segment {
        address,
        memory_size: header.p_memsz,
        file_offset: offset,
        file_size: header.p_filesz,
        rights,
        alignment,
    })
}

/// The pages from the first segment to the last.
pub(super) fn span(segments: &[Segment]) -> Range<u64> {
    match (segments.first(), segments.last()) {
        (Some(first), Some(last)) => first.pages().start..last.pages().end,
        _ => 0..0,
    }
}

/// Where the file has the `size` bytes at `address`; `None` unless all of them are the data of one segment.
pub(super) fn file_offset(segments: &[Segment], address: u64, size: u64) -> Option<u64> {
    let segment = segments.iter().find(|segment| segment.contains(address, size))?;
    let from = address - segment.address;
    (from.checked_add(size)? <= segment.file_size).then(|| segment.file_offset + from)
}

/// The bytes of the file's data from `address` to the end of its segment's data; 0 where it is in none.
pub(super) fn data_after(segments: &[Segment], address: u64) -> u64 {
    let segment = segments.iter().find(|segment| segment.contains(address, 1));
    segment.map_or(0, |segment| segment.file_size.saturating_sub(address - segment.address))
}

/// The addresses of the writable segment that has the `size` bytes at `address`.
pub(super) fn writable(segments: &[Segment], address: u64, size: u64) -> Option<Range<u64>> {
    let segment = segments.iter().find(|segment| segment.contains(address, size))?;
    segment.rights.write.then(|| segment.address..segment.end())
}

/// The pages that become read-only once relocations are applied; empty where there are none.
///
/// As the dynamic linkers of System V systems have it, the end is rounded down, so that variables behind it
/// in its last page stay writable. The start is rounded down too, which is right only where nothing else
/// comes before it in its page: where it starts a page, or lies in the first page of its segment, which
/// linkers begin with it.
pub(super) fn relro(headers: &[Elf64_Phdr], segments: &[Segment]) -> Result<Range<u64>, Defect> {
    let Some(header) = only(headers, elf::PT_GNU_RELRO, "PT_GNU_RELRO")?.filter(|header| header.p_memsz != 0)
    else {
        return Ok(0..0);
    };
    let bad = Defect::Relro(header.p_vaddr);
    let Some(end) = header.p_vaddr.checked_add(header.p_memsz) else { return Err(bad) };
    let start = page_down(header.p_vaddr);
    let inside = |segment: &&Segment| {
        let pages = segment.pages();
        // Linkers pad the range, not always the segment, to the end of a page.
        segment.rights.write && start >= pages.start && end <= pages.end
    };
    match segments.iter().find(inside) {
        Some(segment) if start == header.p_vaddr || start == segment.pages().start => {
            Ok(start..page_down(end).max(start))
        }
        _ => Err(bad),
    }
}

/// The pages of all segments with their rights once `relro` is sealed: ascending and disjoint.
pub(super) fn pages(segments: &[Segment], relro: &Range<u64>) -> Vec<(Range<u64>, Rights)> {
    let mut all = Vec::with_capacity(segments.len() + 2);
    for segment in segments {
        let pages = segment.pages();
        // The part of this segment that is sealed, empty at its end where there is none.
        let from = relro.start.clamp(pages.start, pages.end);
        let to = relro.end.clamp(from, pages.end);
        all.push((pages.start..from, segment.rights));
        all.push((from..to, Rights::READ));
        all.push((to..pages.end, segment.rights));
    }
    all.retain(|(pages, _)| !pages.is_empty());
    all
}

const fn page_down(address: u64) -> u64 {
    address & !(PAGE - 1)
}

/// Never overflows below [`VIRTUAL_END`], where all addresses are.
const fn page_up(address: u64) -> u64 {
    page_down(address.saturating_add(PAGE - 1))
}
