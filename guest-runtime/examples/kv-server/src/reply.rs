//! What clients are answered: the second version of the Redis protocol.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A word.
    Simple(&'static str),
    /// A sentence about what went wrong, behind a word in capitals that says of which kind it is.
    Error(Cow<'static, str>),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Nothing where bytes could be.
    Nil,
    /// Several answers.
    Array(Vec<Self>),
}

impl Reply {
    /// What is answered to what was done and has no result.
    pub const OK: Self = Self::Simple("OK");

    /// The bytes of a text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Bulk(text.as_bytes().to_vec())
    }

    /// An error with a sentence that is made here.
    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(Cow::Owned(text.into()))
    }

    /// Whether it is an error.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Bytes of what it carries, roughly.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Bulk(bytes) => bytes.len(),
            Self::Error(text) => text.len(),
            Self::Array(replies) => replies.iter().map(Self::size).sum(),
            Self::Simple(_) | Self::Integer(_) | Self::Nil => 0,
        }
    }

    /// Appends it as it is sent.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(word) => line(out, format_args!("+{word}")),
            // A line break would end it, and clients can make some of what is in it.
            Self::Error(text) => {
                out.push(b'-');
                out.extend(text.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
                out.extend_from_slice(b"\r\n");
            }
            Self::Integer(number) => line(out, format_args!(":{number}")),
            Self::Bulk(bytes) => {
                line(out, format_args!("${}", bytes.len()));
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Nil => out.extend_from_slice(b"$-1\r\n"),
            Self::Array(replies) => {
                line(out, format_args!("*{}", replies.len()));
                for reply in replies {
                    reply.encode(out);
                }
            }
        }
    }
}

/// Appends a line.
fn line(out: &mut Vec<u8>, text: core::fmt::Arguments<'_>) {
    struct Sink<'a>(&'a mut Vec<u8>);
    impl Write for Sink<'_> {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    let _ = Sink(out).write_fmt(text);
    out.extend_from_slice(b"\r\n");
}
