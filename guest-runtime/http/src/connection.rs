//! One connection from its first request to its end.

use crate::input::Input;
use crate::request::{self, Head, Malformed};
use crate::response::{Body, Response, Source, Status};
use crate::server::{Clock, Server, Service};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::mem;
use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use embedded_io_async::{Read, Write};

/// The longest body of a request that is read and thrown away so that the connection can go on, in bytes. With a longer one it is
/// closed.
const SKIPPED_BODY: u64 = 64 << 10;

/// The bytes of a reply that a client must take in [`PATIENCE`] timeouts: with a timeout of ten seconds about as many a second as the
/// slowest modem gave. Who takes a byte now and then would keep a connection for ever otherwise.
const LEAST_TAKEN: usize = 16 << 10;

/// The timeouts in which a client must take [`LEAST_TAKEN`] bytes, and a server must send as many.
pub(crate) const PATIENCE: u32 = 3;

/// What to do with a connection that has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything is said: close it when the last byte is delivered.
    Close,
    /// The client is gone, or takes no more bytes, or would take what it got for more than it is: reset it.
    Abort,
}

/// Why there is no further request.
enum NoRequest {
    /// The connection is to end without another word.
    End(End),
    /// What came is no request: the status and the text of the reply.
    Refuse(Status, &'static str),
}

/// Why there are no further bytes.
enum NoBytes {
    /// The client has sent its last byte.
    Finished,
    /// The connection failed.
    Failed,
    /// The service stops.
    Stopped,
}

/// One of the replies that may have large pieces, as long as this is there.
struct LargeStream<'a>(&'a Cell<usize>);

impl<'a> LargeStream<'a> {
    /// `None` where there are as many as may be.
    fn begin(count: &'a Cell<usize>, most: usize) -> Option<Self> {
        (count.get() < most).then(|| {
            count.set(count.get() + 1);
            Self(count)
        })
    }
}

impl Drop for LargeStream<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<S: Service, C: Clock> Server<S, C> {
    /// Answers the requests on one connection, and says how it ended. The stream is neither closed nor aborted yet.
    pub async fn serve<I: Read + Write>(&self, stream: &mut I) -> End {
        let mut input = Input::new(self.limits.head);
        loop {
            let head = match self.next_head(stream, &mut input).await {
                Ok(head) => head,
                Err(NoRequest::End(end)) => return end,
                Err(NoRequest::Refuse(status, text)) => {
                    let reply = Response::text(status, text);
                    return self.send(stream, reply, false, false).await.err().unwrap_or(End::Close);
                }
            };
            let request = head.request(input.bytes());
            let head_only = request.method == "HEAD";
            let reply = self.service.answer(request).await;
            let skippable = matches!(head.body, request::Body::Length(length) if length <= SKIPPED_BODY);
            let keep_alive = head.keep_alive && skippable && !self.stop.is_said();
            if let Err(end) = self.send(stream, reply, keep_alive, head_only).await {
                return end;
            }
            input.drop_front(head.length);
            if !keep_alive || !self.skip(stream, &mut input, head.body).await {
                return End::Close;
            }
        }
    }

    /// Waits for the next request and reads its head, which stays in `input`.
    async fn next_head<I: Read>(&self, stream: &mut I, input: &mut Input) -> Result<Head, NoRequest> {
        if !input.begins() {
            let first = async {
                loop {
                    self.read(stream, input).await?;
                    if input.begins() {
                        return Ok(());
                    }
                }
            };
            match self.platform.within(self.limits.timeout, first).await {
                Some(Ok(())) => {}
                Some(Err(NoBytes::Failed)) => return Err(NoRequest::End(End::Abort)),
                Some(Err(NoBytes::Finished | NoBytes::Stopped)) | None => {
                    return Err(NoRequest::End(End::Close));
                }
            }
        }
        // A request that came whole, as nearly all do, needs no timer.
        if let Some(head) = parse(input)? {
            return Ok(head);
        }
        let rest = async {
            loop {
                self.read(stream, input).await.map_err(|reason| match reason {
                    NoBytes::Finished => NoRequest::Refuse(Status::BadRequest, "The request has no end"),
                    NoBytes::Failed => NoRequest::End(End::Abort),
                    NoBytes::Stopped => NoRequest::End(End::Close),
                })?;
                if let Some(head) = parse(input)? {
                    return Ok(head);
                }
            }
        };
        let late = || Err(NoRequest::Refuse(Status::RequestTimeout, "The request took too long"));
        self.platform.within(self.limits.timeout, rest).await.unwrap_or_else(late)
    }

    /// Reads more input, for which there is room.
    async fn read<I: Read>(&self, stream: &mut I, input: &mut Input) -> Result<(), NoBytes> {
        match select(stream.read(input.room()), self.stop.said()).await {
            Either::First(Ok(0)) => Err(NoBytes::Finished),
            Either::First(Ok(count)) => {
                input.add(count);
                Ok(())
            }
            Either::First(Err(_)) => Err(NoBytes::Failed),
            Either::Second(()) => Err(NoBytes::Stopped),
        }
    }

    /// Sends a reply. The error says how the connection has to end if that reply was its last word.
    pub(crate) async fn send<I: Write>(
        &self,
        stream: &mut I,
        reply: Response<S::Source>,
        keep_alive: bool,
        head_only: bool,
    ) -> Result<(), End> {
        let mut bytes = reply.head(keep_alive, self.platform.now());
        match reply.body {
            Body::Text(text) if !head_only => bytes.extend_from_slice(text.as_bytes()),
            // Boxed, so that a connection that is idle does not keep room for it.
            Body::Stream { length, source } if !head_only && length > 0 => {
                return Box::pin(self.send_stream(stream, bytes, length, source)).await;
            }
            Body::Text(_) | Body::Stream { .. } | Body::None => {}
        }
        self.write(stream, &bytes).await
    }

    /// Sends a head and `length` bytes of a source.
    async fn send_stream<I: Write>(
        &self,
        stream: &mut I,
        mut bytes: Vec<u8>,
        length: u64,
        mut source: S::Source,
    ) -> Result<(), End> {
        let (piece, small) = (self.limits.large_piece, self.limits.piece.max(1));
        let turn = LargeStream::begin(&self.large_streams, self.limits.large_streams)
            .filter(|_| length > small as u64);
        let piece = if turn.is_some() { piece.max(small) } else { small };
        let part = |left: u64| left.min(piece as u64) as usize;
        // The first piece leaves with the head.
        let start = bytes.len();
        bytes.resize(start + part(length), 0);
        if source.read(&mut bytes[start..]).await.is_err() {
            let reply = Response::text(Status::InternalError, "The content cannot be read");
            return self.send(stream, reply, false, false).await.and(Err(End::Close));
        }
        let mut left = length - (bytes.len() - start) as u64;
        if turn.is_none() {
            while left > 0 {
                self.write(stream, &bytes).await?;
                bytes.resize(part(left), 0);
                source.read(&mut bytes).await.map_err(|_| End::Abort)?;
                left -= bytes.len() as u64;
            }
        }
        let mut next = Vec::new();
        while left > 0 {
            next.resize(part(left), 0);
            let (written, read) = join(self.write(stream, &bytes), source.read(&mut next)).await;
            written?;
            read.map_err(|_| End::Abort)?;
            left -= next.len() as u64;
            mem::swap(&mut bytes, &mut next);
        }
        self.write(stream, &bytes).await
    }

    /// Writes all of `bytes`, as long as the client takes some of them in time, and enough of them in a longer time.
    async fn write<I: Write>(&self, stream: &mut I, mut bytes: &[u8]) -> Result<(), End> {
        let timeout = self.limits.timeout;
        while !bytes.is_empty() {
            let enough = async {
                let rest = bytes.len().saturating_sub(LEAST_TAKEN);
                while bytes.len() > rest {
                    match self.platform.within(timeout, stream.write(bytes)).await {
                        Some(Ok(count @ 1..)) => bytes = &bytes[count..],
                        _ => return Err(End::Abort),
                    }
                }
                Ok(())
            };
            self.platform
                .within(timeout.saturating_mul(PATIENCE), enough)
                .await
                .unwrap_or(Err(End::Abort))?;
        }
        Ok(())
    }

    /// Reads a body and throws it away; false if it does not come.
    async fn skip<I: Read>(&self, stream: &mut I, input: &mut Input, body: request::Body) -> bool {
        let request::Body::Length(mut left) = body else { return false };
        left -= input.drop_front(usize::try_from(left).unwrap_or(usize::MAX)) as u64;
        if left == 0 {
            return true;
        }
        let rest = async {
            while left > 0 {
                self.read(stream, input).await?;
                left -= input.drop_front(usize::try_from(left).unwrap_or(usize::MAX)) as u64;
            }
            Ok::<(), NoBytes>(())
        };
        matches!(self.platform.within(self.limits.timeout, rest).await, Some(Ok(())))
    }
}

/// The head at the front of the input; `None` if more bytes are to come, for which there is room then.
fn parse(input: &mut Input) -> Result<Option<Head>, NoRequest> {
    match request::parse(input.bytes()) {
        Ok(Some(head)) => Ok(Some(head)),
        Ok(None) if !input.room().is_empty() => Ok(None),
        Ok(None) if input.bytes().contains(&b'\n') => {
            Err(NoRequest::Refuse(Status::HeadersTooLarge, "The headers are too long"))
        }
        Ok(None) => Err(NoRequest::Refuse(Status::UriTooLong, "The request line is too long")),
        Err(Malformed::TooManyFields) => {
            Err(NoRequest::Refuse(Status::HeadersTooLarge, "There are too many headers"))
        }
        Err(Malformed::Syntax) => Err(NoRequest::Refuse(Status::BadRequest, "That is no HTTP request")),
    }
}
