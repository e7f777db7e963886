//! The handshake.

use crate::error::Error;
use crate::identity::Identity;
use crate::sessions::{SESSIONS_MEMORY, Sessions};
use crate::stream::{MOST_RECORD, TlsStream};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::fmt;
use core::time::Duration;
use rustls::pki_types::UnixTime;
use rustls::server::UnbufferedServerConnection;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ServerConfig, crypto::CryptoProvider};
use ukvm_http::{Refused, Stream, Transport};
use ukvm_net_stack::TcpStream;

/// The one protocol that is spoken above (RFC 7301): clients that want others only are refused.
const PROTOCOL: &[u8] = b"http/1.1";

/// The most that one message of a client becomes while rustls reads it, in bytes. The worst has names of one byte for protocols (RFC 7301):
/// each takes two bytes of a record, then a vector of 24, which may be there twice while their list grows, and a block of the allocator.
/// One message at a time is read, and nothing of it is kept so.
const MESSAGE_MEMORY: usize = MOST_RECORD / 2 * (2 * 24 + 32);

/// The most memory that an acceptor takes for all its streams together, in bytes.
pub const SHARED_MEMORY: usize = SESSIONS_MEMORY + MESSAGE_MEMORY;

/// Makes TLS of streams, with one identity for all.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

/// A stream that did not become one of TLS.
#[derive(Debug)]
pub enum NotAccepted<I: Stream> {
    /// What came first are letters, as a request of HTTP has them, and no record. Nothing was sent.
    Unprotected(I),
    /// The handshake failed. The client was told, and the stream is closed.
    Failed(Error<I::Error>),
}

/// The time of day, for the age of sessions.
struct Clock(fn() -> Duration);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch((self.0)()))
    }
}

impl Acceptor {
    /// Accepts with an identity. `now` is the time of day, as what has passed since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    ///
    /// Where the identity's provider of cryptography does not know TLS 1.3.
    pub fn new(identity: Identity, now: fn() -> Duration) -> Result<Self, rustls::Error> {
        let Identity { key, provider, own_order, .. } = identity;
        let provider: Arc<CryptoProvider> = Arc::new(provider);
        let mut config = ServerConfig::builder_with_details(provider, Arc::new(Clock(now)))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.ignore_client_order = own_order;
        config.session_storage = Arc::new(Sessions::default());
        Ok(Self { config: Arc::new(config) })
    }

    /// Shakes hands with the client of `stream`. That takes as long as the client does.
    ///
    /// # Errors
    ///
    /// A [`NotAccepted`].
    pub async fn accept<I: Stream>(&self, stream: I) -> Result<TlsStream<I>, NotAccepted<I>> {
        let connection = UnbufferedServerConnection::new(self.config.clone())
            .map_err(|error| NotAccepted::Failed(Error::Tls(error)))?;
        TlsStream::shake_hands(stream, Box::new(connection)).await
    }
}

impl Transport for Acceptor {
    type Stream = TlsStream<TcpStream>;

    async fn accept(&self, connection: TcpStream) -> Result<TlsStream<TcpStream>, Refused> {
        Self::accept(self, connection).await.map_err(|error| match error {
            NotAccepted::Unprotected(connection) => Refused::Unprotected(connection),
            NotAccepted::Failed(_) => Refused::Ended,
        })
    }
}
