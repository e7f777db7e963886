//! The head of an answer, and what it says of the body (RFC 9112, section 6).

use crate::number;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use httparse::{Error, Header, Status};

/// The longest head of an answer in bytes, from its first byte to the empty line.
pub const HEAD_LIMIT: usize = 16 << 10;
/// The most fields of an answer.
pub const MOST_FIELDS: usize = 100;

/// Why bytes are no answer of HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The head violates the grammar.
    Head,
    /// The head is longer than [`HEAD_LIMIT`], or has more than [`MOST_FIELDS`].
    HeadTooLong,
    /// More than [`MOST_INTERIM`](super::MOST_INTERIM) answers that are not the last one.
    Interim,
    /// The protocol was to be switched, which nobody has asked for.
    Switched,
    /// It does not say one thing of where the body ends: several lengths, a length that is no number, or one beside an encoding.
    /// What one program takes for the body another one may take for a part of it or for more.
    Length,
    /// The body has another transfer coding than `chunked`, or the server is of HTTP/1.0 and cannot know any.
    Coding,
    /// Several places to go to.
    Location,
    /// A chunk's size, or its end, violates the grammar.
    Chunk,
    /// What follows the last chunk violates the grammar, or has more than [`HEAD_LIMIT`] bytes.
    Trailer,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "its head is none of HTTP/1",
            Self::HeadTooLong => "its head is too long",
            Self::Interim => "one interim answer follows the other",
            Self::Switched => "it switches to another protocol",
            Self::Length => "it does not say clearly how long it is",
            Self::Coding => "it has a transfer coding that was not asked for",
            Self::Location => "it redirects to several places at once",
            Self::Chunk => "a chunk of it is broken",
            Self::Trailer => "what follows its last chunk is broken",
        })
    }
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All until the server closes the connection.
    UntilClose,
}

/// The head of an answer, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// How many bytes it has, with the empty line behind it.
    pub(super) length: usize,
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// The value of `Location`.
    pub(super) location: Option<Vec<u8>>,
    /// How the content is encoded, if it is.
    pub(super) coding: Option<String>,
}

/// Parses the head at the beginning of `bytes`. `None` as long as it may become one with more bytes.
///
/// # Errors
///
/// Where no further byte could make it right.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => return Err(Malformed::HeadTooLong),
        Err(_) => return Err(Malformed::Head),
    };
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err(Malformed::Head);
    };
    if status < 100 {
        return Err(Malformed::Head);
    }
    let fields = Fields::read(response.headers)?;
    let framing = match (fields.encoding, fields.length) {
        // Whatever they say, there is none (RFC 9112, section 6.3).
        _ if matches!(status, 100..=199 | 204 | 304) => Framing::Length(0),
        (Some(_), Some(_)) => return Err(Malformed::Length),
        (Some(Encoding::Chunked), None) if version == 1 => Framing::Chunked,
        (Some(_), None) => return Err(Malformed::Coding),
        (None, Some(length)) => Framing::Length(length),
        (None, None) => Framing::UntilClose,
    };
    Ok(Some(Head { length, status, framing, location: fields.location, coding: fields.coding }))
}

/// How a body is encoded for its transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Chunked,
    Other,
}

/// What the fields say that matters here.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    encoding: Option<Encoding>,
    location: Option<Vec<u8>>,
    coding: Option<String>,
}

impl Fields {
    fn read(headers: &[Header<'_>]) -> Result<Self, Malformed> {
        let mut fields = Self::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let value = header.value.trim_ascii();
            if is("content-length") {
                // The largest one stands for what is larger, too.
                let length = number::parse(value).filter(|length| *length < u64::MAX);
                let length = length.ok_or(Malformed::Length)?;
                if fields.length.replace(length).is_some_and(|other| other != length) {
                    return Err(Malformed::Length);
                }
            } else if is("transfer-encoding") {
                let is_chunked = value.eq_ignore_ascii_case(b"chunked") && fields.encoding.is_none();
                fields.encoding = Some(if is_chunked { Encoding::Chunked } else { Encoding::Other });
            } else if is("location") {
                if fields.location.as_ref().is_some_and(|other| other != value) {
                    return Err(Malformed::Location);
                }
                fields.location = Some(value.to_vec());
            } else if is("content-encoding") && !value.is_empty() && !value.eq_ignore_ascii_case(b"identity")
            {
                fields.coding = Some(String::from_utf8_lossy(value).into_owned());
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn head(text: &str) -> Result<Option<Head>, Malformed> {
        parse(text.as_bytes())
    }

    fn framing(version: u8, status: u16, fields: &str) -> Result<Framing, Malformed> {
        let text = format!("HTTP/1.{version} {status} Something\r\n{fields}\r\n");
        for end in 0..text.len() {
            // Nothing is decided before the last byte but what is wrong for ever.
            assert!(matches!(parse(&text.as_bytes()[..end]), Ok(None) | Err(Malformed::Head)), "{text}");
        }
        head(&text).map(|head| head.expect("it is complete").framing)
    }

    #[test]
    fn a_body_has_an_end() {
        for (fields, expected) in [
            ("", Framing::UntilClose),
            ("Content-Length: 0\r\n", Framing::Length(0)),
            ("content-length:5\r\n", Framing::Length(5)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Framing::Length(5)),
            ("Content-Length: 18446744073709551614\r\n", Framing::Length(u64::MAX - 1)),
            ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
            ("TRANSFER-ENCODING: Chunked\r\n", Framing::Chunked),
        ] {
            assert_eq!(framing(1, 200, fields), Ok(expected), "{fields}");
        }
        assert_eq!(framing(0, 200, ""), Ok(Framing::UntilClose));
        for status in [100, 103, 204, 304] {
            assert_eq!(framing(1, status, "Content-Length: 5\r\n"), Ok(Framing::Length(0)), "{status}");
        }
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        for (fields, expected) in [
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Malformed::Length),
            ("Content-Length: 5, 5\r\n", Malformed::Length),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Malformed::Length),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Malformed::Length),
            ("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", Malformed::Length),
            ("Content-Length: +5\r\n", Malformed::Length),
            ("Content-Length: -5\r\n", Malformed::Length),
            ("Content-Length: 0x5\r\n", Malformed::Length),
            ("Content-Length:\r\n", Malformed::Length),
            ("Content-Length: 18446744073709551615\r\n", Malformed::Length),
            ("Transfer-Encoding: gzip, chunked\r\n", Malformed::Coding),
            ("Transfer-Encoding: chunked, chunked\r\n", Malformed::Coding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Malformed::Coding),
            ("Transfer-Encoding: identity\r\n", Malformed::Coding),
            ("Transfer-Encoding:\r\n", Malformed::Coding),
            ("Transfer-Encoding: xchunked\r\n", Malformed::Coding),
            ("Location: /a\r\nLocation: /b\r\n", Malformed::Location),
            ("Content-Length : 5\r\n", Malformed::Head),
            ("A: b\r\n c\r\n", Malformed::Head),
            ("\u{fc}: b\r\n", Malformed::Head),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert_eq!(head(&text), Err(expected), "{fields}");
        }
        assert_eq!(framing(0, 200, "Transfer-Encoding: chunked\r\n"), Err(Malformed::Coding));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for text in [
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno field\r\n\r\n",
            "\0",
        ] {
            assert_eq!(head(text), Err(Malformed::Head), "{text}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MOST_FIELDS + 1));
        assert_eq!(head(&many), Err(Malformed::HeadTooLong));
    }

    #[test]
    fn fields_that_matter_are_found() {
        let text = "HTTP/1.1 302 \r\nlocation:  /a \r\nContent-Encoding: gzip\r\nLocation: /a\r\n\r\nrest";
        let head = head(text).unwrap().unwrap();
        assert_eq!((head.status, head.length), (302, text.len() - 4));
        assert_eq!((head.location.as_deref(), head.coding.as_deref()), (Some(&b"/a"[..]), Some("gzip")));
    }
}
