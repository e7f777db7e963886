//! HTTP/1.1 for servers and clients (RFC 9110, RFC 9112): what is left to do around the parser, which is the crate `httparse`.
//!
//! There is no I/O here, no clock and no executor, so that the same code runs in a guest, in a process and in a test: a
//! connection is whatever reads and writes as `embedded-io-async` does, and the rest comes from a [`Platform`].
//!
//! 1. [`Input`]: the bytes of a connection that no request has taken yet.
//! 2. [`request`]: a head, checked; `number`: the digits in it.
//! 3. [`conditional`], [`encoding`], [`range`], [`date`]: what its fields ask for.
//! 4. [`Response`]: a status, fields, and a body that may be longer than memory.
//! 5. `connection`: one connection from its first request to its end.
//! 6. [`Transport`]: what is below, TCP alone ([`Plain`]) or, by the crate `ukvm-tls`, TLS.
//! 7. [`Server`]: all connections of a listener, until the service is to end.
//! 8. [`Options`]: the arguments that programs with a server have.
//! 9. [`url`]: where a client goes; [`client`]: how it gets what is there.
//!
//! Not there: bodies of requests (a server reads them and throws them away, or ends the connection; a client sends none), chunked replies
//! of a server, HTTP/2, TLS for clients.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod client;
pub mod conditional;
mod connection;
pub mod date;
pub mod encoding;
mod input;
mod number;
mod options;
pub mod range;
pub mod request;
mod response;
mod server;
mod transport;
pub mod url;

pub use connection::End;
pub use input::Input;
pub use options::{HTTP_PORT, HTTPS_PORT, Options};
pub use request::Request;
pub use response::{Body, NoSource, Response, Source, SourceFailed, Status};
pub use server::{Clock, Limits, Platform, Server, Service};
pub use transport::{Plain, Refused, Stream, Transport};
