//! The chunks of a body (RFC 9112, section 7.1), without the bytes in them.

use super::head::{HEAD_LIMIT, Malformed};

/// The longest line with a chunk's size in bytes, extensions and line end included.
const LINE_LIMIT: usize = 256;

/// Where in a body a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before the line with a size.
    Size,
    /// So many bytes of a chunk are left, at least one.
    Data(u64),
    /// Before the line end behind a chunk.
    DataEnd,
    /// Behind the last chunk, and so many bytes of what follows it.
    Trailer(usize),
    /// Behind all of it.
    End,
}

impl Chunks {
    /// Goes past the line at the beginning of `bytes`, where one is due: how many bytes it has, or `None` if it is not complete.
    ///
    /// # Errors
    ///
    /// Where no further byte could make it right.
    pub(super) fn pass_line(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let (wrong, limit) = match self {
            Self::Size => (Malformed::Chunk, LINE_LIMIT),
            Self::DataEnd => (Malformed::Chunk, 2),
            Self::Trailer(before) => (Malformed::Trailer, HEAD_LIMIT.saturating_sub(*before)),
            Self::Data(_) | Self::End => return Ok(Some(0)),
        };
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            return if bytes.len() < limit { Ok(None) } else { Err(wrong) };
        };
        let length = end + 1;
        let line = bytes[..end].strip_suffix(b"\r").filter(|_| length <= limit).ok_or(wrong)?;
        // A line end that only some programs take for one.
        if line.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(wrong);
        }
        *self = match *self {
            Self::Size => match size(line).ok_or(wrong)? {
                0 => Self::Trailer(0),
                size => Self::Data(size),
            },
            Self::DataEnd if line.is_empty() => Self::Size,
            Self::DataEnd => return Err(wrong),
            Self::Trailer(_) if line.is_empty() => Self::End,
            Self::Trailer(before) => Self::Trailer(before + length),
            other => other,
        };
        Ok(Some(length))
    }

    /// Takes note that so many bytes of a chunk were read.
    pub(super) fn pass_data(&mut self, count: usize) {
        if let Self::Data(left) = self {
            *left -= count as u64;
            if *left == 0 {
                *self = Self::DataEnd;
            }
        }
    }
}

/// The size that a line begins with: at most 16 hexadecimal digits, then perhaps extensions, which nobody has asked for.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next()?.trim_ascii_end();
    if !(1..=16).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_hexadecimal() {
        for (line, expected) in [
            ("5", Some(5)),
            ("0", Some(0)),
            ("00000000000000fF", Some(255)),
            ("ffffffffffffffff", Some(u64::MAX)),
            ("1a;name=value", Some(26)),
            ("1a ; name", Some(26)),
            ("5 ", Some(5)),
            ("", None),
            (" 5", None),
            (";a", None),
            ("+5", None),
            ("-5", None),
            ("0x5", None),
            ("5 5", None),
            ("5_0", None),
            ("g", None),
            ("00000000000000005", None),
        ] {
            assert_eq!(size(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn lines_end_as_they_should() {
        let pass = |mut at: Chunks, bytes: &[u8]| at.pass_line(bytes).map(|length| (length, at));
        assert_eq!(pass(Chunks::Size, b"5\r\nhello"), Ok((Some(3), Chunks::Data(5))));
        assert_eq!(pass(Chunks::Size, b"5\r"), Ok((None, Chunks::Size)));
        assert_eq!(pass(Chunks::Size, b"0;x\r\n"), Ok((Some(5), Chunks::Trailer(0))));
        assert_eq!(pass(Chunks::DataEnd, b"\r\n5"), Ok((Some(2), Chunks::Size)));
        assert_eq!(pass(Chunks::DataEnd, b"\r"), Ok((None, Chunks::DataEnd)));
        assert_eq!(pass(Chunks::Trailer(7), b"A: b\r\n\r\n"), Ok((Some(6), Chunks::Trailer(13))));
        assert_eq!(pass(Chunks::Trailer(7), b"\r\nHTTP"), Ok((Some(2), Chunks::End)));
        for bytes in [&b"5\n"[..], b"\r\n", b"5;a\rb\r\n", b"5;\0\r\n", &[b'1'; LINE_LIMIT]] {
            assert_eq!(pass(Chunks::Size, bytes), Err(Malformed::Chunk), "{bytes:?}");
        }
        for bytes in [&b"\n"[..], b"xx", b"x\r\n"] {
            assert_eq!(pass(Chunks::DataEnd, bytes), Err(Malformed::Chunk), "{bytes:?}");
        }
        for bytes in [&b"A: b\n"[..], b"A: b\rc\r\n"] {
            assert_eq!(pass(Chunks::Trailer(0), bytes), Err(Malformed::Trailer), "{bytes:?}");
        }
        assert_eq!(pass(Chunks::Trailer(HEAD_LIMIT), b""), Err(Malformed::Trailer));
    }
}
