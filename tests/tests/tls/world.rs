//! What the tests share: a cable in memory, a server at its one end, and a client of rustls at the other.

use core::future::poll_fn;
use core::task::Poll;
use embassy_futures::join::join;
use embedded_io_async::{ErrorType, Read, Write};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use ukvm_http::Stream;
use ukvm_tests::certificates::{Authorities, GOOD, Issued, P256};
use ukvm_tests::suite::Need;
use ukvm_tls::{Acceptor, Identity};

pub(crate) use embassy_futures::block_on as wait;

/// What all certificates are made with.
pub(crate) const OPENSSL: &[Need] = &[Need::Program("openssl")];

/// One direction of a cable.
#[derive(Debug, Default)]
struct Line {
    bytes: VecDeque<u8>,
    /// Nothing more comes.
    ended: bool,
    /// The connection was reset.
    reset: bool,
}

/// One end of a cable.
#[derive(Debug)]
pub(crate) struct End {
    incoming: Rc<RefCell<Line>>,
    outgoing: Rc<RefCell<Line>>,
    /// How many bytes are on their way at once, and how many one call moves.
    room: usize,
    step: usize,
}

impl End {
    /// Says that nothing more comes from here.
    pub(crate) fn end(&self) {
        self.outgoing.borrow_mut().ended = true;
    }
}

/// A cable with so much room each way, of which a call moves so much. Less than 400 bytes are no use: in the handshake, and with its
/// tickets, both sides may have something to say before they listen.
pub(crate) fn cable(room: usize, step: usize) -> (End, End) {
    let [one, other] = [Rc::<RefCell<Line>>::default(), Rc::default()];
    let end = |incoming: &Rc<RefCell<Line>>, outgoing: &Rc<RefCell<Line>>| End {
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
        room,
        step,
    };
    (end(&one, &other), end(&other, &one))
}

impl Drop for End {
    fn drop(&mut self) {
        self.end();
    }
}

/// The other end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reset;

impl std::fmt::Display for Reset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reset")
    }
}

impl std::error::Error for Reset {}

impl embedded_io_async::Error for Reset {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        embedded_io_async::ErrorKind::ConnectionReset
    }
}

impl ErrorType for End {
    type Error = Reset;
}

impl Read for End {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Reset> {
        poll_fn(|context| {
            let mut line = self.incoming.borrow_mut();
            let count = line.bytes.len().min(buffer.len()).min(self.step);
            if line.reset {
                Poll::Ready(Err(Reset))
            } else if count > 0 || line.ended {
                let bytes = line.bytes.drain(..count);
                buffer.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
                Poll::Ready(Ok(count))
            } else {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    }
}

impl Write for End {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Reset> {
        poll_fn(|context| {
            let mut line = self.outgoing.borrow_mut();
            let count = bytes.len().min(self.room - line.bytes.len()).min(self.step);
            if line.reset {
                Poll::Ready(Err(Reset))
            } else if count > 0 {
                line.bytes.extend(&bytes[..count]);
                Poll::Ready(Ok(count))
            } else {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Reset> {
        Ok(())
    }
}

impl Stream for End {
    async fn finish(&mut self) -> Result<(), Reset> {
        Ok(())
    }

    async fn close(self) {}

    fn abort(self) {
        self.outgoing.borrow_mut().reset = true;
        self.incoming.borrow_mut().reset = true;
    }
}

/// Authorities and a certificate of theirs, made once.
pub(crate) fn authorities() -> &'static (Authorities, Issued) {
    static MADE: OnceLock<(Authorities, Issued)> = OnceLock::new();
    MADE.get_or_init(|| {
        let authorities = Authorities::new();
        let issued = authorities.issue("server", P256, GOOD);
        (authorities, issued)
    })
}

/// The identity that two files are.
pub(crate) fn identity(issued: &Issued) -> Identity {
    let [certificate, key] = issued.read();
    Identity::from_pem(&certificate, &key).expect("an identity")
}

pub(crate) fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970")
}

/// What accepts with that identity.
pub(crate) fn acceptor() -> Acceptor {
    Acceptor::new(identity(&authorities().1), now).expect("TLS 1.3")
}

/// The same, one for all who leave no sessions in it.
fn shared_acceptor() -> &'static Acceptor {
    static MADE: OnceLock<Acceptor> = OnceLock::new();
    MADE.get_or_init(acceptor)
}

/// What clients are told.
pub(crate) fn configuration() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(authorities().0.root()).expect("the root's certificate");
    roots.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    builder.expect("TLS 1.3").with_root_certificates(roots).with_no_client_auth()
}

/// A client of rustls at its end.
pub(crate) struct Client {
    pub(crate) tls: ClientConnection,
    pub(crate) end: End,
}

impl Client {
    pub(crate) fn new(configuration: &Arc<ClientConfig>, end: End) -> Self {
        let name = ServerName::try_from("guest.test").expect("a name");
        Self { tls: ClientConnection::new(configuration.clone(), name).expect("a client"), end }
    }

    /// Sends what is to be sent.
    pub(crate) async fn send(&mut self) {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).expect("memory");
        }
        // Whoever is gone gets nothing.
        let _ = self.end.write_all(&bytes).await;
    }

    /// Takes what comes next; false at the end.
    pub(crate) async fn receive(&mut self) -> Result<bool, rustls::Error> {
        let mut bytes = [0; 4096];
        let count = self.end.read(&mut bytes).await.unwrap_or(0);
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest).expect("room for records");
            self.tls.process_new_packets()?;
        }
        if count == 0 {
            self.tls.read_tls(&mut rest).expect("an end");
        }
        Ok(count > 0)
    }

    /// Shakes hands.
    pub(crate) async fn open(&mut self) -> Result<(), rustls::Error> {
        while self.tls.is_handshaking() {
            self.send().await;
            if self.tls.is_handshaking() && !self.receive().await? {
                return Err(rustls::Error::HandshakeNotComplete);
            }
        }
        self.send().await;
        Ok(())
    }

    /// Says something.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[std::io::Write::write(&mut self.tls.writer(), bytes).expect("memory")..];
            self.send().await;
        }
    }

    /// Reads exactly so many bytes.
    pub(crate) async fn read(&mut self, count: usize) -> Result<Vec<u8>, rustls::Error> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match std::io::Read::read(&mut self.tls.reader(), &mut bytes[filled..]) {
                Ok(0) => panic!("an end after {filled} of {count} bytes"),
                Ok(more) => filled += more,
                Err(_) if self.receive().await? => {}
                Err(error) => panic!("after {filled} of {count} bytes: {error}"),
            }
        }
        Ok(bytes)
    }

    /// Reads to the end, which must be in good order.
    pub(crate) async fn read_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            match std::io::Read::read_to_end(&mut self.tls.reader(), &mut bytes) {
                Ok(_) => return bytes,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("after {} bytes: {error}", bytes.len()),
            }
            let _ = self.receive().await.expect("records");
        }
    }
}

/// Both sides of a cable at once.
pub(crate) fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    wait(join(one, other))
}

/// What the server makes of these bytes, which a client sends before it closes its side, and what the client gets.
pub(crate) fn raw(bytes: &[u8]) -> (Result<(), String>, Vec<u8>) {
    let (here, mut there) = cable(1 << 20, usize::MAX);
    let server = async {
        shared_acceptor().accept(here).await.map(drop).map_err(|error| match error {
            ukvm_tls::NotAccepted::Unprotected(_) => "unprotected".to_owned(),
            ukvm_tls::NotAccepted::Failed(error) => error.to_string(),
        })
    };
    let client = async {
        let _ = there.write_all(bytes).await;
        there.end();
        let (mut all, mut buffer) = (Vec::new(), [0; 1000]);
        while let Ok(count @ 1..) = there.read(&mut buffer).await {
            all.extend(&buffer[..count]);
        }
        all
    };
    both(server, client)
}
