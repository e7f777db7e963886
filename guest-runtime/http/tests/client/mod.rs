//! A client that has written its script in advance, and a server for it alone.

use crate::time::Polls;
use core::convert::Infallible;
use core::future::pending;
use embassy_futures::{block_on, yield_now};
use embedded_io_async::{ErrorType, Read, Write};
use std::time::Duration;
use ukvm_http::{End, Limits, Server, Service};

/// The longest head that the server takes, in bytes.
pub(crate) const HEAD_LIMIT: usize = 4096;
/// The most bytes of a body that are read at once.
pub(crate) const PIECE: usize = 1000;
/// The server's limits.
pub(crate) const LIMITS: Limits = Limits {
    timeout: Duration::from_secs(1),
    head: HEAD_LIMIT,
    piece: 300,
    large_piece: PIECE,
    large_streams: 1,
};

/// A client that has written its script in advance.
pub(crate) struct Client {
    pub(crate) input: Vec<u8>,
    /// How many bytes one read gives.
    pub(crate) step: usize,
    /// Whether the client says nothing after its script, or has closed its side.
    pub(crate) silent: bool,
    pub(crate) output: Vec<u8>,
    /// How many bytes of the replies the client takes.
    pub(crate) takes: usize,
    /// How many polls it takes a byte where that is slow.
    pub(crate) slow: Option<u64>,
}

impl ErrorType for Client {
    type Error = Infallible;
}

impl Read for Client {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        yield_now().await;
        let count = self.input.len().min(buffer.len()).min(self.step);
        if count == 0 && self.silent {
            pending::<()>().await;
        }
        buffer[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }
}

impl Write for Client {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let mut count = bytes.len().min(100).min(self.takes - self.output.len());
        if let Some(polls) = self.slow {
            for _ in 0..polls {
                yield_now().await;
            }
            count = count.min(1);
        }
        if count == 0 {
            pending::<()>().await;
        }
        self.output.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What a connection brought.
pub(crate) struct Talk {
    pub(crate) output: Vec<u8>,
    /// The same as text.
    pub(crate) replies: String,
    pub(crate) end: End,
}

impl Talk {
    /// The statuses of the replies, in order.
    pub(crate) fn statuses(&self) -> Vec<&str> {
        self.replies.split("HTTP/1.1 ").skip(1).map(|reply| &reply[..3]).collect()
    }
}

pub(crate) fn server<S>(service: S) -> Server<S, Polls> {
    Server::new(service, Polls { now: None }, LIMITS)
}

pub(crate) fn serve(service: impl Service, client: Client) -> Talk {
    serve_within(LIMITS, service, client)
}

pub(crate) fn serve_within(limits: Limits, service: impl Service, mut client: Client) -> Talk {
    let end = block_on(Server::new(service, Polls { now: None }, limits).serve(&mut client));
    Talk { replies: String::from_utf8_lossy(&client.output).into_owned(), output: client.output, end }
}

/// A client that closes its side after these bytes.
pub(crate) fn client(input: impl AsRef<[u8]>) -> Client {
    let input = input.as_ref().to_vec();
    Client { input, step: usize::MAX, silent: false, output: vec![], takes: usize::MAX, slow: None }
}
