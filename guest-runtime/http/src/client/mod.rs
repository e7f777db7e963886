//! A client: one resource by GET, from wherever it is redirected to, as a body that may be longer than memory.
//!
//! It says what it wants as plainly as it can, so that little can be misunderstood: the whole, unencoded, and nothing else on the
//! connection. An answer that two programs could understand in two ways is refused, as what comes is kept unseen.

mod answer;
mod chunk;
mod head;

pub use answer::Answer;
pub use head::{HEAD_LIMIT, MOST_FIELDS, Malformed};

use crate::input::Input;
use crate::server::Clock;
use crate::url::{Url, UrlError};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use head::Head;

/// The most redirects that are followed.
pub const MOST_REDIRECTS: usize = 10;
/// The most interim answers (100 to 199) before one that counts.
pub const MOST_INTERIM: usize = 10;

/// Opens connections.
pub trait Connector {
    /// A connection. To drop it is to close it.
    type Stream: Read + Write;
    /// Why there is none.
    type Error: fmt::Display;

    /// Connects to a port of a host, which is a name or an address, an IPv6 address without brackets.
    fn connect(&self, host: &str, port: u16) -> impl Future<Output = Result<Self::Stream, Self::Error>>;
}

/// Why there is no answer, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// There is no connection.
    Connect(E),
    /// The connection broke off.
    Broken,
    /// The server took longer than it may.
    Late,
    /// What came is no answer of HTTP/1, or has no clear meaning.
    Malformed(Malformed),
    /// The connection ended within the head, or before it.
    NoAnswer,
    /// The connection ended before the body did.
    CutShort,
    /// The server has another answer than the resource: its status.
    Status(u16),
    /// The content is encoded in this way, though that was not asked for.
    Encoded(String),
    /// A redirect without a place to go to.
    NoLocation,
    /// A redirect to what cannot be fetched: where to, and why not.
    Redirect(String, UrlError),
    /// A redirect to where it came from.
    Loop(Url),
    /// More than [`MOST_REDIRECTS`].
    TooManyRedirects,
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Broken => f.write_str("the connection broke off"),
            Self::Late => f.write_str("the server took too long"),
            Self::Malformed(malformed) => write!(f, "the answer cannot be trusted: {malformed}"),
            Self::NoAnswer => f.write_str("the server closed the connection without an answer"),
            Self::CutShort => f.write_str("the answer was cut short"),
            Self::Status(status) => write!(f, "the server answered with status {status}"),
            Self::Encoded(coding) => {
                write!(f, "the answer is encoded as {coding:?}, which was not asked for")
            }
            Self::NoLocation => f.write_str("the server redirects to nowhere"),
            Self::Redirect(to, error) => write!(f, "the server redirects to {to:?}: {error}"),
            Self::Loop(url) => write!(f, "the server redirects in a circle, to {url} again"),
            Self::TooManyRedirects => write!(f, "the server redirects more than {MOST_REDIRECTS} times"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Error<E> {}

impl<E> From<Malformed> for Error<E> {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// A client of HTTP/1.1.
#[derive(Debug)]
pub struct Client<C, K> {
    connector: C,
    clock: K,
    timeout: Duration,
    agent: &'static str,
}

impl<C: Connector, K: Clock> Client<C, K> {
    /// A client that calls itself `agent`. A server may take as long as `timeout` for each of: to take a request, to answer with a head,
    /// to send more of a body; and three times as long for each 16 KiB. How long a connection may take is the connector's matter.
    pub const fn new(connector: C, clock: K, timeout: Duration, agent: &'static str) -> Self {
        Self { connector, clock, timeout, agent }
    }

    /// What connects.
    pub const fn connector(&self) -> &C {
        &self.connector
    }

    /// What has connected, without the client.
    pub fn into_connector(self) -> C {
        self.connector
    }

    /// Gets the resource at `url`, or where that is redirected to. Only its head has been read then.
    ///
    /// # Errors
    ///
    /// An [`Error`].
    pub async fn get(&self, url: &Url) -> Result<Answer<'_, C, K>, Error<C::Error>> {
        let mut visited: Vec<Url> = Vec::new();
        let mut url = url.clone();
        loop {
            let connected = self.connector.connect(url.host(), url.port()).await;
            let mut stream = connected.map_err(Error::Connect)?;
            let mut input = Input::new(HEAD_LIMIT);
            let request = request(&url, self.agent);
            let sent =
                self.clock.within(self.timeout, stream.write_all(&request)).await.ok_or(Error::Late)?;
            // Who refuses a request may close the connection while it is sent; what it said is still there.
            let head = self.clock.within(self.timeout, next_head(&mut stream, &mut input)).await;
            let head = head.ok_or(Error::Late)?.map_err(|error| match (sent, error) {
                (Err(_), Error::NoAnswer) => Error::Broken,
                (_, error) => error,
            })?;
            match head.status {
                301 | 302 | 303 | 307 | 308 => {
                    let next = target(&url, &head)?;
                    visited.push(url);
                    if visited.contains(&next) {
                        return Err(Error::Loop(next));
                    }
                    if visited.len() > MOST_REDIRECTS {
                        return Err(Error::TooManyRedirects);
                    }
                    url = next;
                }
                // There is nothing, or a part, where the whole was asked for.
                204..=206 => return Err(Error::Status(head.status)),
                200..=299 => {
                    if let Some(coding) = head.coding {
                        return Err(Error::Encoded(coding));
                    }
                    return Ok(Answer::new(self, url, stream, input, head.framing));
                }
                status => return Err(Error::Status(status)),
            }
        }
    }
}

/// The request for a resource (RFC 9112, section 3): the whole of it, as it is, and nothing more on the same connection.
fn request(url: &Url, agent: &str) -> Vec<u8> {
    let (target, authority) = (url.target(), url.authority());
    format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

/// Where a redirect leads to.
fn target<E>(url: &Url, head: &Head) -> Result<Url, Error<E>> {
    let location = head.location.as_ref().filter(|location| !location.is_empty()).ok_or(Error::NoLocation)?;
    url.join(location).map_err(|error| Error::Redirect(String::from_utf8_lossy(location).into_owned(), error))
}

/// Reads until there is a head that counts, and drops it from the input.
async fn next_head<S: Read, E>(stream: &mut S, input: &mut Input) -> Result<Head, Error<E>> {
    for _ in 0..=MOST_INTERIM {
        let head = loop {
            if let Some(head) = head::parse(input.bytes())? {
                break head;
            }
            let room = input.room();
            if room.is_empty() {
                return Err(Malformed::HeadTooLong.into());
            }
            match stream.read(room).await {
                Ok(0) => return Err(Error::NoAnswer),
                Ok(count) => input.add(count),
                Err(_) => return Err(Error::Broken),
            }
        };
        input.drop_front(head.length);
        match head.status {
            101 => return Err(Malformed::Switched.into()),
            100..=199 => {}
            _ => return Ok(head),
        }
    }
    Err(Malformed::Interim.into())
}
