//! What connections are made of, below HTTP: TCP alone, or something on it that hides what is said.

use embedded_io_async::{Read, Write};
use ukvm_net_stack::{TcpError, TcpStream};

/// A stream of requests and replies, and how it ends. One that is dropped ends in good order by itself.
pub trait Stream: Read + Write {
    /// Says that nothing more will be written, where the protocol has a word for that, once all that was written has left.
    fn finish(&mut self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Waits until the client has all that was written, as long as the layer below allows, and ends the connection.
    fn close(self) -> impl Future<Output = ()>;

    /// Ends the connection with a reset, at once.
    fn abort(self);
}

impl Stream for TcpStream {
    async fn finish(&mut self) -> Result<(), TcpError> {
        Ok(())
    }

    async fn close(self) {
        // Whether the client still takes it is its own affair.
        let _ = TcpStream::close(self).await;
    }

    fn abort(self) {
        TcpStream::abort(self);
    }
}

/// Makes streams of connections that were just accepted.
pub trait Transport {
    /// The streams.
    type Stream: Stream;

    /// Does what comes before the first request. The server gives it one timeout, and then drops it.
    ///
    /// # Errors
    ///
    /// Where there will be no request.
    fn accept(&self, connection: TcpStream) -> impl Future<Output = Result<Self::Stream, Refused>>;
}

/// A connection that becomes no stream of requests.
#[derive(Debug)]
pub enum Refused {
    /// Its client speaks HTTP without what this transport has below it; it is told so.
    Unprotected(TcpStream),
    /// Its client was told what there is to say, or is gone.
    Ended,
}

/// TCP alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Transport for Plain {
    type Stream = TcpStream;

    async fn accept(&self, connection: TcpStream) -> Result<TcpStream, Refused> {
        Ok(connection)
    }
}
