//! Requests as they come: arrays of bulk strings, or lines as people type them.
//!
//! Both are those of the Redis protocol, version 2 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>). An array is
//! `*COUNT`, and for each argument `$LENGTH` and so many bytes; each of these ends with CR and LF. Anything that does not begin with
//! `*` is a line, whose arguments are divided by blanks and may be in quotes.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// The most arguments of a request.
pub const MOST_ARGUMENTS: usize = 1024;

/// The longest argument in bytes, and so the longest value.
pub const LONGEST_ARGUMENT: usize = 1 << 20;

/// The most bytes of a request. Its limit is that of one long argument with some short ones.
pub const LONGEST_REQUEST: usize = LONGEST_ARGUMENT + (64 << 10);

/// The longest line in bytes, with what ends it: a request, or the length of something.
pub const LONGEST_LINE: usize = 4096;

/// What the bytes are so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A request.
    Request {
        /// Its arguments; there may be none, and then it asks for nothing.
        arguments: Vec<Vec<u8>>,
        /// Its length in bytes.
        length: usize,
    },
    /// The beginning of a request that has at least so many bytes.
    Part(usize),
}

/// Something that is no request. The connection cannot go on, as nobody knows where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// The number of arguments is no number, or is too large.
    Count,
    /// The length of an argument is no number, or is too large.
    Length,
    /// There is something else where an argument should begin.
    NoArgument(u8),
    /// The line has no end.
    LongLine,
    /// A quote is not closed, or something follows behind it.
    Quotes,
    /// All arguments together are too long.
    Long,
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        match self {
            Self::Count => write!(f, "invalid multibulk length, more than {MOST_ARGUMENTS} or not a number"),
            Self::Length => write!(f, "invalid bulk length, more than {LONGEST_ARGUMENT} or not a number"),
            Self::NoArgument(byte) => write!(f, "expected '$', got '{}'", byte.escape_ascii()),
            Self::LongLine => write!(f, "too big inline request, more than {LONGEST_LINE} bytes"),
            Self::Quotes => f.write_str("unbalanced quotes in request"),
            Self::Long => write!(f, "too big request, more than {LONGEST_REQUEST} bytes"),
        }
    }
}

/// Looks for a request at the beginning of `bytes`.
///
/// # Errors
///
/// Why there is none.
pub fn parse(bytes: &[u8]) -> Result<Parsed, BadRequest> {
    match bytes.first() {
        None => Ok(Parsed::Part(1)),
        Some(b'*') => array(bytes),
        Some(_) => inline(bytes),
    }
}

fn array(bytes: &[u8]) -> Result<Parsed, BadRequest> {
    let Some(line) = line(bytes, 0)? else { return Ok(Parsed::Part(bytes.len() + 1)) };
    let count = number(&bytes[1..line.end]).ok_or(BadRequest::Count)?;
    let count = usize::try_from(count).unwrap_or(0);
    if count > MOST_ARGUMENTS {
        return Err(BadRequest::Count);
    }
    let mut at = line.next;
    let mut places: Vec<Range<usize>> = Vec::with_capacity(count.min(16));
    for index in 0..count {
        match bytes.get(at) {
            None => return Ok(Parsed::Part(at + 1)),
            Some(b'$') => {}
            Some(&other) => return Err(BadRequest::NoArgument(other)),
        }
        let Some(line) = self::line(bytes, at)? else { return Ok(Parsed::Part(bytes.len() + 1)) };
        let length = number(&bytes[at + 1..line.end])
            .and_then(|length| usize::try_from(length).ok())
            .filter(|&length| length <= LONGEST_ARGUMENT)
            .ok_or(BadRequest::Length)?;
        places.push(line.next..line.next + length);
        // Two bytes end it; what they are is not looked at, as in other servers.
        at = line.next + length + 2;
        if at > LONGEST_REQUEST {
            return Err(BadRequest::Long);
        }
        if at > bytes.len() {
            // Each further argument has six bytes at least.
            return Ok(Parsed::Part(at + 6 * (count - index - 1)));
        }
    }
    let arguments = places.into_iter().map(|place| bytes[place].to_vec()).collect();
    Ok(Parsed::Request { arguments, length: at })
}

/// A line: where it ends, and where the next one begins.
struct Line {
    end: usize,
    next: usize,
}

/// The line from `start` on, if its end is there.
fn line(bytes: &[u8], start: usize) -> Result<Option<Line>, BadRequest> {
    let bytes = &bytes[start..bytes.len().min(start + LONGEST_LINE)];
    match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) => {
            let without = if end > 0 && bytes[end - 1] == b'\r' { end - 1 } else { end };
            Ok(Some(Line { end: start + without, next: start + end + 1 }))
        }
        None if bytes.len() == LONGEST_LINE => Err(BadRequest::LongLine),
        None => Ok(None),
    }
}

/// A decimal number, which may be negative.
fn number(digits: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(digits).ok()?;
    if text.starts_with('+') { None } else { text.parse().ok() }
}

fn inline(bytes: &[u8]) -> Result<Parsed, BadRequest> {
    let Some(line) = line(bytes, 0)? else { return Ok(Parsed::Part(bytes.len() + 1)) };
    Ok(Parsed::Request { arguments: words(&bytes[..line.end])?, length: line.next })
}

/// The words of a line. In double quotes `\n`, `\r`, `\t`, `\b`, `\a` and `\xHH` mean what they do in C, and a backslash takes its meaning
/// from any other byte; in single quotes only `\'` is something else.
fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, BadRequest> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii();
    while !rest.is_empty() {
        let mut word = Vec::new();
        let mut quote = None;
        loop {
            let Some((&byte, behind)) = rest.split_first() else {
                if quote.is_some() {
                    return Err(BadRequest::Quotes);
                }
                break;
            };
            rest = behind;
            match (quote, byte) {
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, byte) if byte.is_ascii_whitespace() => break,
                (Some(open), byte) if byte == open => {
                    if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                        return Err(BadRequest::Quotes);
                    }
                    quote = None;
                }
                (Some(b'\''), b'\\') if rest.first() == Some(&b'\'') => {
                    word.push(b'\'');
                    rest = &rest[1..];
                }
                (Some(b'"'), b'\\') => {
                    let (byte, behind) = escape(rest);
                    word.extend(byte);
                    rest = behind;
                }
                (_, byte) => word.push(byte),
            }
        }
        words.push(word);
        rest = rest.trim_ascii_start();
        if words.len() > MOST_ARGUMENTS {
            return Err(BadRequest::Count);
        }
    }
    Ok(words)
}

/// The byte that is meant by what is behind a backslash, and what is behind that.
fn escape(rest: &[u8]) -> (Option<u8>, &[u8]) {
    let Some((&byte, behind)) = rest.split_first() else { return (None, rest) };
    if byte == b'x'
        && let [high, low, behind @ ..] = behind
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        return (Some(high << 4 | low), behind);
    }
    let meant = match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    };
    (Some(meant), behind)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
