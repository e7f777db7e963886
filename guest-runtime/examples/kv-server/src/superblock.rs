//! The first page of the disk: says that a store is on it, and how long that is.
//!
//! redb knows files, which have a length; a disk has only a size. So the length is written here, in the first 24 bytes of the disk, all of
//! them in one sector, which is written whole or not at all:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | [`MAGIC`] |
//! | 8 | 4 | [`VERSION`] of the format |
//! | 12 | 8 | the length of the database in bytes, which begins at [`PAGE`]; 0 while it is being made |
//! | 20 | 4 | CRC-32 of the bytes before |
//!
//! Numbers are little-endian.

use crate::pending::{PAGE, Page};

/// The mark of a store.
pub const MAGIC: [u8; 8] = *b"ukvm-kv\n";

/// The version of the format.
pub const VERSION: u32 = 1;

/// Where the checksum is.
const CHECKSUM: usize = 20;

/// What the first page of a disk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Superblock {
    /// Nothing: it is all zeroes.
    Blank,
    /// A store whose database has so many bytes; 0 if it was never finished.
    Store(u64),
    /// A store of a format that is not known here, by its version.
    Unknown(u32),
    /// The mark of a store, with something else behind it than was written.
    Damaged,
    /// Something else.
    Foreign,
}

impl Superblock {
    /// Reads the first page.
    #[must_use]
    pub fn parse(page: &Page) -> Self {
        if page.iter().all(|&byte| byte == 0) {
            return Self::Blank;
        }
        let (Some(magic), Some(version), Some(length), Some(checksum)) =
            (page.get(..8), number(page, 8), page.get(12..CHECKSUM), number(page, CHECKSUM))
        else {
            return Self::Foreign;
        };
        if magic != MAGIC {
            return Self::Foreign;
        }
        if checksum != crc32fast::hash(&page[..CHECKSUM]) {
            return Self::Damaged;
        }
        if version != VERSION {
            return Self::Unknown(version);
        }
        Self::Store(length.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// The first page of a store whose database has `length` bytes.
    #[must_use]
    pub fn page(length: u64) -> Page {
        let mut page = [0; PAGE];
        page[..8].copy_from_slice(&MAGIC);
        page[8..12].copy_from_slice(&VERSION.to_le_bytes());
        page[12..CHECKSUM].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32fast::hash(&page[..CHECKSUM]);
        page[CHECKSUM..CHECKSUM + 4].copy_from_slice(&checksum.to_le_bytes());
        page
    }
}

fn number(page: &Page, at: usize) -> Option<u32> {
    page.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
