//! Comparing passwords without telling by the time it takes how much of a guess is right.

use crate::capacity::HEAD_LIMIT;
use subtle::{Choice, ConstantTimeEq};

/// The longest password in bytes. The head of a request is no longer ([`HEAD_LIMIT`]), so no
/// client can send a longer one.
pub const LONGEST_PASSWORD: usize = HEAD_LIMIT;

/// As much of a file as decides whether a password matches: the longest password, CR LF, and one byte that says that there
/// is more.
pub const PASSWORD_FILE: usize = LONGEST_PASSWORD + 3;

/// Whether `given` is the password that a file holds.
///
/// `file` is the beginning of the file with its true length in `length`; all behind it in the buffer is zero. One LF or CR LF
/// at the end of the file does not belong to the password. The time depends on the length of `given` alone, which whoever
/// guesses knows: not on the password, nor on its length.
#[must_use]
pub fn matches(file: &[u8; PASSWORD_FILE], length: usize, given: &[u8]) -> bool {
    let Some(same_length) = file.get(..given.len()) else { return false };
    let stored = file.get(..length).map_or(length, |text| without_line_end(text).len());
    let equal: Choice = same_length.ct_eq(given) & stored.ct_eq(&given.len());
    equal.into()
}

/// The text without one LF or CR LF at its end.
fn without_line_end(text: &[u8]) -> &[u8] {
    match text {
        [line @ .., b'\r', b'\n'] | [line @ .., b'\n'] => line,
        _ => text,
    }
}
