//! The head of a request.

use alloc::string::String;
use httparse::{Error, Header, Status};

/// The most header fields that a request may have.
const MOST_HEADERS: usize = 64;

/// The head of a request, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How many bytes it has, with the empty line behind it.
    pub length: usize,
    /// The method, in which case matters.
    pub method: String,
    /// The path and the query, as they were sent.
    pub target: String,
    /// Whether the client wants the connection to stay open.
    pub keep_alive: bool,
    /// What follows.
    pub body: Body,
}

/// What follows the head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes, perhaps none.
    Length(u64),
    /// Bytes that only their sender could tell from the next request: in chunks, or held back until asked for.
    Unskippable,
}

/// Why a head is no head of HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// It violates the grammar, or a rule of RFC 9112.
    Syntax,
    /// It has more than 64 fields.
    TooManyHeaders,
}

/// Parses the head at the beginning of `bytes`. `None` as long as it may become one with more bytes.
///
/// # Errors
///
/// Where no further byte could make it right.
pub fn parse(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => return Err(Malformed::TooManyHeaders),
        Err(_) => return Err(Malformed::Syntax),
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Malformed::Syntax);
    };
    // The other two forms, `*` and `host:port`, belong to methods that are not served.
    if method == "GET" && !target.starts_with('/') && !is_absolute(target) {
        return Err(Malformed::Syntax);
    }
    let fields = Fields::read(request.headers, version)?;
    Ok(Some(Head {
        length,
        method: method.into(),
        target: target.into(),
        keep_alive: fields.keep_alive,
        body: fields.body,
    }))
}

/// Whether a target starts with a scheme (RFC 3986, section 3.1) and an authority.
fn is_absolute(target: &str) -> bool {
    target.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// What the header fields say about the connection and the body.
struct Fields {
    keep_alive: bool,
    body: Body,
}

impl Fields {
    /// Reads the fields of a request of HTTP/1.`version`. What RFC 9112 calls invalid is malformed: no Host or several in
    /// HTTP/1.1, lengths that are no number or differ, a length beside an encoding, an encoding in HTTP/1.0.
    fn read(headers: &[Header<'_>], version: u8) -> Result<Self, Malformed> {
        let mut hosts = 0;
        let mut length = None;
        let (mut encoded, mut held_back) = (false, false);
        let (mut close, mut keep_alive) = (false, false);
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("host") {
                hosts += 1;
            } else if is("content-length") {
                let value = number(header.value).ok_or(Malformed::Syntax)?;
                if length.is_some_and(|other| other != value) {
                    return Err(Malformed::Syntax);
                }
                length = Some(value);
            } else if is("transfer-encoding") {
                encoded = true;
            } else if is("expect") {
                held_back = true;
            } else if is("connection") {
                for option in header.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    close |= option.eq_ignore_ascii_case(b"close");
                    keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        let hostless = version == 1 && hosts != 1;
        let ambiguous = encoded && (length.is_some() || version == 0);
        if hostless || ambiguous {
            return Err(Malformed::Syntax);
        }
        let length = length.unwrap_or(0);
        let body = if encoded || held_back && length > 0 { Body::Unskippable } else { Body::Length(length) };
        Ok(Self { keep_alive: !close && (version == 1 || keep_alive), body })
    }
}

/// A number of decimal digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = core::str::from_utf8(digits).ok()?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}
