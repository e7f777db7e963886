//! The reply to a request.

use crate::date;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::time::Duration;

/// The status of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 206
    PartialContent,
    /// 301
    MovedPermanently,
    /// 304
    NotModified,
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    RequestTimeout,
    /// 412
    PreconditionFailed,
    /// 414
    UriTooLong,
    /// 416
    RangeNotSatisfiable,
    /// 431
    HeadersTooLarge,
    /// 500
    InternalError,
}

impl Status {
    /// The three digits and the phrase of the status line.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::PartialContent => "206 Partial Content",
            Self::MovedPermanently => "301 Moved Permanently",
            Self::NotModified => "304 Not Modified",
            Self::BadRequest => "400 Bad Request",
            Self::Unauthorized => "401 Unauthorized",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::PreconditionFailed => "412 Precondition Failed",
            Self::UriTooLong => "414 URI Too Long",
            Self::RangeNotSatisfiable => "416 Range Not Satisfiable",
            Self::HeadersTooLarge => "431 Request Header Fields Too Large",
            Self::InternalError => "500 Internal Server Error",
        }
    }
}

/// Where the bytes of a body come from that is sent piece by piece.
pub trait Source {
    /// Fills `buffer` with the next bytes of the body.
    ///
    /// # Errors
    ///
    /// Where they cannot be had. Before the first byte of the reply has left the client then gets 500; later the connection is
    /// reset, as nothing else tells it that the body is not whole.
    fn read(&mut self, buffer: &mut [u8]) -> impl Future<Output = Result<(), SourceFailed>>;
}

/// A part of a body that cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFailed;

impl fmt::Display for SourceFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body cannot be read")
    }
}

impl core::error::Error for SourceFailed {}

/// The source of services that know all their bodies as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSource {}

impl Source for NoSource {
    async fn read(&mut self, _: &mut [u8]) -> Result<(), SourceFailed> {
        match *self {}
    }
}

/// The body of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<B = NoSource> {
    /// None at all, and no length: that of 304.
    None,
    /// This one.
    Text(Cow<'static, str>),
    /// So many bytes of a source.
    Stream {
        /// The bytes, exactly.
        length: u64,
        /// Where they are from.
        source: B,
    },
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<B = NoSource> {
    /// The status.
    pub status: Status,
    /// The media type of the body.
    content_type: Option<Cow<'static, str>>,
    /// The lines of further fields.
    fields: String,
    /// The body, exactly as it is sent.
    pub body: Body<B>,
}

impl<B> Response<B> {
    /// A reply with a line of plain text that belongs to this request alone.
    #[must_use]
    pub fn text(status: Status, text: impl Into<Cow<'static, str>>) -> Self {
        // The text may repeat what a client sent: a browser must not take it for anything else, nor a cache keep it.
        Self {
            status,
            content_type: Some(Cow::Borrowed("text/plain; charset=utf-8")),
            fields: String::from("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"),
            body: Body::Text(text.into()),
        }
    }

    /// 405, with the methods there are, as in `GET, HEAD`.
    #[must_use]
    pub fn method_not_allowed(methods: &str) -> Self {
        let text = alloc::format!("Only {} is served", methods.replace(", ", " and "));
        Self::text(Status::MethodNotAllowed, text).field("Allow", methods)
    }

    /// A reply whose body is `length` bytes of `source`.
    #[must_use]
    pub fn stream(
        status: Status,
        content_type: impl Into<Cow<'static, str>>,
        length: u64,
        source: B,
    ) -> Self {
        Self {
            status,
            content_type: Some(content_type.into()),
            fields: String::new(),
            body: Body::Stream { length, source },
        }
    }

    /// 304, the only reply here that ends with its head: any other would need a length, for the client to know that.
    #[must_use]
    pub fn not_modified() -> Self {
        Self { status: Status::NotModified, content_type: None, fields: String::new(), body: Body::None }
    }

    /// With a further field.
    ///
    /// # Panics
    ///
    /// If name or value has a line end: what a client sent must not become a field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl fmt::Display) -> Self {
        let start = self.fields.len();
        let _ = write!(self.fields, "{name}: {value}");
        assert!(!self.fields[start..].contains(['\r', '\n']), "a field has one line");
        self.fields.push_str("\r\n");
        self
    }

    /// The bytes of the head, with the empty line behind it.
    pub(crate) fn head(&self, keep_alive: bool, now: Option<Duration>) -> Vec<u8> {
        let mut head = String::with_capacity(384 + self.fields.len());
        let _ = write!(head, "HTTP/1.1 {}\r\n", self.status.line());
        if let Some(content_type) = &self.content_type {
            let _ = write!(head, "Content-Type: {content_type}\r\n");
        }
        let length = match &self.body {
            Body::None => None,
            Body::Text(text) => Some(text.len() as u64),
            Body::Stream { length, .. } => Some(*length),
        };
        if let Some(length) = length {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        head.push_str(&self.fields);
        if let Some(date) = now.and_then(|now| date::format(now.as_secs())) {
            let _ = write!(head, "Date: {date}\r\n");
        }
        head.push_str(if keep_alive {
            "Connection: keep-alive\r\n\r\n"
        } else {
            "Connection: close\r\n\r\n"
        });
        head.into_bytes()
    }
}
