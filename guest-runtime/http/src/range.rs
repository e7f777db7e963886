//! Which part of a representation a client wants (RFC 9110, section 14).

use crate::number;
use core::ops::Range;

/// What a `Range` field selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Everything: the field is to be ignored, as it is malformed, has another unit than bytes, or wants several parts.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// None of the bytes there are.
    Unsatisfiable,
}

/// What the value of a `Range` field selects of a representation of `size` bytes.
#[must_use]
pub fn select(value: &[u8], size: u64) -> Selection {
    let Some((unit, set)) = split_once(value, b'=') else { return Selection::Whole };
    let Some((first, last)) = split_once(set.trim_ascii(), b'-') else { return Selection::Whole };
    // Several ranges have a comma, which no position has.
    match (unit.eq_ignore_ascii_case(b"bytes"), position(first), position(last)) {
        (true, Position::None, Position::Some(length)) => suffix(length, size),
        (true, Position::Some(first), Position::None) => between(first, u64::MAX, size),
        (true, Position::Some(first), Position::Some(last)) if first <= last => between(first, last, size),
        _ => Selection::Whole,
    }
}

fn suffix(length: u64, size: u64) -> Selection {
    match (length, size) {
        (0, _) => Selection::Unsatisfiable,
        // The end of nothing is all of it, for which there is no `Content-Range`.
        (_, 0) => Selection::Whole,
        _ => Selection::Part(size.saturating_sub(length)..size),
    }
}

fn between(first: u64, last: u64, size: u64) -> Selection {
    if first < size {
        Selection::Part(first..last.saturating_add(1).min(size))
    } else {
        Selection::Unsatisfiable
    }
}

/// A position of a range.
enum Position {
    /// Left out.
    None,
    /// A number; the largest there is where it has more digits than that.
    Some(u64),
    /// No number.
    Bad,
}

fn position(digits: &[u8]) -> Position {
    if digits.is_empty() {
        return Position::None;
    }
    number::parse(digits).map_or(Position::Bad, Position::Some)
}

fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::Selection::{Part, Unsatisfiable, Whole};
    use super::*;

    #[test]
    fn one_range_is_a_part() {
        for (value, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-", 0..100),
            ("bytes=10-19", 10..20),
            ("bytes=99-99", 99..100),
            ("bytes=50-1000", 50..100),
            ("bytes=50-99999999999999999999999999", 50..100),
            ("bytes=-1", 99..100),
            ("bytes=-100", 0..100),
            ("bytes=-1000", 0..100),
            ("Bytes=5-5", 5..6),
        ] {
            assert_eq!(select(value.as_bytes(), 100), Part(part), "{value}");
        }
        assert_eq!(select(b"bytes=0-18446744073709551615", u64::MAX), Part(0..u64::MAX));
    }

    #[test]
    fn what_lies_behind_the_end_is_unsatisfiable() {
        for value in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999999-"] {
            assert_eq!(select(value.as_bytes(), 100), Unsatisfiable, "{value}");
        }
        assert_eq!(select(b"bytes=0-", 0), Unsatisfiable);
        assert_eq!(select(b"bytes=-5", 0), Whole);
    }

    #[test]
    fn what_is_odd_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=0-1,5-6",
            "bytes=0-1,",
            "lines=0-1",
            "bytes 0-1",
        ] {
            assert_eq!(select(value.as_bytes(), 100), Whole, "{value}");
        }
        assert_eq!(select(b"bytes=\xff-1", 100), Whole);
    }
}
