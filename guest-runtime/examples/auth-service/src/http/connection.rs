//! One connection from its first request to its end.

use super::input::Input;
use super::request::{self, Body, Head, Malformed};
use super::response::{Reply, Status};
use async_lock::OnceCell;
use core::time::Duration;
use embassy_futures::select::{Either, select};
use embedded_io_async::{Read, Write};

/// The longest body that is read and thrown away so that the connection can go on, in bytes. With a longer one it is closed.
const SKIPPED_BODY: u64 = 64 << 10;

/// Limits time.
pub trait Timer {
    /// The output of the future, or `None` if that takes longer than `limit`.
    fn within<F: Future>(&self, limit: Duration, future: F) -> impl Future<Output = Option<F::Output>>;
}

/// Answers requests.
pub trait Service {
    /// The reply to a GET of `target`, the path and the query as they were sent.
    fn answer(&self, target: &str) -> impl Future<Output = Reply>;
}

/// Says once, to all connections, that it is time to end.
#[derive(Default)]
pub struct Stop(OnceCell<()>);

impl Stop {
    /// Not yet said.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceCell::new())
    }

    /// Ends every connection: at once where it is idle or waits for the rest of a request, else after the reply.
    pub async fn stop(&self) {
        self.0.get_or_init(async || ()).await;
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_initialized()
    }

    /// Waits until it is said.
    pub async fn stopped(&self) {
        self.0.wait().await;
    }
}

/// What to do with a connection that has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything is said: close it when the last byte is delivered.
    Close,
    /// The client is gone, or takes no more bytes: forget it.
    Abort,
}

/// What all connections share.
pub struct Server<'a, S, T> {
    /// Answers the requests.
    pub service: &'a S,
    /// Limits the time of each step.
    pub timer: &'a T,
    /// How long a client may take for each of: its next request, all of a head, all of a body, to accept a reply.
    pub timeout: Duration,
    /// Says when to end.
    pub stop: &'a Stop,
}

/// Why there is no further request.
enum NoRequest {
    /// The connection is to end without another word.
    End(End),
    /// What came is no request, and this is the reply.
    Refuse(Reply),
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

impl<S: Service, T: Timer> Server<'_, S, T> {
    /// Answers the requests on one connection, and says how it ended. The stream is neither closed nor aborted yet.
    pub async fn serve<I: Read + Write>(&self, stream: &mut I) -> End {
        let mut input = Input::new();
        loop {
            let head = match self.next_head(stream, &mut input).await {
                Ok(head) => head,
                Err(NoRequest::End(end)) => return end,
                Err(NoRequest::Refuse(reply)) => {
                    let sent = self.send(stream, &reply, false, false).await;
                    return if sent { End::Close } else { End::Abort };
                }
            };
            let reply = match &*head.method {
                "GET" => self.service.answer(&head.target).await,
                _ => Reply::fixed(Status::MethodNotAllowed, "Only GET is served"),
            };
            let skippable = matches!(head.body, Body::Length(length) if length <= SKIPPED_BODY);
            let keep_alive = head.keep_alive && skippable && !self.stop.is_stopped();
            if !self.send(stream, &reply, keep_alive, head.method == "HEAD").await {
                return End::Abort;
            }
            input.drop_front(head.length);
            if !keep_alive || !self.skip(stream, &mut input, head.body).await {
                return End::Close;
            }
        }
    }

    /// Waits for the next request and reads its head, which stays in `input`.
    async fn next_head<I: Read>(&self, stream: &mut I, input: &mut Input) -> Result<Head, NoRequest> {
        if input.bytes().is_empty() {
            match self.timer.within(self.timeout, self.read(stream, input)).await {
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
                    NoBytes::Finished => refuse(Status::BadRequest, "The request has no end"),
                    NoBytes::Failed => NoRequest::End(End::Abort),
                    NoBytes::Stopped => NoRequest::End(End::Close),
                })?;
                if let Some(head) = parse(input)? {
                    return Ok(head);
                }
            }
        };
        let late = || Err(refuse(Status::RequestTimeout, "The request took too long"));
        self.timer.within(self.timeout, rest).await.unwrap_or_else(late)
    }

    /// Reads more input, for which there is room.
    async fn read<I: Read>(&self, stream: &mut I, input: &mut Input) -> Result<(), NoBytes> {
        match select(stream.read(input.room()), self.stop.stopped()).await {
            Either::First(Ok(0)) => Err(NoBytes::Finished),
            Either::First(Ok(count)) => {
                input.add(count);
                Ok(())
            }
            Either::First(Err(_)) => Err(NoBytes::Failed),
            Either::Second(()) => Err(NoBytes::Stopped),
        }
    }

    /// Sends a reply; false if the connection is of no use any more.
    async fn send<I: Write>(&self, stream: &mut I, reply: &Reply, keep_alive: bool, head_only: bool) -> bool {
        let text = reply.encode(keep_alive, head_only);
        matches!(self.timer.within(self.timeout, stream.write_all(text.as_bytes())).await, Some(Ok(())))
    }

    /// Reads a body and throws it away; false if it does not come.
    async fn skip<I: Read>(&self, stream: &mut I, input: &mut Input, body: Body) -> bool {
        let Body::Length(mut left) = body else { return false };
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
        matches!(self.timer.within(self.timeout, rest).await, Some(Ok(())))
    }
}

/// The head at the front of the input; `None` if more bytes are to come, for which there is room then.
fn parse(input: &mut Input) -> Result<Option<Head>, NoRequest> {
    match request::parse(input.bytes()) {
        Ok(Some(head)) => Ok(Some(head)),
        Ok(None) if !input.room().is_empty() => Ok(None),
        Ok(None) if input.bytes().trim_ascii_start().contains(&b'\n') => {
            Err(refuse(Status::HeadersTooLarge, "The headers are too long"))
        }
        Ok(None) => Err(refuse(Status::UriTooLong, "The request line is too long")),
        Err(Malformed::TooManyHeaders) => Err(refuse(Status::HeadersTooLarge, "There are too many headers")),
        Err(Malformed::Syntax) => Err(refuse(Status::BadRequest, "That is no HTTP request")),
    }
}

/// The end of a connection with a reply.
fn refuse(status: Status, text: &'static str) -> NoRequest {
    NoRequest::Refuse(Reply::fixed(status, text))
}
