//! Relocations: read in pieces from the file, checked, and applied to guest memory.
//!
//! A static position-independent executable needs only one kind, the addition of its load bias to an address,
//! in two forms. RELA entries (x86-64 psABI, "Relocation") name each place and its value. RELR (gABI,
//! "Relative Relocation Table") only names places whose values are already there: an even word is the address
//! of one place, and an odd word a bitmap, of which bit `i` (1 to 63) stands for the place `i - 1` words
//! behind those that the words before it have covered.

use super::dynamic::{Table, Tables};
use super::error::Defect;
use super::file::{ElfFile, words};
use super::segments::{Segment, writable};
use std::ops::Range;
use vm_memory::{VolatileMemory, VolatileSlice};

/// Bytes that are read from the file at once: a multiple of both 24, an entry of RELA, and 8, one of RELR.
const PIECE: usize = 24 * 512;
/// Bytes of a relocated word.
const WORD: u64 = 8;
/// Words that a bitmap of RELR covers.
const BITMAP_WORDS: u64 = 63;

const R_X86_64_NONE: u32 = 0;
const R_X86_64_RELATIVE: u32 = 8;

/// What is to be done with a word of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relocation {
    /// Set it to the load bias plus this.
    Set(u64),
    /// Add the load bias to it.
    Add,
}

/// Where the words to be changed may be.
struct Targets<'a> {
    segments: &'a [Segment],
    /// The writable segment that had the last one, as it mostly has the next.
    last: Range<u64>,
}

impl Targets<'_> {
    fn check(&mut self, address: u64) -> Result<(), Defect> {
        let end = address.saturating_add(WORD);
        if address < self.last.start || end > self.last.end {
            self.last = writable(self.segments, address, WORD).ok_or(Defect::RelocationTarget(address))?;
        }
        Ok(())
    }
}

/// Calls `apply` with the link-time address of each word to be changed, all 8 bytes of which are in a
/// writable segment.
pub(super) fn visit(
    file: &ElfFile,
    segments: &[Segment],
    tables: &Tables,
    mut apply: impl FnMut(u64, Relocation) -> Result<(), Defect>,
) -> Result<(), Defect> {
    let mut targets = Targets { segments, last: 0..0 };
    for table in tables.rela.iter().flatten() {
        for_each_piece(file, *table, |piece| {
            for [address, info, addend] in words(piece) {
                // ELF64_R_TYPE
                match info as u32 {
                    R_X86_64_NONE => {}
                    R_X86_64_RELATIVE => {
                        targets.check(address)?;
                        apply(address, Relocation::Set(addend))?;
                    }
                    other => return Err(Defect::Relocation(other)),
                }
            }
            Ok(())
        })?;
    }
    if let Some(table) = tables.relr {
        let mut next = None;
        for_each_piece(file, table, |piece| {
            for [word] in words(piece) {
                let (first, mut bits) = match (word & 1, next) {
                    // An address is a bitmap of one place.
                    (0, _) => (word, 1),
                    (_, Some(next)) => (next, word >> 1),
                    (_, None) => return Err(Defect::RelrWithoutAddress),
                };
                let covered = if word & 1 == 0 { 1 } else { BITMAP_WORDS };
                while bits != 0 {
                    let address = first.wrapping_add(u64::from(bits.trailing_zeros()) * WORD);
                    targets.check(address)?;
                    apply(address, Relocation::Add)?;
                    bits &= bits - 1;
                }
                // An address that wraps around here is refused when it is used.
                next = Some(first.wrapping_add(covered * WORD));
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Applies the relocations to the loaded `image`, whose first byte has the link-time address `start`.
pub(super) fn apply(
    file: &ElfFile,
    segments: &[Segment],
    tables: &Tables,
    image: &VolatileSlice<'_>,
    start: u64,
    bias: u64,
) -> Result<(), Defect> {
    visit(file, segments, tables, |address, relocation| {
        // Addresses of segments are inside the image, so this finds all of them.
        let word = usize::try_from(address - start).ok().and_then(|at| image.get_ref::<u64>(at).ok());
        let word = word.ok_or(Defect::RelocationTarget(address))?;
        word.store(match relocation {
            Relocation::Set(addend) => addend.wrapping_add(bias),
            Relocation::Add => word.load().wrapping_add(bias),
        });
        Ok(())
    })
}

fn for_each_piece(
    file: &ElfFile,
    table: Table,
    mut each: impl FnMut(&[u8]) -> Result<(), Defect>,
) -> Result<(), Defect> {
    let mut buffer = [0; PIECE];
    let (mut offset, mut rest) = (table.offset, table.size);
    while rest != 0 {
        let size = rest.min(PIECE as u64);
        let piece = buffer.get_mut(..size as usize).unwrap_or_default();
        file.read(offset, piece, "relocation table")?;
        each(piece)?;
        offset += size;
        rest -= size;
    }
    Ok(())
}
