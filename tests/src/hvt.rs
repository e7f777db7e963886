//! hvt guests that are broken in one place, made from a good one.
//!
//! Numbers and offsets in the notes are those of Solo5's hvt ABI 2 and manifest 1. Each change first looks whether there is what it
//! changes, so that a test does not pass because of another defect than it means.

use crate::elf::{E_MACHINE, E_TYPE, Elf, P_ALIGN, P_FILESZ, P_FLAGS, P_OFFSET, P_VADDR, PT_LOAD, PT_NOTE};

/// Type of the note that names target and ABI version: "ABI1".
pub const ABI: u32 = u32::from_le_bytes(*b"ABI1");
/// Type of the note that has the manifest: "MFT1".
pub const MANIFEST: u32 = u32::from_le_bytes(*b"MFT1");

/// Offset in a note of its descriptor's size, 4 bytes.
pub const N_DESCSZ: usize = 4;
/// Offset of its type, 4 bytes.
pub const N_TYPE: usize = 8;
/// Offset in the ABI note of the target, 4 bytes: 1 is hvt.
pub const TARGET: usize = 20;
/// Offset in the ABI note of the version, 4 bytes.
pub const ABI_VERSION: usize = 24;
/// Offset in the manifest's note of its version, 4 bytes.
pub const MANIFEST_VERSION: usize = 24;
/// Offset in the manifest's note of the number of entries, 4 bytes.
pub const ENTRIES: usize = 28;
/// Offset in the manifest's note of the first entry.
pub const FIRST_ENTRY: usize = 32;
/// Bytes of an entry.
pub const ENTRY_SIZE: usize = 104;
/// Bytes of an entry's name with its NUL.
pub const NAME_SIZE: usize = 68;
/// Offset in an entry of its type, 4 bytes.
pub const ENTRY_TYPE: usize = 68;
/// Offset in an entry of the byte that says whether a device is attached, which only a monitor sets.
pub const ENTRY_ATTACHED: usize = 96;
/// The type of a block device.
pub const BLOCK: u32 = 1;
/// The type of the entry that each manifest begins with.
pub const RESERVED: u32 = 0x4000_0000;

/// What a guest may be built for by Solo5, with its number in the ABI note.
pub const OTHER_TARGETS: [(u32, &str); 5] =
    [(2, "spt"), (3, "virtio"), (4, "muen"), (5, "genode"), (6, "xen")];

/// Where a note is.
#[derive(Clone, Copy, Debug)]
pub struct Note {
    /// Offset of its program header.
    pub header: usize,
    /// Offset of its bytes.
    pub start: usize,
}

impl Elf {
    /// The note of type `kind`, [`ABI`] or [`MANIFEST`].
    #[must_use]
    pub fn hvt_note(&self, kind: u32) -> Note {
        let note = |header| Note { header, start: self.u64_at(header + P_OFFSET) as usize };
        let mut notes = self.headers(PT_NOTE).into_iter().map(note);
        notes.find(|note| self.u32_at(note.start + N_TYPE) == kind).expect("the guest has such a note")
    }

    /// The offset of an entry of the manifest.
    #[must_use]
    pub fn hvt_entry(&self, index: usize) -> usize {
        let start = self.hvt_note(MANIFEST).start;
        assert!(index < self.u32_at(start + ENTRIES) as usize, "there is no entry {index}");
        start + FIRST_ENTRY + index * ENTRY_SIZE
    }

    /// Puts `new` where `old` must be.
    #[must_use]
    fn exchange(self, at: usize, old: u32, new: u32) -> Self {
        assert_eq!(self.u32_at(at), old, "at {at:#x}");
        self.put(at, &new.to_le_bytes())
    }

    /// Built for another of Solo5's targets.
    #[must_use]
    pub fn for_target(self, target: u32) -> Self {
        let at = self.hvt_note(ABI).start + TARGET;
        self.exchange(at, 1, target)
    }

    /// Built for another version of the ABI.
    #[must_use]
    pub fn for_abi_version(self, version: u32) -> Self {
        let at = self.hvt_note(ABI).start + ABI_VERSION;
        self.exchange(at, 2, version)
    }

    /// With a manifest of another version.
    #[must_use]
    pub fn with_manifest_version(self, version: u32) -> Self {
        let at = self.hvt_note(MANIFEST).start + MANIFEST_VERSION;
        self.exchange(at, 1, version)
    }

    /// Without the note of type `kind`: it becomes one of nobody's type.
    #[must_use]
    pub fn without_hvt_note(self, kind: u32) -> Self {
        let at = self.hvt_note(kind).start + N_TYPE;
        self.exchange(at, kind, 0)
    }

    /// With a program header that says that the note of type `kind` has only `len` bytes.
    #[must_use]
    pub fn with_hvt_note_cut_to(self, kind: u32, len: u64) -> Self {
        let at = self.hvt_note(kind).header + P_FILESZ;
        assert!(self.u64_at(at) > len, "the note is not longer");
        self.put(at, &len.to_le_bytes())
    }

    /// With another size of the descriptor in the note of type `kind`.
    #[must_use]
    pub fn with_hvt_descriptor_size(self, kind: u32, size: u32) -> Self {
        let at = self.hvt_note(kind).start + N_DESCSZ;
        self.put(at, &size.to_le_bytes())
    }

    /// With a number of entries that the manifest's note has not room for, or more room than it needs.
    #[must_use]
    pub fn with_entry_count(self, count: u32) -> Self {
        let at = self.hvt_note(MANIFEST).start + ENTRIES;
        self.put(at, &count.to_le_bytes())
    }

    /// With a manifest of as many entries, the reserved one and then block devices `d1`, `d2`, and so on. All about it is right
    /// but perhaps the number.
    #[must_use]
    pub fn with_manifest_of(mut self, entries: u32) -> Self {
        let header = self.hvt_note(MANIFEST).header;
        let size = ENTRY_SIZE * entries as usize;
        let mut note = Vec::new();
        for word in [6, 4 + 8 + size as u32, MANIFEST] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"Solo5\0\0\0\0\0\0\0");
        note.extend(1_u32.to_le_bytes());
        note.extend(entries.to_le_bytes());
        for index in 0..entries {
            let mut entry = [0; ENTRY_SIZE];
            let (name, kind) =
                if index == 0 { (String::new(), RESERVED) } else { (format!("d{index}"), BLOCK) };
            entry[..name.len()].copy_from_slice(name.as_bytes());
            entry[ENTRY_TYPE..ENTRY_TYPE + 4].copy_from_slice(&kind.to_le_bytes());
            note.extend(entry);
        }
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let start = self.0.len() as u64;
        self.0.extend(&note);
        self.put(header + P_OFFSET, &start.to_le_bytes())
            .put(header + P_FILESZ, &(note.len() as u64).to_le_bytes())
    }

    /// With a first entry that is a device's.
    #[must_use]
    pub fn without_reserved_entry(self) -> Self {
        let at = self.hvt_entry(0) + ENTRY_TYPE;
        self.exchange(at, RESERVED, BLOCK)
    }

    /// With a name for the first entry, which must have none.
    #[must_use]
    pub fn with_named_reserved_entry(self) -> Self {
        let at = self.hvt_entry(0);
        self.exchange(at, 0, u32::from_le_bytes(*b"name"))
    }

    /// With an entry whose name does not end.
    #[must_use]
    pub fn with_endless_name(self, index: usize) -> Self {
        let at = self.hvt_entry(index);
        self.put(at, &[b'n'; NAME_SIZE])
    }

    /// With an entry of a type that nobody knows.
    #[must_use]
    pub fn with_entry_type(self, index: usize, kind: u32) -> Self {
        let at = self.hvt_entry(index) + ENTRY_TYPE;
        self.put(at, &kind.to_le_bytes())
    }

    /// With an entry that claims to be attached already.
    #[must_use]
    pub fn with_attached_entry(self, index: usize) -> Self {
        let at = self.hvt_entry(index) + ENTRY_ATTACHED;
        self.put(at, &[1])
    }

    /// The offsets of the program headers of the text and of the segment behind it.
    fn text_and_next(&self) -> (usize, usize) {
        let headers = self.headers(PT_LOAD);
        assert_eq!(self.u32_at(headers[0] + P_FLAGS), 1, "the text is the first segment, and execute-only");
        (headers[0], headers[1])
    }

    /// With data that is executable.
    #[must_use]
    pub fn with_executable_data(self) -> Self {
        let at = self.segment(2) + P_FLAGS;
        self.exchange(at, 6, 7)
    }

    /// With text that is writable.
    #[must_use]
    pub fn with_writable_text(self) -> Self {
        let at = self.text_and_next().0 + P_FLAGS;
        self.exchange(at, 1, 3)
    }

    /// With the first two segments in the wrong order.
    #[must_use]
    pub fn with_segments_out_of_order(mut self) -> Self {
        let (first, second) = self.text_and_next();
        for byte in 0..56 {
            self.0.swap(first + byte, second + byte);
        }
        self
    }

    /// With a second segment that begins where the first does.
    #[must_use]
    pub fn with_overlapping_segments(self) -> Self {
        let (first, second) = self.text_and_next();
        let address = self.u64_at(first + P_VADDR);
        self.put(second + P_VADDR, &address.to_le_bytes())
    }

    /// With text that begins at `address`, and is as aligned as before.
    #[must_use]
    pub fn with_text_at(self, address: u64) -> Self {
        let at = self.text_and_next().0 + P_VADDR;
        self.put(at, &address.to_le_bytes())
    }

    /// With a text segment that says that it is aligned to `alignment`.
    #[must_use]
    pub fn with_text_aligned_to(self, alignment: u64) -> Self {
        let at = self.text_and_next().0 + P_ALIGN;
        self.put(at, &alignment.to_le_bytes())
    }

    /// A position-independent executable, by its type (`ET_DYN`).
    #[must_use]
    pub fn position_independent(self) -> Self {
        assert_eq!(self.0[E_TYPE], 2, "ET_EXEC");
        self.put(E_TYPE, &[3, 0])
    }

    /// For another machine (`EM_AARCH64`).
    #[must_use]
    pub fn for_another_machine(self) -> Self {
        assert_eq!(self.0[E_MACHINE], 62, "EM_X86_64");
        self.put(E_MACHINE, &[183, 0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::sync::LazyLock;

    /// The text of `hello`, and of `devices` with entries.
    fn guest(name: &str) -> Elf {
        // Two builds at once would be in each other's way.
        static GUESTS: LazyLock<Vec<PathBuf>> =
            LazyLock::new(|| xtask::hvt_guests::build().expect("the hvt guests"));
        let file = GUESTS.iter().find(|file| file.file_stem().is_some_and(|stem| stem == name));
        Elf::read(file.expect("a guest of this name"))
    }

    /// How many bytes differ.
    fn distance(a: &Elf, b: &Elf) -> usize {
        a.0.iter().zip(&b.0).filter(|(a, b)| a != b).count() + a.0.len().abs_diff(b.0.len())
    }

    #[test]
    fn each_change_is_small_and_where_it_should_be() {
        let good = guest("devices");
        let changed = |elf: Elf| distance(&good, &elf);
        for (target, _) in OTHER_TARGETS {
            assert_eq!(changed(good.clone().for_target(target)), 1);
        }
        for version in [1, 3] {
            assert_eq!(changed(good.clone().for_abi_version(version)), 1);
        }
        assert_eq!(changed(good.clone().with_manifest_version(2)), 1);
        assert_eq!(changed(good.clone().without_hvt_note(ABI)), 4);
        assert_eq!(changed(good.clone().without_hvt_note(MANIFEST)), 4);
        assert_eq!(changed(good.clone().with_hvt_note_cut_to(ABI, 24)), 1);
        assert_eq!(changed(good.clone().with_entry_count(0)), 1);
        assert_eq!(changed(good.clone().without_reserved_entry()), 2);
        assert_eq!(changed(good.clone().with_named_reserved_entry()), 4);
        assert_eq!(changed(good.clone().with_endless_name(1)), NAME_SIZE);
        assert_eq!(changed(good.clone().with_attached_entry(2)), 1);
        assert_eq!(changed(good.clone().with_executable_data()), 1);
        assert_eq!(changed(good.clone().with_writable_text()), 1);
        assert_eq!(changed(good.clone().position_independent()), 1);
        assert_eq!(changed(good.clone().for_another_machine()), 1);
        assert_eq!(changed(good.clone().with_text_at(0xf_f000)), 2);
        let (text, next) = good.text_and_next();
        let overlapping = good.clone().with_overlapping_segments();
        assert_eq!(overlapping.u64_at(next + P_VADDR), good.u64_at(text + P_VADDR));
        let swapped = good.clone().with_segments_out_of_order();
        assert_eq!(swapped.u64_at(text + P_VADDR), good.u64_at(next + P_VADDR));
    }

    #[test]
    fn a_manifest_may_have_any_number_of_entries() {
        for count in [0, 1, 64, 65] {
            let elf = guest("hello").with_manifest_of(count);
            let note = elf.hvt_note(MANIFEST);
            assert_eq!(elf.u32_at(note.start + ENTRIES), count);
            assert_eq!(elf.0.len(), note.start + FIRST_ENTRY + ENTRY_SIZE * count as usize);
            if count > 1 {
                let last = elf.hvt_entry(count as usize - 1);
                assert!(elf.0[last..].starts_with(format!("d{}\0", count - 1).as_bytes()));
            }
        }
    }
}
