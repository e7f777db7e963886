//! HTTP/1.1 on one connection: what is left to do around the parser, which is the crate `httparse`.
//!
//! A request goes through three steps, each a file: its bytes are collected and answered (`connection`), its head is
//! checked (`request`), and the reply is put into bytes (`response`).

mod connection;
mod input;
mod request;
mod response;

pub use connection::{End, Server, Service, Stop, Timer};
pub use request::{Body, Head, Malformed, parse};
pub use response::{Reply, Status};

/// The longest head of a request, from its first byte to the empty line, in bytes. A name and a password of the longest kind,
/// percent-encoded, fit with the headers of a browser.
pub const HEAD_LIMIT: usize = 4096;
