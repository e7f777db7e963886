//! The memory of a Solo5 hvt guest: virtual addresses are guest-physical ones.
//!
//! ```text
//! 0         · never mapped; the monitor's own pages appear here, see paging
//! 0x10000     boot information, up to 0x100000      read-only
//! 0x100000    image                                 as its segments say
//!             heap, and the stack from the top down read/write, as is what segments leave free
//!             net ring, 2 MiB                       read/write; only where it is offered
//!           · the monitor's tables
//! ```
//!
//! Nothing lies between heap and stack: the ABI has no guard.

use super::image::{PLACE, Segment, span};
use crate::layout::{Area, LOWEST, Layout, LayoutError, Rights};
use crate::memory::{LARGE_PAGE, PAGE};
use std::ops::Range;

/// Guest memory where the user says nothing, in bytes.
pub const DEFAULT_MEMORY: u64 = 512 << 20;
/// The most guest memory in bytes.
pub const MAX_MEMORY: u64 = 4 << 30;
/// What guest memory is a multiple of, and what a net ring takes of it, in bytes.
pub const GRANULE: u64 = LARGE_PAGE;
/// Where the boot information lies.
pub const INFO: u64 = LOWEST;
/// The most bytes that it takes: 56, the manifest's 8 and 64 entries of 104, and the command line's 8192.
pub const MAX_INFO: u64 = 56 + 8 + 64 * 104 + 8192;

/// Where a net ring lies. Both are in the field, and a guest that follows its boot information cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingPlace {
    /// In the guest's memory, of which it then has a granule less: Solo5 after 0.12.1.
    Inside,
    /// Above the guest's memory, to which a granule is added as long as the whole stays in 4 GiB: Solo5 0.11 and 0.12.
    Above,
}

/// Guest memory in bytes: what the user wants, as Solo5 has it: rounded down to a multiple of [`GRANULE`], but at least one.
///
/// # Errors
///
/// Where it is more than [`MAX_MEMORY`].
pub const fn memory_size(wanted: Option<u64>) -> Result<u64, LayoutError> {
    match wanted {
        None => Ok(DEFAULT_MEMORY),
        Some(wanted) if wanted > MAX_MEMORY => Err(LayoutError::TooLarge(wanted)),
        Some(wanted) if wanted < GRANULE => Ok(GRANULE),
        Some(wanted) => Ok(wanted / GRANULE * GRANULE),
    }
}

/// Lays out a guest with these segments, as [`Image::segments`](super::image::Image::segments) has them, and `memory` bytes, as [`memory_size`]
/// has them. What the guest is told of as its memory ends with [`Layout::stack`].
///
/// # Errors
///
/// A [`LayoutError`] where the memory is too small.
pub fn lay_out(segments: &[Segment], memory: u64, ring: Option<RingPlace>) -> Result<Layout, LayoutError> {
    let image = span(segments);
    let (all, usable) = match ring {
        None => (memory, memory),
        Some(RingPlace::Inside) => (memory, memory.saturating_sub(GRANULE)),
        Some(RingPlace::Above) => {
            let all = memory.saturating_add(GRANULE).min(MAX_MEMORY);
            (all, all.saturating_sub(GRANULE))
        }
    };
    let least = image.end.next_multiple_of(GRANULE);
    if ring.is_some() && least > MAX_MEMORY - GRANULE {
        return Err(LayoutError::NoRoomForRing);
    }
    if image.end > usable {
        let inside = if ring == Some(RingPlace::Inside) { GRANULE } else { 0 };
        return Err(LayoutError::TooSmall { needed: least + inside });
    }
    let small_heap = image.end..least;
    let mut layout = Layout {
        slide: 0,
        bias: 0,
        memory: all,
        info: INFO..INFO + MAX_INFO.next_multiple_of(PAGE),
        clock: 0..0,
        rings: usable..all,
        stack: image.end..usable,
        // The stack begins in small pages: a large one would have to be zeroed whole before the first instruction.
        heap: small_heap.end..usable.saturating_sub(GRANULE).max(small_heap.end),
        small_heap,
        image,
        tables: all..all,
        areas: areas(segments, usable, all),
        mappings: Vec::new(),
    };
    layout.tables.end += layout.tables_size(&[]);
    Ok(layout)
}

/// All that is mapped: what no segment has is read/write.
fn areas(segments: &[Segment], usable: u64, all: u64) -> Vec<Area> {
    let free = |gpa: Range<u64>| Area { gpa, rights: Rights::WRITE };
    let mut areas = vec![Area { gpa: INFO..PLACE.start, rights: Rights::READ }];
    let mut next = PLACE.start;
    for segment in segments {
        areas.push(free(next..segment.pages.start));
        // Pages without any right are not mapped.
        areas.extend(segment.rights.map(|rights| Area { gpa: segment.pages.clone(), rights }));
        next = segment.pages.end;
    }
    areas.extend([free(next..usable), free(usable..all)]);
    areas.retain(|area| !area.gpa.is_empty());
    areas
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
