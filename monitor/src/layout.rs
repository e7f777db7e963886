//! Where everything goes in guest memory: pure arithmetic over page ranges.
//!
//! Guest-physical memory is one region from 0 on, and a virtual address is its guest-physical address plus the slide. From
//! the bottom up, `·` being pages that are not mapped:
//!
//! ```text
//! 0            · never mapped
//! 0x1000       the monitor's own pages: virtual addresses only, see paging
//! random       image                        as its segments say
//!            · guard
//!              stack                        read/write
//!            · guard, up to a multiple of 32 KiB
//!              boot information and clock   read-only
//!              rings                        read/write
//!            · guard
//!              small heap                   read/write, 4 KiB pages up to a multiple of 2 MiB
//!              heap                         read/write, 2 MiB pages up to the end
//!            · the monitor's tables
//!            · 2 MiB or more
//!              disks that are mapped        read-only, 2 MiB pages, each behind a gap of 2 MiB or more
//! ```
//!
//! A program with fixed addresses lies where it wants to, and the slide is 0.

use crate::error::{Error, ErrorKind};
use crate::memory::{LARGE_PAGE, PAGE};
use std::ops::Range;

/// Guest-physical (and, with the slide, virtual) pages in which the monitor's own tables and stubs appear.
pub const SYSTEM: Range<u64> = PAGE..4 * PAGE;
/// The first page that may be the guest's: what is below is reserved, so that it can hold more of the monitor's pages one day.
pub const LOWEST: u64 = 0x1_0000;
/// Stack where the manifest does not ask for a size, in bytes.
pub const DEFAULT_STACK: u64 = 1 << 20;
/// The largest stack that a manifest may ask for, in bytes.
pub const MAX_STACK: u64 = 1 << 30;
/// The least that is left for the small heap, in bytes, so that a small program never touches a 2 MiB page.
const SMALL_HEAP: u64 = 128 << 10;
/// KVM's shadow page tables map up to eight neighbours of a page that faults, from the first of an aligned group on, where the host
/// has them (`PTE_PREFETCH_NUM` in Linux, `arch/x86/kvm/mmu/mmu.c`): so what every guest touches first is one group, in bytes.
const FAULT_GROUP: u64 = 8 * PAGE;
/// Virtual addresses of the guest end here: the lower half less a margin, as software KVM serves no more of it.
pub const VIRTUAL_END: u64 = 0x7f00_0000_0000;

/// What the guest may do with a page; it may read each that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Write to it.
    pub write: bool,
    /// Execute it.
    pub execute: bool,
}

impl Rights {
    /// Data that does not change.
    pub const READ: Self = Self { write: false, execute: false };
    /// Data.
    pub const WRITE: Self = Self { write: true, execute: false };
    /// Code.
    pub const EXECUTE: Self = Self { write: false, execute: true };
}

/// A range of guest-physical addresses, whole pages, with the guest's rights to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// The addresses.
    pub gpa: Range<u64>,
    /// The rights.
    pub rights: Rights,
}

/// What is to be laid out. Sizes in bytes.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Guest memory; a multiple of [`PAGE`].
    pub memory: u64,
    /// The image's link-time addresses, whole pages.
    pub span: Range<u64>,
    /// The image's pages at their link-time addresses, ascending and disjoint.
    pub pages: Vec<(Range<u64>, Rights)>,
    /// Whether the image may be moved.
    pub movable: bool,
    /// What it may be moved by: multiples of this power of two, from [`PAGE`] to [`LARGE_PAGE`].
    pub alignment: u64,
    /// The boot information with all that it points to.
    pub info: u64,
    /// The rings.
    pub rings: u64,
    /// The stack; 0 for [`DEFAULT_STACK`].
    pub stack: u64,
    /// The disks that are to be mapped, by the device's handle less 1, whole pages; 0 for a device that is not.
    pub mappings: Vec<u64>,
}

/// Where everything is. All addresses but the bias and the slide are guest-physical; all ranges are whole pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What to add to a guest-physical address to get the virtual one; a multiple of 2 MiB.
    pub slide: u64,
    /// What to add to a link-time address to get the virtual one.
    pub bias: u64,
    /// All of the memory.
    pub memory: u64,
    /// The image.
    pub image: Range<u64>,
    /// Boot information.
    pub info: Range<u64>,
    /// The clock page.
    pub clock: Range<u64>,
    /// The rings.
    pub rings: Range<u64>,
    /// The stack.
    pub stack: Range<u64>,
    /// The heap in 4 KiB pages.
    pub small_heap: Range<u64>,
    /// The heap in 2 MiB pages; the last, if cut short by the memory's end, in 4 KiB pages.
    pub heap: Range<u64>,
    /// Where the monitor's tables lie, directly behind the guest's memory: in the guest's last memory slot, but mapped by no area.
    pub tables: Range<u64>,
    /// All memory that is mapped, ascending and disjoint.
    pub areas: Vec<Area>,
    /// The disks that are mapped, by the device's handle less 1, each from a multiple of 2 MiB on; empty for a device that is not.
    /// They are no memory for requests: [`translate`](Self::translate) does not know them.
    pub mappings: Vec<Range<u64>>,
}

/// Why there is no layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The guest does not fit.
    #[error("the guest needs at least {} of memory: use --mem {}", size(*.needed), size(*.needed))]
    TooSmall {
        /// The least memory in bytes with which it does, a multiple of 1 MiB.
        needed: u64,
    },
    /// The manifest's stack is out of range.
    #[error("the manifest asks for a stack of {0} bytes: declare at most 1 GiB")]
    Stack(u64),
    /// The user gives a Solo5 guest more than it can have.
    #[error("a Solo5 guest has at most 4G of memory, and {} are too much: use a smaller --mem", size(*.0))]
    TooLarge(u64),
    /// A Solo5 guest ends where its net ring would lie.
    #[error("the program leaves no room for the net ring below 4G: use --no-net-ring")]
    NoRoomForRing,
}

impl From<LayoutError> for Error {
    fn from(error: LayoutError) -> Self {
        Self::caused_by(ErrorKind::BadConfig, error)
    }
}

/// `bytes` as people write it on the command line.
#[must_use]
pub fn size(bytes: u64) -> String {
    let (unit, letter) = match bytes {
        0 => (1, ""),
        _ if bytes.is_multiple_of(1 << 30) => (1 << 30, "G"),
        _ if bytes.is_multiple_of(1 << 20) => (1 << 20, "M"),
        _ if bytes.is_multiple_of(1 << 10) => (1 << 10, "K"),
        _ => return format!("{bytes} bytes"),
    };
    format!("{}{letter}", bytes / unit)
}

impl Layout {
    /// Lays out `wishes`. `random(n)` is a number below `n`; one that always says 0 gives the layout without randomness.
    ///
    /// # Errors
    ///
    /// A [`LayoutError`] where the memory is too small or the stack too large.
    pub fn new(wishes: &Wishes, mut random: impl FnMut(u64) -> u64) -> Result<Self, LayoutError> {
        if wishes.stack > MAX_STACK {
            return Err(LayoutError::Stack(wishes.stack));
        }
        let compact = Self::place(wishes, 0);
        // What is spared below the heap may go to the image's random place.
        let spare = wishes.memory.saturating_sub(compact.least()).min(LARGE_PAGE - PAGE) / PAGE;
        let mut layout = compact;
        if wishes.movable && spare > 0 {
            let moved = Self::place(wishes, random(spare + 1) * PAGE);
            // An image that is aligned to more than a page may move by more than was drawn.
            if moved.least() <= wishes.memory {
                layout = moved;
            }
        }
        if layout.least() > wishes.memory {
            return Err(LayoutError::TooSmall { needed: layout.least().next_multiple_of(1 << 20) });
        }
        layout.small_heap.end = layout.small_heap.end.min(wishes.memory);
        layout.heap = layout.small_heap.end..wishes.memory;
        layout.tables = wishes.memory..wishes.memory + layout.tables_size(&wishes.mappings);
        let mut next = layout.tables.end;
        for &size in &wishes.mappings {
            let start = next.next_multiple_of(LARGE_PAGE) + LARGE_PAGE;
            layout.mappings.push(if size == 0 { 0..0 } else { start..start + size });
            next = next.max(layout.mappings.last().map_or(0, |range| range.end));
        }
        if wishes.movable {
            let room = (VIRTUAL_END - layout.end()) / LARGE_PAGE;
            layout.slide = random(room) * LARGE_PAGE;
        }
        layout.bias = layout.slide.wrapping_add(layout.image.start).wrapping_sub(wishes.span.start);
        layout.areas = layout.list_areas(wishes);
        Ok(layout)
    }

    /// Everything up to the heap, `shift` bytes above the lowest place.
    fn place(wishes: &Wishes, shift: u64) -> Self {
        let up = |bytes: u64| bytes.next_multiple_of(PAGE);
        let after = |end: u64, bytes: u64| end..end + up(bytes);
        let image_size = wishes.span.end - wishes.span.start;
        let image = if wishes.movable {
            let lowest = LOWEST + shift;
            let misplaced = wishes.span.start.wrapping_sub(lowest) & (wishes.alignment - 1);
            after(lowest + misplaced, image_size)
        } else {
            wishes.span.clone()
        };
        let stack = after(image.end + PAGE, if wishes.stack == 0 { DEFAULT_STACK } else { wishes.stack });
        let info = after((stack.end + PAGE).next_multiple_of(FAULT_GROUP), wishes.info);
        let clock = after(info.end, PAGE);
        let rings = after(clock.end, wishes.rings);
        let small = rings.end + PAGE;
        let small_heap = small..(small + SMALL_HEAP).next_multiple_of(LARGE_PAGE);
        Self {
            slide: 0,
            bias: 0,
            memory: wishes.memory,
            image,
            info,
            clock,
            rings,
            stack,
            heap: small_heap.end..small_heap.end,
            small_heap,
            tables: 0..0,
            areas: Vec::new(),
            mappings: Vec::new(),
        }
    }

    /// The least memory in bytes that this placement works with.
    fn least(&self) -> u64 {
        self.small_heap.start + SMALL_HEAP
    }

    fn list_areas(&self, wishes: &Wishes) -> Vec<Area> {
        let area = |gpa: &Range<u64>, rights| Area { gpa: gpa.clone(), rights };
        let mut areas = vec![
            area(&self.info, Rights::READ),
            area(&self.clock, Rights::READ),
            area(&self.rings, Rights::WRITE),
            area(&self.stack, Rights::WRITE),
            area(&self.small_heap, Rights::WRITE),
            area(&self.heap, Rights::WRITE),
        ];
        let to_gpa = |address: u64| address - wishes.span.start + self.image.start;
        areas.extend(
            wishes
                .pages
                .iter()
                .map(|(range, rights)| area(&(to_gpa(range.start)..to_gpa(range.end)), *rights)),
        );
        areas.retain(|area| !area.gpa.is_empty());
        areas.sort_by_key(|area| area.gpa.start);
        areas
    }

    /// Bytes that suffice for any tables of this layout, with disks of these sizes mapped.
    pub(crate) fn tables_size(&self, mappings: &[u64]) -> u64 {
        // A table of each level can be begun and ended by a range that starts inside it, so two more than its length
        // needs; 4 KiB pages are mapped only below the large heap and at its end.
        let tables = |bytes: u64, covered: u64| bytes / covered + 2;
        let small = self.heap.start.saturating_sub(self.image.start);
        let pages = tables(small, LARGE_PAGE)
            + 2 // the pages below the image, the heap's end
            + tables(self.memory, 1 << 30)
            + tables(self.memory, 1 << 39)
            + 2; // the pages below the image in another 1 GiB and 512 GiB
        // A disk's last part is in 4 KiB pages where it is no multiple of 2 MiB.
        let disk = |&size: &u64| 1 + tables(size, 1 << 30) + tables(0, 1 << 39);
        let disks: u64 = mappings.iter().filter(|size| **size != 0).map(disk).sum();
        // What the guest's address space shows of them, and the root.
        SYSTEM.end - SYSTEM.start + (1 + pages + disks) * PAGE
    }

    /// One past the highest guest-physical address that is in use.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.mappings.iter().map(|range| range.end).fold(self.tables.end, u64::max)
    }

    /// The virtual address of a guest-physical one.
    #[must_use]
    pub const fn virtual_address(&self, gpa: u64) -> u64 {
        gpa.wrapping_add(self.slide)
    }

    /// The guest-physical address of `length` bytes at the virtual `address`, if the guest may read all of them or, with
    /// `write`, write to all of them.
    #[must_use]
    pub fn translate(&self, address: u64, length: u64, write: bool) -> Option<u64> {
        let gpa = address.checked_sub(self.slide)?;
        let end = gpa.checked_add(length)?;
        let mut next = gpa;
        let mut index = self.areas.partition_point(|area| area.gpa.end <= gpa);
        loop {
            let area = self.areas.get(index)?;
            if next < area.gpa.start || (write && !area.rights.write) {
                return None;
            }
            if end <= area.gpa.end {
                return Some(gpa);
            }
            next = area.gpa.end;
            index += 1;
        }
    }

    /// The memory slots, ascending and disjoint: ranges, and whether they can be written. Read-only are those of the image that the
    /// guest may not write to. Pages that are not mapped between two alike belong to the slot, as do the tables behind all memory:
    /// each slot has the kernel wait for its readers, which is a tenth of a bare start.
    #[must_use]
    pub fn slots(&self) -> Vec<(Range<u64>, bool)> {
        let mut slots: Vec<(Range<u64>, bool)> = Vec::new();
        let areas =
            self.areas.iter().map(|area| (&area.gpa, area.rights.write || area.gpa.start >= self.image.end));
        for (gpa, write) in areas.chain(std::iter::once((&self.tables, true))) {
            match slots.last_mut() {
                Some((range, before)) if *before == write => range.end = gpa.end,
                _ => slots.push((gpa.clone(), write)),
            }
        }
        slots
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
