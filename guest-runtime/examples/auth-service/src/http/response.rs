//! The reply to a request.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

/// The status of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 405
    MethodNotAllowed,
    /// 408
    RequestTimeout,
    /// 414
    UriTooLong,
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
            Self::BadRequest => "400 Bad Request",
            Self::Unauthorized => "401 Unauthorized",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::UriTooLong => "414 URI Too Long",
            Self::HeadersTooLarge => "431 Request Header Fields Too Large",
            Self::InternalError => "500 Internal Server Error",
        }
    }
}

/// A reply: a status and a line of plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: Status,
    /// The body, exactly as it is sent.
    pub body: Cow<'static, str>,
}

impl Reply {
    /// A reply whose body depends on the request.
    #[must_use]
    pub fn new(status: Status, body: String) -> Self {
        Self { status, body: Cow::Owned(body) }
    }

    /// A reply whose body is always the same.
    #[must_use]
    pub const fn fixed(status: Status, body: &'static str) -> Self {
        Self { status, body: Cow::Borrowed(body) }
    }

    /// The bytes of the reply. `head_only` leaves the body out, which the method HEAD demands.
    #[must_use]
    pub fn encode(&self, keep_alive: bool, head_only: bool) -> String {
        let length = self.body.len();
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let allow = if self.status == Status::MethodNotAllowed { "Allow: GET\r\n" } else { "" };
        let body = if head_only { "" } else { &*self.body };
        // The body repeats what a client sent: a browser must not take it for anything but text, nor a cache keep it.
        format!(
            "HTTP/1.1 {}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n\
             Cache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n\
             {allow}Connection: {connection}\r\n\
             \r\n\
             {body}",
            self.status.line(),
        )
    }
}
