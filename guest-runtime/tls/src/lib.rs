//! TLS 1.3 (RFC 8446) for servers: rustls as a stream of bytes.
//!
//! There is no I/O here, no clock and no executor: an [`Acceptor`] makes a [`TlsStream`] of whatever reads and writes as
//! `embedded-io-async` does, and `ukvm-http` serves requests on that as it does on TCP.
//!
//! 1. [`Identity`]: a certificate and its key, checked.
//! 2. `sessions`: those that clients may resume; `suites`: the order of the ciphers.
//! 3. [`Acceptor`]: the handshake.
//! 4. [`TlsStream`]: what comes after it.
//!
//! The memory of a connection is bounded, and that of all of them together: see [`MOST_MEMORY`] and [`SHARED_MEMORY`]. Time is not:
//! whoever calls does not wait for ever.
//!
//! Not there: TLS 1.2 and older, certificates of clients, several certificates for several names, early data (0-RTT), OCSP.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod acceptor;
mod error;
mod identity;
mod sessions;
mod stream;
mod suites;

pub use acceptor::{Acceptor, NotAccepted, SHARED_MEMORY};
pub use error::Error;
pub use identity::{Identity, IdentityError, LONGEST_CHAIN, Validity};
pub use stream::{MOST_MEMORY, TlsStream};
