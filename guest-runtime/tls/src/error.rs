//! Why a stream cannot go on.

use core::fmt;
use embedded_io_async::ErrorKind;

/// Why a stream cannot go on. `E` is the error of the stream below.
#[derive(Clone, Debug, PartialEq)]
pub enum Error<E> {
    /// The stream below failed.
    Below(E),
    /// The client broke the protocol, or it and this side have nothing in common.
    Tls(rustls::Error),
    /// The client is gone.
    Ended,
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(error) => error.fmt(f),
            Self::Tls(error) => write!(f, "TLS failed: {error}"),
            Self::Ended => f.write_str("TLS failed: the client is gone"),
        }
    }
}

impl<E: core::error::Error> core::error::Error for Error<E> {}

impl<E: embedded_io_async::Error> embedded_io_async::Error for Error<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Below(error) => error.kind(),
            Self::Tls(_) => ErrorKind::InvalidData,
            Self::Ended => ErrorKind::ConnectionAborted,
        }
    }
}
