//! The ELF note that makes a program a ukvm guest.
//!
//! A guest has exactly one note with owner [`OWNER`] and type [`TYPE`] in a `PT_NOTE` segment, as described in the
//! ELF gABI ("Note Sections"): three 32-bit words (size of the owner's name, size of the descriptor, type), the name padded to
//! 4 bytes, the descriptor. The descriptor is a [`manifest`](crate::manifest).

use crate::bytes::put;
use crate::manifest::{DEVICE_SIZE, HEADER_SIZE, MAX_DEVICES};

/// The owner of the note, with the terminating NUL that counts in its size.
pub const OWNER: [u8; 5] = *b"ukvm\0";
/// The type of the note: a manifest.
pub const TYPE: u32 = 1;
/// The section that compilers put the note in. Nothing depends on the name.
pub const SECTION: &str = ".note.ukvm";
/// Bytes before the descriptor: three words and the owner's name, padded.
pub const PREFIX_SIZE: usize = 12 + 8;
/// The most bytes that a note can need.
pub const MAX_SIZE: usize = size(MAX_DEVICES);

/// The bytes of a note whose manifest declares `devices` devices.
#[must_use]
pub const fn size(devices: usize) -> usize {
    PREFIX_SIZE + HEADER_SIZE + devices * DEVICE_SIZE
}

/// A complete note around `manifest`, for a `static` in the section [`SECTION`]. `N` is [`size`] of the number of devices.
///
/// # Panics
///
/// At compile time, if `N` is not the note's exact size.
#[must_use]
pub const fn encode<const N: usize>(manifest: &crate::manifest::Manifest<'_>) -> [u8; N] {
    assert!(N == size(manifest.devices.len()), "N must be note::size(number of devices)");
    let mut note = [0; N];
    put_prefix(&mut note, N - PREFIX_SIZE, TYPE);
    manifest.encode_at(&mut note, PREFIX_SIZE);
    note
}

/// Begins a note of this type whose descriptor has `size` bytes.
pub(crate) const fn put_prefix(note: &mut [u8], size: usize, kind: u32) {
    put(note, 0, &(OWNER.len() as u32).to_le_bytes());
    put(note, 4, &(size as u32).to_le_bytes());
    put(note, 8, &kind.to_le_bytes());
    put(note, 12, &OWNER);
}
