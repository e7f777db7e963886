//! Names that differ only in case.

use alloc::string::String;
use hadris_fat_raw::fold_unicode;

/// A path as FAT compares it: every UTF-16 unit in upper case, where that is one unit as well. Two with the same are one.
#[must_use]
pub fn fold(path: &str) -> String {
    char::decode_utf16(path.encode_utf16().map(fold_unicode))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}
