//! The page tables, descriptor tables and exception stubs: the monitor's own pages, which the guest can neither read
//! nor change.
//!
//! They lie in memory of their own, [`Tables`], in the same memory slot directly behind the guest's memory. The guest's address space shows
//! three of them, for the processor only, at the virtual pages of [`SYSTEM`]:
//!
//! | page | content | rights (supervisor) |
//! |---|---|---|
//! | 0 | exception stubs | execute |
//! | 1 | GDT, IDT, the stack of the stubs | write |
//! | 2 | TSS with I/O bitmap | write |
//!
//! Accessed, dirty and busy bits are set beforehand, so that the processor has no reason to write to any table but the stack.
//! Sources: AMD64 Architecture Programmer's Manual, volume 2, sections 4.8 (descriptors), 5.3 (long-mode page
//! translation), 8.9 (long-mode interrupts) and 12.2.5 (64-bit TSS).

use crate::layout::{Layout, SYSTEM};
use crate::memory::{LARGE_PAGE, Memory, PAGE};
use std::io;
use std::ops::Range;

/// Selector of the stubs' code segment. This and the next two are what Linux has, because software KVM shows a guest in ring 3 the
/// host's own selectors.
pub const KERNEL_CODE: u16 = 0x10;
/// Selector of the guest's data segment, with its privilege level.
pub const USER_DATA: u16 = 0x2b;
/// Selector of the guest's code segment, with its privilege level.
pub const USER_CODE: u16 = 0x33;
/// Selector of the task state segment.
pub const TASK: u16 = 0x40;
/// Bytes of the GDT: eight descriptors, then the double one of the TSS.
pub const GDT_SIZE: u16 = 0x50;
/// Vectors that the processor raises by itself: the IDT has no others.
pub const VECTORS: u8 = 32;
/// Bytes of the IDT.
pub const IDT_SIZE: u16 = VECTORS as u16 * 16;
/// Bytes of the TSS: its fixed part, and an I/O bitmap that reaches past the doorbell with the byte of ones
/// that must follow it.
pub const TSS_SIZE: u16 = TSS_FIXED + ukvm_abi::doorbell::PORT / 8 + 2;

const TSS_FIXED: u16 = 104;
/// Bytes from one stub to the next.
const STUB_SIZE: u64 = 16;
/// The first of [`VECTORS`] ports to which the stubs write. The guest may write there too, but not at privilege level 0.
pub const STUB_PORT: u16 = 0x40;

const GDT: u64 = 0;
const IDT: u64 = 0x100;
const STACK_TOP: u64 = PAGE;

/// Offsets in the tables' memory.
const STUBS_PAGE: u64 = 0;
const DESCRIPTORS_PAGE: u64 = PAGE;
const TSS_PAGE: u64 = 2 * PAGE;
const ROOT_PAGE: u64 = 3 * PAGE;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The monitor's own pages.
#[derive(Debug)]
pub struct Tables {
    memory: Memory,
    /// The guest-physical address at which they appear.
    gpa: u64,
    /// Offset of the first page that is not yet used.
    next: u64,
    slide: u64,
}

/// The frame that the processor pushes when an exception leaves ring 3 (volume 2, section 8.9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Error code; 0 for exceptions without one.
    pub error: u64,
    /// Where it happened.
    pub rip: u64,
    /// Code segment.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u64,
}

impl Tables {
    /// Builds all tables for `layout` in `memory`, which is that behind the guest's. With `writable_text`, text is writable in them, for
    /// a test of what else protects it.
    ///
    /// # Errors
    ///
    /// Where the memory is too small, which that of the layout never is.
    pub fn new(layout: &Layout, memory: Memory, writable_text: bool) -> io::Result<Self> {
        let gpa = layout.tables.start;
        let mut tables = Self { memory, gpa, next: ROOT_PAGE + PAGE, slide: layout.slide };
        for area in &layout.areas {
            let mut flags = USER;
            if area.rights.write || (area.rights.execute && writable_text) {
                flags |= WRITABLE;
            }
            if !area.rights.execute {
                flags |= NO_EXECUTE;
            }
            tables.map(layout.virtual_address(area.gpa.start), area.gpa.clone(), flags)?;
        }
        for mapping in &layout.mappings {
            tables.map(layout.virtual_address(mapping.start), mapping.clone(), USER | NO_EXECUTE)?;
        }
        for (page, flags) in
            [(STUBS_PAGE, 0), (DESCRIPTORS_PAGE, WRITABLE | NO_EXECUTE), (TSS_PAGE, WRITABLE | NO_EXECUTE)]
        {
            let at = gpa + page;
            tables.map(layout.virtual_address(SYSTEM.start + page), at..at + PAGE, flags)?;
        }
        tables.write_stubs()?;
        tables.write_gdt()?;
        tables.write_idt()?;
        tables.write_tss()?;
        Ok(tables)
    }

    /// The value for CR3.
    #[must_use]
    pub const fn root(&self) -> u64 {
        self.gpa + ROOT_PAGE
    }

    /// Virtual address of the GDT.
    #[must_use]
    pub const fn gdt(&self) -> u64 {
        self.slide + SYSTEM.start + DESCRIPTORS_PAGE + GDT
    }

    /// Virtual address of the IDT.
    #[must_use]
    pub const fn idt(&self) -> u64 {
        self.slide + SYSTEM.start + DESCRIPTORS_PAGE + IDT
    }

    /// Virtual address of the TSS.
    #[must_use]
    pub const fn tss(&self) -> u64 {
        self.slide + SYSTEM.start + TSS_PAGE
    }

    /// The exception frame on the stubs' stack, when a stub for `vector` has run.
    #[must_use]
    pub fn frame(&self, vector: u8) -> Frame {
        let words = if has_error_code(vector) { 6 } else { 5 };
        let word =
            |index: u64| self.memory.word(DESCRIPTORS_PAGE + STACK_TOP - (words - index) * 8).unwrap_or(0);
        let first = words - 5;
        Frame {
            error: if first == 1 { word(0) } else { 0 },
            rip: word(first),
            cs: word(first + 1),
            rflags: word(first + 2),
            rsp: word(first + 3),
            ss: word(first + 4),
        }
    }

    /// Maps virtual addresses from `address` on to `gpa`, in large pages where both ends allow it.
    fn map(&mut self, address: u64, gpa: Range<u64>, flags: u64) -> io::Result<()> {
        let mut at = gpa.start;
        while at < gpa.end {
            let address = address + (at - gpa.start);
            let large = (address | at).is_multiple_of(LARGE_PAGE)
                && gpa.end - at >= LARGE_PAGE
                && flags & NO_EXECUTE != 0;
            // PML4, page directory pointers, page directory: index bits 39, 30 and 21 (volume 2, figure 5-17).
            let mut table = ROOT_PAGE;
            for shift in [39, 30] {
                table = self.descend(table, address >> shift)?;
            }
            let leaf = PRESENT | ACCESSED | DIRTY | flags;
            if large {
                self.set(table, address >> 21, at | leaf | LARGE)?;
                at += LARGE_PAGE;
            } else {
                let table = self.descend(table, address >> 21)?;
                self.set(table, address >> 12, at | leaf)?;
                at += PAGE;
            }
        }
        Ok(())
    }

    /// The table below the entry `index % 512` of `table`, made where it is missing.
    fn descend(&mut self, table: u64, index: u64) -> io::Result<u64> {
        let entry = self.get(table, index)?;
        if entry & PRESENT != 0 {
            return Ok((entry & ADDRESS) - self.gpa);
        }
        let new = self.next;
        self.next += PAGE;
        self.set(table, index, (self.gpa + new) | PRESENT | WRITABLE | USER | ACCESSED)?;
        Ok(new)
    }

    fn get(&self, table: u64, index: u64) -> io::Result<u64> {
        self.memory.word(table + index % 512 * 8)
    }

    fn set(&self, table: u64, index: u64, entry: u64) -> io::Result<()> {
        self.memory.set_word(table + index % 512 * 8, entry)
    }

    /// Each stub tells its vector by a write to a port of its own, which leaves the guest for good; it changes no register.
    fn write_stubs(&self) -> io::Result<()> {
        for vector in 0..VECTORS {
            // out imm8, al; then, should anybody ever resume it, hlt and back to it.
            let stub = [0xe6, STUB_PORT as u8 + vector, 0xf4, 0xeb, 0xfd];
            self.memory.write(STUBS_PAGE + u64::from(vector) * STUB_SIZE, &stub)?;
        }
        Ok(())
    }

    fn write_gdt(&self) -> io::Result<()> {
        // Present, accessed; code is 64-bit and readable, data writable. Bits: volume 2, figures 4-20 and 4-22.
        const CODE: u64 = 0x00af_9b00_0000_ffff;
        const DATA: u64 = 0x00cf_9300_0000_ffff;
        const RING_3: u64 = 3 << 45;
        let base = self.tss();
        let task_low = u64::from(TSS_SIZE - 1)
            | (base & 0xff_ffff) << 16
            | 0x8b << 40 // present, busy 64-bit TSS
            | (base >> 24 & 0xff) << 56;
        let table: [u64; GDT_SIZE as usize / 8] =
            [0, 0, CODE, DATA, 0, DATA | RING_3, CODE | RING_3, 0, task_low, base >> 32];
        self.memory.write(DESCRIPTORS_PAGE + GDT, &bytes_of(&table))
    }

    fn write_idt(&self) -> io::Result<()> {
        let stubs = self.slide + SYSTEM.start + STUBS_PAGE;
        let mut table = [0; IDT_SIZE as usize / 8];
        for (vector, gate) in (0_u64..).zip(table.chunks_exact_mut(2)) {
            let stub = stubs + vector * STUB_SIZE;
            // #BP and #OF are raised by instructions that a guest may have: their gates are open to ring 3.
            let privilege = if matches!(vector, 3 | 4) { 3 } else { 0 };
            let low = (stub & 0xffff)
                | u64::from(KERNEL_CODE) << 16
                | 1 << 32 // the first stack of the interrupt stack table
                | 0x8e << 40 // present interrupt gate
                | privilege << 45
                | (stub >> 16 & 0xffff) << 48;
            if let [first, second] = gate {
                (*first, *second) = (low, stub >> 32);
            }
        }
        self.memory.write(DESCRIPTORS_PAGE + IDT, &bytes_of(&table))
    }

    fn write_tss(&self) -> io::Result<()> {
        let stack = self.slide + SYSTEM.start + DESCRIPTORS_PAGE + STACK_TOP;
        let field = |at: u64, bytes: &[u8]| self.memory.write(TSS_PAGE + at, bytes);
        field(4, &stack.to_le_bytes())?; // RSP0
        field(36, &stack.to_le_bytes())?; // IST1
        field(102, &TSS_FIXED.to_le_bytes())?; // I/O map base
        // The map's bits are all 0: permitted. It must end with a byte of ones (section 12.2.4).
        field(u64::from(TSS_SIZE) - 1, &[0xff])
    }
}

/// Whether the processor pushes an error code with this exception (volume 2, table 8-1).
#[must_use]
pub const fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

const _: () =
    assert!(IDT + IDT_SIZE as u64 <= 0x800, "the lower half of its page holds the IDT, the upper the stack");
const _: () = assert!(TSS_SIZE as u64 <= PAGE, "the TSS has one page");
const _: () = assert!(STUB_SIZE * VECTORS as u64 <= PAGE, "the stubs have one page");

#[cfg(test)]
#[path = "paging_tests.rs"]
mod tests;
