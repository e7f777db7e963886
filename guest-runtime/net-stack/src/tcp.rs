//! TCP streams.

use crate::config::TcpOptions;
use crate::connection::set_keep_alive;
use crate::engine::{LINGER, Shared, Unconnectable};
use crate::{IpEndpoint, Stack};
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;
use embedded_io_async::{ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};
use smoltcp::socket::tcp::{RecvError, State};

/// A TCP connection.
///
/// Reads and writes are those of [`embedded_io_async`]; one task may read while another one writes. Writing puts data into the send
/// buffer, from which it leaves by itself; flushing has nothing to add and returns at once. Dropping a stream closes it in
/// good order, without waiting: what was written is still delivered, within 10 s; what comes is thrown away.
#[derive(Debug)]
pub struct TcpStream {
    engine: Shared,
    id: usize,
    released: bool,
}

/// Why a stream cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpError {
    /// The peer has reset the connection, or keep-alive found it gone, or the own address is no more: a lease has ended, or somebody
    /// else has it.
    Reset,
    /// The peer did not acknowledge the end of the connection in time.
    TimedOut,
    /// This side has been [shut down](TcpStream::shutdown) before.
    Shutdown,
}

impl fmt::Display for TcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "the connection was reset",
            Self::TimedOut => "the peer did not answer in time",
            Self::Shutdown => "the stream was shut down for writing",
        })
    }
}

impl core::error::Error for TcpError {}

impl embedded_io_async::Error for TcpError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Reset => ErrorKind::ConnectionReset,
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Shutdown => ErrorKind::BrokenPipe,
        }
    }
}

/// Why [`TcpStream::connect`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The peer's address cannot be reached from any address of the stack.
    Unreachable,
    /// Connections, memory or ports are at their limit, or a buffer's size is not possible.
    NoRoom,
    /// The peer has refused.
    Refused,
    /// The peer did not answer within 20 s.
    TimedOut,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "no address of this host reaches the peer",
            Self::NoRoom => "there is no room for another connection",
            Self::Refused => "the peer has refused the connection",
            Self::TimedOut => "the peer did not answer in time",
        })
    }
}

impl core::error::Error for ConnectError {}

impl TcpStream {
    pub(crate) fn new(engine: &Shared, id: usize) -> Self {
        Self { engine: engine.clone(), id, released: false }
    }

    /// Connects to `remote`, from the address and port that suit.
    ///
    /// # Errors
    ///
    /// A [`ConnectError`]; after 20 s at the latest.
    pub async fn connect(
        stack: &Stack,
        remote: IpEndpoint,
        options: TcpOptions,
    ) -> Result<Self, ConnectError> {
        if !options.is_possible() {
            return Err(ConnectError::NoRoom);
        }
        let engine = &stack.0;
        let id = engine.borrow_mut().connect(remote, &options).map_err(|error| match error {
            Unconnectable::Address => ConnectError::Unreachable,
            Unconnectable::NoRoom => ConnectError::NoRoom,
        })?;
        let stream = Self::new(engine, id);
        poll_fn(|context| stream.poll_connected(context)).await?;
        Ok(stream)
    }

    fn poll_connected(&self, context: &Context<'_>) -> Poll<Result<(), ConnectError>> {
        let mut engine = self.engine.borrow_mut();
        let Some(connection) = engine.connections.get(self.id) else {
            return Poll::Ready(Err(ConnectError::Refused));
        };
        let timed_out = connection.timed_out;
        let socket = connection.socket();
        match socket.state() {
            State::SynSent | State::SynReceived => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
            State::Closed if timed_out => Poll::Ready(Err(ConnectError::TimedOut)),
            State::Closed => Poll::Ready(Err(ConnectError::Refused)),
            _ => {
                connection.deadline = None;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// The stream's own address; `None` once the connection is gone.
    pub fn local_endpoint(&self) -> Option<IpEndpoint> {
        self.engine.borrow_mut().socket(self.id)?.local_endpoint()
    }

    /// The peer's address; `None` once the connection is gone.
    pub fn remote_endpoint(&self) -> Option<IpEndpoint> {
        self.engine.borrow_mut().socket(self.id)?.remote_endpoint()
    }

    /// Asks after each silence of `interval` whether the peer is still there; four unanswered questions end the
    /// connection. `None`: never asks.
    pub fn set_keep_alive(&mut self, interval: Option<Duration>) {
        let mut engine = self.engine.borrow_mut();
        if let Some(socket) = engine.socket(self.id) {
            set_keep_alive(socket, interval);
        }
        engine.touch(self.id);
    }

    /// Two halves of the stream, for one task that reads and one that writes.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Says that no more data will be written. What was written is still delivered; reading goes on.
    pub fn shutdown(&mut self) {
        let mut engine = self.engine.borrow_mut();
        if let Some(socket) = engine.socket(self.id) {
            socket.close();
        }
        engine.touch(self.id);
    }

    /// Ends the connection in good order: waits until the peer has acknowledged all that was written and the end. What
    /// still comes is thrown away.
    ///
    /// # Errors
    ///
    /// [`TcpError::Reset`] where the peer did not take all data; [`TcpError::TimedOut`] where it did not within 10 s.
    pub async fn close(self) -> Result<(), TcpError> {
        {
            let mut engine = self.engine.borrow_mut();
            let deadline = engine.tick() + LINGER;
            if let Some(connection) = engine.connections.get(self.id) {
                connection.discards = true;
                connection.deadline = Some(deadline);
                connection.discard();
                connection.socket().close();
            }
            engine.touch(self.id);
        }
        poll_fn(|context| self.poll_closed(context)).await
    }

    fn poll_closed(&self, context: &Context<'_>) -> Poll<Result<(), TcpError>> {
        let mut engine = self.engine.borrow_mut();
        let Some(connection) = engine.connections.get(self.id) else { return Poll::Ready(Ok(())) };
        let timed_out = connection.timed_out;
        let socket = connection.socket();
        match socket.state() {
            State::FinWait2 | State::TimeWait => Poll::Ready(Ok(())),
            State::Closed if timed_out => Poll::Ready(Err(TcpError::TimedOut)),
            State::Closed if socket.send_queue() > 0 => Poll::Ready(Err(TcpError::Reset)),
            State::Closed => Poll::Ready(Ok(())),
            _ => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
        }
    }

    /// Ends the connection with a reset, at once.
    pub fn abort(mut self) {
        self.release(true);
    }

    fn release(&mut self, reset: bool) {
        if !core::mem::replace(&mut self.released, true) {
            self.engine.borrow_mut().orphan(self.id, reset);
        }
    }

    fn poll_read(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, TcpError>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut engine = self.engine.borrow_mut();
        let Some(connection) = engine.connections.get(self.id) else {
            return Poll::Ready(Err(TcpError::Reset));
        };
        let timed_out = connection.timed_out;
        let socket = connection.socket();
        let filled = socket.recv_queue();
        match socket.recv_slice(buffer) {
            Ok(0) => {
                socket.register_recv_waker(context.waker());
                Poll::Pending
            }
            Ok(length) => {
                // Only then may the window have grown by enough to tell the peer.
                if filled >= socket.recv_capacity() / 4 {
                    engine.touch(self.id);
                }
                Poll::Ready(Ok(length))
            }
            Err(RecvError::Finished) => Poll::Ready(Ok(0)),
            Err(RecvError::InvalidState) => Poll::Ready(Err(ended(timed_out))),
        }
    }

    fn poll_write(&self, context: &Context<'_>, buffer: &[u8]) -> Poll<Result<usize, TcpError>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut engine = self.engine.borrow_mut();
        let Some(connection) = engine.connections.get(self.id) else {
            return Poll::Ready(Err(TcpError::Reset));
        };
        let timed_out = connection.timed_out;
        let socket = connection.socket();
        match socket.send_slice(buffer) {
            Ok(0) => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
            Ok(length) => {
                engine.touch(self.id);
                Poll::Ready(Ok(length))
            }
            Err(_) if socket.state() == State::Closed => Poll::Ready(Err(ended(timed_out))),
            Err(_) => Poll::Ready(Err(TcpError::Shutdown)),
        }
    }

    fn may_read(&self) -> bool {
        let mut engine = self.engine.borrow_mut();
        engine.socket(self.id).is_none_or(|socket| socket.can_recv() || !socket.may_recv())
    }

    fn may_write(&self) -> bool {
        let mut engine = self.engine.borrow_mut();
        engine.socket(self.id).is_none_or(|socket| socket.can_send() || !socket.may_send())
    }
}

fn ended(timed_out: bool) -> TcpError {
    if timed_out { TcpError::TimedOut } else { TcpError::Reset }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.release(false);
    }
}

/// The half of a [`TcpStream`] that reads.
#[derive(Debug)]
pub struct ReadHalf<'a>(&'a TcpStream);

/// The half of a [`TcpStream`] that writes.
#[derive(Debug)]
pub struct WriteHalf<'a>(&'a TcpStream);

impl ErrorType for TcpStream {
    type Error = TcpError;
}

impl Read for TcpStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TcpError> {
        ReadHalf(self).read(buffer).await
    }
}

impl ReadReady for TcpStream {
    fn read_ready(&mut self) -> Result<bool, TcpError> {
        ReadHalf(self).read_ready()
    }
}

impl Write for TcpStream {
    async fn write(&mut self, buffer: &[u8]) -> Result<usize, TcpError> {
        WriteHalf(self).write(buffer).await
    }

    /// Returns at once: see [`TcpStream`].
    async fn flush(&mut self) -> Result<(), TcpError> {
        WriteHalf(self).flush().await
    }
}

impl WriteReady for TcpStream {
    fn write_ready(&mut self) -> Result<bool, TcpError> {
        WriteHalf(self).write_ready()
    }
}

impl ErrorType for ReadHalf<'_> {
    type Error = TcpError;
}

impl Read for ReadHalf<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TcpError> {
        poll_fn(|context| self.0.poll_read(context, buffer)).await
    }
}

impl ReadReady for ReadHalf<'_> {
    fn read_ready(&mut self) -> Result<bool, TcpError> {
        Ok(self.0.may_read())
    }
}

impl ErrorType for WriteHalf<'_> {
    type Error = TcpError;
}

impl Write for WriteHalf<'_> {
    async fn write(&mut self, buffer: &[u8]) -> Result<usize, TcpError> {
        poll_fn(|context| self.0.poll_write(context, buffer)).await
    }

    /// Returns at once: see [`TcpStream`].
    async fn flush(&mut self) -> Result<(), TcpError> {
        Ok(())
    }
}

impl WriteReady for WriteHalf<'_> {
    fn write_ready(&mut self) -> Result<bool, TcpError> {
        Ok(self.0.may_write())
    }
}
