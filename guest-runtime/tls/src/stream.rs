//! A stream of bytes in records.

use crate::acceptor::NotAccepted;
use crate::error::Error;
#[cfg(doc)]
use crate::identity::LONGEST_CHAIN;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use embedded_io_async::{ErrorType, Read, Write};
use rustls::InvalidMessage;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use ukvm_http::{Input, Stream};

/// The most bytes that one record carries (RFC 8446, section 5.1).
const MOST_CARRIED: usize = 16 << 10;
/// The most bytes of a record: its header, what it carries, and what encryption may add (RFC 8446, section 5.2).
pub(crate) const MOST_RECORD: usize = 5 + MOST_CARRIED + 256;
/// What encryption adds with the ciphers of TLS 1.3: header, type, and tag, in bytes.
const ADDED: usize = 5 + 1 + 16;
/// Room for more than this is given back when the stream waits, in bytes.
const IDLE_ROOM: usize = 1024;
/// What rustls knows of a connection, its keys and its handshake, in bytes. It is about half of that.
const STATE: usize = 8 << 10;

/// The most memory that a stream takes beside the one below, in bytes: records that have come, which grow to their limit by doubling; what
/// was in two of them; a record to be sent, and the same while it is encrypted. The handshake has nothing in the two in the middle; what it
/// sends fits into a record, as chains of certificates have a [limit](LONGEST_CHAIN).
pub const MOST_MEMORY: usize = MOST_RECORD * 3 / 2 + 2 * MOST_CARRIED + 2 * (MOST_CARRIED + ADDED) + STATE;

/// The alert `illegal_parameter`, not encrypted, which ends a connection (RFC 8446, sections 5.1 and 6).
const ILLEGAL_PARAMETER: [u8; 7] = [21, 3, 3, 0, 2, 2, 47];

/// A connection of TLS.
///
/// Reads and writes are those of [`embedded_io_async`]. A write is over when its bytes are encrypted: the last record leaves with the
/// next read, write, flush or [`finish`](Stream::finish). So a read waits for a client that takes nothing, even if that client sends. Each
/// future may be dropped before its end: nothing is lost or sent twice.
///
/// The end of the stream below counts as that of this one, with `close_notify` before it or without: protocols above have to know by
/// themselves whether a message is whole, as HTTP does (RFC 9112, section 9.8).
pub struct TlsStream<I> {
    below: I,
    connection: Box<UnbufferedServerConnection>,
    /// Records that have come.
    received: Input,
    /// What was in them, of which the first `taken` bytes were read.
    plain: Vec<u8>,
    taken: usize,
    /// A record of the client was taken: it speaks TLS.
    begun: bool,
    /// Records to be sent, of which the first `sent` bytes are.
    outgoing: Vec<u8>,
    sent: usize,
    /// The client sends nothing more.
    ended: bool,
    /// `close_notify` is among the records to be sent, or is sent.
    finished: bool,
    /// Why nothing works any more.
    failed: Option<rustls::Error>,
}

impl<I: fmt::Debug> fmt::Debug for TlsStream<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was in the records is nobody else's.
        f.debug_struct("TlsStream")
            .field("below", &self.below)
            .field("ended", &self.ended)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// What is to be said if it can be.
#[derive(Clone, Copy)]
enum Message<'a> {
    Nothing,
    /// As many of these bytes as a record carries.
    Data(&'a [u8]),
    CloseNotify,
}

/// How far the connection has come.
enum Step {
    /// There may be more to do.
    Going,
    /// So many bytes of the message were encrypted.
    Said(usize),
    /// Nothing can be done before more records come; the handshake is over, or not.
    Waiting { open: bool },
}

impl<I: Stream> TlsStream<I> {
    /// Makes a stream of the one below, by the handshake.
    pub(crate) async fn shake_hands(
        below: I,
        connection: Box<UnbufferedServerConnection>,
    ) -> Result<Self, NotAccepted<I>> {
        let mut stream = Self {
            below,
            connection,
            received: Input::new(MOST_RECORD),
            plain: Vec::new(),
            taken: 0,
            begun: false,
            outgoing: Vec::new(),
            sent: 0,
            ended: false,
            finished: false,
            failed: None,
        };
        match stream.until_open().await {
            Ok(()) => Ok(stream),
            Err(Error::Tls(_)) if stream.is_unprotected() => Err(NotAccepted::Unprotected(stream.below)),
            Err(error) => {
                // Who broke the protocol is told how; what the client makes of it is its own affair.
                if matches!(error, Error::Tls(_)) && stream.send().await.is_ok() {
                    stream.into_below().close().await;
                }
                Err(NotAccepted::Failed(error))
            }
        }
    }

    /// Whether the first that came are letters. Nothing was sent then: what there is to be sent is an alert that must not be.
    fn is_unprotected(&self) -> bool {
        !self.begun && self.received.bytes().first().is_some_and(u8::is_ascii_uppercase)
    }

    /// Reads and answers until the handshake is over.
    async fn until_open(&mut self) -> Result<(), Error<I::Error>> {
        loop {
            match self.step(Message::Nothing)? {
                Step::Going | Step::Said(_) => {}
                Step::Waiting { open: true } => return Ok(()),
                Step::Waiting { open: false } => {
                    self.send().await?;
                    self.receive().await?;
                    if self.ended {
                        return Err(Error::Ended);
                    }
                }
            }
        }
    }

    /// Sends the records that are to be sent.
    async fn send(&mut self) -> Result<(), Error<I::Error>> {
        while let Some(rest @ [_, ..]) = self.outgoing.get(self.sent..) {
            match self.below.write(rest).await {
                Ok(0) => return Err(Error::Ended),
                Ok(count) => self.sent += count,
                Err(error) => return Err(Error::Below(error)),
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        Ok(())
    }

    /// The stream below, without the memory of this one: it may take its time to end.
    fn into_below(self) -> I {
        self.below
    }

    /// Waits for more records.
    async fn receive(&mut self) -> Result<(), Error<I::Error>> {
        for idle in [&mut self.outgoing, &mut self.plain] {
            if idle.is_empty() && idle.capacity() > IDLE_ROOM {
                *idle = Vec::new();
            }
        }
        let room = self.received.room();
        if room.is_empty() {
            // A record has room. So this is a message of the handshake, in many of them.
            if self.connection.negotiated_cipher_suite().is_none() {
                self.outgoing.extend(ILLEGAL_PARAMETER);
            }
            return Err(self.fail(InvalidMessage::HandshakePayloadTooLarge.into()));
        }
        match self.below.read(room).await {
            Ok(0) => self.ended = true,
            Ok(count) => self.received.add(count),
            Err(error) => return Err(Error::Below(error)),
        }
        Ok(())
    }

    /// Goes on with what has come, or says the message if there is nothing to go on with.
    fn step(&mut self, message: Message<'_>) -> Result<Step, Error<I::Error>> {
        if let Some(error) = &self.failed {
            return Err(Error::Tls(error.clone()));
        }
        let UnbufferedStatus { mut discard, state } =
            self.connection.process_tls_records(self.received.bytes_mut());
        let step = state.and_then(|state| match state {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    self.plain.extend_from_slice(record.payload);
                }
                Ok(Step::Going)
            }
            ConnectionState::EncodeTlsData(mut data) => {
                append(&mut self.outgoing, 0, |room| data.encode(room)).map(|()| Step::Going)
            }
            // They are kept until they are sent.
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                Ok(Step::Going)
            }
            ConnectionState::PeerClosed => {
                self.ended = true;
                Ok(Step::Going)
            }
            ConnectionState::WriteTraffic(mut traffic) => match message {
                Message::Nothing => Ok(Step::Waiting { open: true }),
                Message::Data(bytes) => {
                    let bytes = bytes.get(..MOST_CARRIED).unwrap_or(bytes);
                    append(&mut self.outgoing, bytes.len() + ADDED, |room| traffic.encrypt(bytes, room))
                        .map(|()| Step::Said(bytes.len()))
                }
                Message::CloseNotify => {
                    append(&mut self.outgoing, IDLE_ROOM, |room| traffic.queue_close_notify(room))
                        .map(|()| Step::Said(0))
                }
            },
            ConnectionState::BlockedHandshake => Ok(Step::Waiting { open: false }),
            // Both sides have said their last word, or, which is not offered, it is early data.
            _ => Ok(Step::Waiting { open: true }),
        });
        self.begun |= discard > 0;
        let _ = self.received.drop_front(discard);
        step.map_err(|error| {
            self.queue_alert();
            self.fail(error)
        })
    }

    /// Has the alert ready with which rustls ends the connection. rustls gives it out before it looks at anything that was received: so it
    /// does not matter what is left of that.
    fn queue_alert(&mut self) {
        while self.connection.wants_write() {
            let UnbufferedStatus { state, .. } =
                self.connection.process_tls_records(self.received.bytes_mut());
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { return };
            if append(&mut self.outgoing, 0, |room| data.encode(room)).is_err() {
                return;
            }
        }
    }

    /// Nothing works any more.
    fn fail(&mut self, error: rustls::Error) -> Error<I::Error> {
        self.failed = Some(error.clone());
        Error::Tls(error)
    }

    /// Sends the last word to a client that broke the protocol, which may show in a write too: what has come is looked at first.
    async fn tell<T>(&mut self, done: Result<T, Error<I::Error>>) -> Result<T, Error<I::Error>> {
        if let Err(Error::Tls(_)) = done {
            self.send().await?;
        }
        done
    }

    /// Says a message, when the records before it are sent. How many of its bytes were.
    async fn say(&mut self, message: Message<'_>) -> Result<usize, Error<I::Error>> {
        let said = self.encrypt(message).await;
        self.tell(said).await
    }

    /// As [`say`](Self::say), but leaves the last word unsent where the client broke the protocol.
    async fn encrypt(&mut self, message: Message<'_>) -> Result<usize, Error<I::Error>> {
        self.send().await?;
        loop {
            match self.step(message)? {
                Step::Going => {}
                Step::Said(count) => return Ok(count),
                Step::Waiting { .. } => return Err(Error::Ended),
            }
        }
    }

    /// As [`Read::read`], but leaves the last word unsent where the client broke the protocol.
    async fn read_plain(&mut self, buffer: &mut [u8]) -> Result<usize, Error<I::Error>> {
        while !buffer.is_empty() {
            if let Some(rest @ [_, ..]) = self.plain.get(self.taken..) {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                self.taken += count;
                if self.taken == self.plain.len() {
                    self.plain.clear();
                    self.taken = 0;
                }
                return Ok(count);
            }
            if let Step::Waiting { .. } = self.step(Message::Nothing)? {
                if self.ended {
                    break;
                }
                // The client may wait for these before it says more.
                self.send().await?;
                self.receive().await?;
            }
        }
        Ok(0)
    }
}

impl<I: ErrorType> ErrorType for TlsStream<I> {
    type Error = Error<I::Error>;
}

impl<I: Stream> Read for TlsStream<I> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let read = self.read_plain(buffer).await;
        self.tell(read).await
    }
}

impl<I: Stream> Write for TlsStream<I> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        if bytes.is_empty() { Ok(0) } else { self.say(Message::Data(bytes)).await }
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.send().await?;
        self.below.flush().await.map_err(Error::Below)
    }
}

impl<I: Stream> Stream for TlsStream<I> {
    async fn finish(&mut self) -> Result<(), Self::Error> {
        if !self.finished {
            self.say(Message::CloseNotify).await?;
            self.finished = true;
        }
        self.send().await?;
        self.below.finish().await.map_err(Error::Below)
    }

    async fn close(self) {
        self.into_below().close().await;
    }

    fn abort(self) {
        // Who broke the protocol is to see the alert, which a reset would overtake.
        if self.failed.is_none() || self.sent < self.outgoing.len() {
            self.below.abort();
        }
    }
}

/// Why bytes could not be encoded.
enum NotEncoded {
    /// They need so much room.
    Room(usize),
    /// Never.
    Refused,
}

impl From<EncodeError> for NotEncoded {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => {
                Self::Room(required_size)
            }
            EncodeError::AlreadyEncoded => Self::Refused,
        }
    }
}

impl From<EncryptError> for NotEncoded {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => {
                Self::Room(required_size)
            }
            EncryptError::EncryptExhausted => Self::Refused,
        }
    }
}

/// Has `encode` fill room behind `bytes`, `likely` bytes or what it asks for.
fn append<E: Into<NotEncoded>>(
    bytes: &mut Vec<u8>,
    likely: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), rustls::Error> {
    let start = bytes.len();
    let mut room = likely;
    loop {
        bytes.resize(start + room, 0);
        let encoded = encode(&mut bytes[start..]).map_err(Into::into);
        bytes.truncate(start + encoded.as_ref().copied().unwrap_or(0));
        match encoded {
            Ok(_) => return Ok(()),
            Err(NotEncoded::Room(required)) if required > room => room = required,
            Err(_) => return Err(rustls::Error::EncryptError),
        }
    }
}
