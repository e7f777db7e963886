//! TCP listeners: the connections that others open.

use crate::config::TcpOptions;
use crate::connection::Stage;
use crate::engine::Shared;
use crate::tcp::TcpStream;
use alloc::collections::VecDeque;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use smoltcp::wire::IpEndpoint;

/// A listener's queue.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) options: TcpOptions,
    /// Connections in their handshake.
    pub(crate) opening: usize,
    /// Connections that wait to be accepted.
    ready: VecDeque<usize>,
    /// Tasks that wait to accept one, by the number of their future.
    waiters: VecDeque<(u64, Waker)>,
    last_waiter: u64,
}

impl Listening {
    fn new(options: TcpOptions) -> Self {
        Self { options, opening: 0, ready: VecDeque::new(), waiters: VecDeque::new(), last_waiter: 0 }
    }

    /// How many connections the backlog has.
    pub(crate) fn waiting(&self) -> usize {
        self.opening + self.ready.len()
    }

    /// A handshake is over.
    pub(crate) fn arrived(&mut self, id: usize) {
        self.ready.push_back(id);
        self.wake_one();
    }

    fn wake_one(&mut self) {
        if let Some((_, waker)) = self.waiters.pop_front() {
            waker.wake();
        }
    }
}

/// Takes the connections that come for a port, on all addresses of the stack. Dropping it resets those that were not accepted.
#[derive(Debug)]
pub struct TcpListener {
    engine: Shared,
    port: u16,
}

/// Why [`Stack::listen`](crate::Stack::listen) or [`UdpSocket::bind`](crate::UdpSocket::bind) failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// Somebody has this port already.
    InUse(u16),
    /// Port 0 was asked for.
    NoPort,
    /// A buffer's size is 0, or beyond what a TCP window or the memory can hold.
    BadBuffer,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(port) => write!(f, "port {port} is in use: choose another"),
            Self::NoPort => f.write_str("port 0 cannot be listened on: choose one from 1 to 65535"),
            Self::BadBuffer => {
                f.write_str("a buffer's size is not possible: choose 1 byte to 1 GiB, less than the memory")
            }
        }
    }
}

impl core::error::Error for BindError {}

impl TcpListener {
    pub(crate) fn new(engine: &Shared, port: u16, options: TcpOptions) -> Result<Self, BindError> {
        if port == 0 {
            return Err(BindError::NoPort);
        }
        if !options.is_possible() {
            return Err(BindError::BadBuffer);
        }
        let listeners = &mut engine.borrow_mut().listeners;
        if listeners.contains_key(&port) {
            return Err(BindError::InUse(port));
        }
        listeners.insert(port, Listening::new(options));
        Ok(Self { engine: engine.clone(), port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for the next connection, and yields it with the peer's address. Several tasks may wait at once.
    pub fn accept(&self) -> Accept<'_> {
        Accept { listener: self, number: None }
    }

    /// The next connection that is ready and still alive.
    fn take(&self) -> Option<(TcpStream, IpEndpoint)> {
        let mut engine = self.engine.borrow_mut();
        loop {
            let id = engine.listeners.get_mut(&self.port)?.ready.pop_front()?;
            let Some(connection) = engine.connections.get(id) else { continue };
            if let Some(remote) = connection.socket().remote_endpoint() {
                connection.stage = Stage::Owned;
                return Some((TcpStream::new(&self.engine, id), remote));
            }
            engine.connections.remove(id);
        }
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let mut engine = self.engine.borrow_mut();
        engine.listeners.remove(&self.port);
        for id in engine.connections.of_listener(self.port) {
            engine.orphan(id, true);
        }
    }
}

/// The future of [`TcpListener::accept`].
#[derive(Debug)]
#[must_use = "a connection is accepted when the future is awaited"]
pub struct Accept<'a> {
    listener: &'a TcpListener,
    /// Its number among those that wait, once it does.
    number: Option<u64>,
}

impl Accept<'_> {
    /// Stops waiting. Whether it had been woken.
    fn leave(&mut self, listening: &mut Listening) -> bool {
        let Some(number) = self.number.take() else { return false };
        let before = listening.waiters.len();
        listening.waiters.retain(|(other, _)| *other != number);
        listening.waiters.len() == before
    }
}

impl Future for Accept<'_> {
    type Output = (TcpStream, IpEndpoint);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(connection) = self.listener.take() {
            if let Some(listening) = self.listener.engine.borrow_mut().listeners.get_mut(&self.listener.port)
            {
                self.leave(listening);
            }
            return Poll::Ready(connection);
        }
        let mut engine = self.listener.engine.borrow_mut();
        if let Some(listening) = engine.listeners.get_mut(&self.listener.port) {
            self.leave(listening);
            listening.last_waiter += 1;
            self.number = Some(listening.last_waiter);
            listening.waiters.push_back((listening.last_waiter, context.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for Accept<'_> {
    fn drop(&mut self) {
        if self.number.is_none() {
            return;
        }
        let mut engine = self.listener.engine.borrow_mut();
        if let Some(listening) = engine.listeners.get_mut(&self.listener.port)
            && self.leave(listening)
            && !listening.ready.is_empty()
        {
            // It was woken for a connection that it will not take: somebody else may.
            listening.wake_one();
        }
    }
}
