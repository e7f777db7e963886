//! The head of a request.

use crate::number;
use core::ops::Range;
use httparse::{Error, Header, Status};

/// The most header fields that a request may have.
pub const MOST_FIELDS: usize = 64;

/// A request: its method, its target, its fields.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method, in which case matters.
    pub method: &'a str,
    /// The path and the query, as they were sent.
    pub target: &'a str,
    /// The lines of the fields, checked by the parser.
    fields: &'a [u8],
}

impl<'a> Request<'a> {
    /// The values of all fields of a name, in their order, without the spaces around them.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.split(|&byte| byte == b'\n').filter_map(move |line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let (field, value) = line.split_at(colon);
            field.eq_ignore_ascii_case(name.as_bytes()).then(|| value[1..].trim_ascii())
        })
    }

    /// The value of a field that a request has once; `None` too where it has the field several times.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// The elements of a field that is a list (RFC 9110, section 5.6.1), of all lines together, without the spaces around them. A
    /// comma in a quoted string separates, too.
    pub fn elements(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }
}

/// The head of a request, checked. It says where in the bytes that were parsed everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How many bytes it has, with the empty line behind it.
    pub length: usize,
    /// Whether the client wants the connection to stay open.
    pub keep_alive: bool,
    /// What follows.
    pub body: Body,
    method: Range<usize>,
    target: Range<usize>,
}

impl Head {
    /// The request, in the bytes that were parsed.
    #[must_use]
    pub fn request<'a>(&self, bytes: &'a [u8]) -> Request<'a> {
        let part = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
        // The parser has seen that both are text.
        let text = |range: &Range<usize>| core::str::from_utf8(part(range)).unwrap_or_default();
        let rest = part(&(self.target.end..self.length));
        let line_end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        Request { method: text(&self.method), target: text(&self.target), fields: &rest[line_end..] }
    }
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
    /// It has more than [`MOST_FIELDS`].
    TooManyFields,
}

/// Parses the head at the beginning of `bytes`. `None` as long as it may become one with more bytes.
///
/// # Errors
///
/// Where no further byte could make it right.
pub fn parse(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => return Err(Malformed::TooManyFields),
        Err(_) => return Err(Malformed::Syntax),
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Malformed::Syntax);
    };
    // The other two forms, `*` and `host:port`, belong to methods that are not served.
    if matches!(method, "GET" | "HEAD") && !target.starts_with('/') && !is_absolute(target) {
        return Err(Malformed::Syntax);
    }
    let place = |text: &str| {
        let start = text.as_ptr().addr() - bytes.as_ptr().addr();
        start..start + text.len()
    };
    let connection = Connection::read(request.headers, version)?;
    Ok(Some(Head {
        length,
        keep_alive: connection.keep_alive,
        body: connection.body,
        method: place(method),
        target: place(target),
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
struct Connection {
    keep_alive: bool,
    body: Body,
}

impl Connection {
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
                // The largest one stands for what is larger, too.
                let value = number::parse(header.value).filter(|value| *value < u64::MAX);
                let value = value.ok_or(Malformed::Syntax)?;
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
