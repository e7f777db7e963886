//! All connections of a listener, until the service is to end.

use crate::connection::{End, PATIENCE};
use crate::request::Request;
use crate::response::{Response, Source, Status};
use crate::transport::{Refused, Stream, Transport};
use alloc::boxed::Box;
use alloc::rc::Rc;
use async_lock::OnceCell;
use core::cell::Cell;
use core::pin::pin;
use core::time::Duration;
use embassy_futures::select::{Either, select};
use ukvm_net_stack::{TcpListener, TcpStream};

/// Answers requests.
pub trait Service {
    /// Where bodies come from that are longer than a line.
    type Source: Source;

    /// The reply to a request. To a HEAD it is the one that a GET would get: its body is left out where it is sent.
    fn answer(&self, request: Request<'_>) -> impl Future<Output = Response<Self::Source>>;
}

/// Time.
pub trait Clock {
    /// The output of the future, or `None` if that takes longer than `limit`.
    fn within<F: Future>(&self, limit: Duration, future: F) -> impl Future<Output = Option<F::Output>>;

    /// The time of day, as what has passed since 1970-01-01T00:00:00Z. Without one, replies have no `Date`.
    fn now(&self) -> Option<Duration>;
}

/// What serving needs of the world around it.
pub trait Platform: Clock {
    /// Runs a future as a task of its own.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
}

/// What clients may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a client may take for each of: what its transport has before the first request, its next request, all of a head, all of
    /// a body, to accept more of a reply. For each 16 KiB of a reply, or for what is written of it at once if that is less, a client may
    /// take three times as long in all.
    pub timeout: Duration,
    /// The longest head of a request, from its first byte to the empty line, in bytes.
    pub head: usize,
    /// Bytes of a body that are read at once for a connection, at least 1.
    pub piece: usize,
    /// The same for as many as [`large_streams`](Self::large_streams) at once, whose next piece is read while the last one is sent.
    pub large_piece: usize,
    /// How many replies may have two large pieces in memory.
    pub large_streams: usize,
}

/// A service and its connections.
pub struct Server<S, P> {
    pub(crate) service: S,
    pub(crate) platform: P,
    pub(crate) limits: Limits,
    pub(crate) stop: Stop,
    /// How many replies have large pieces.
    pub(crate) large_streams: Cell<usize>,
    /// How many connections there are.
    busy: Cell<usize>,
    /// Set when the last connection has gone after the stop.
    quiet: OnceCell<()>,
}

impl<S, P> Server<S, P> {
    /// A server without a connection.
    #[must_use]
    pub const fn new(service: S, platform: P, limits: Limits) -> Self {
        Self {
            service,
            platform,
            limits,
            stop: Stop::new(),
            large_streams: Cell::new(0),
            busy: Cell::new(0),
            quiet: OnceCell::new(),
        }
    }

    /// Ends every connection: at once where it is idle or waits for the rest of a request, else after the reply.
    pub async fn stop(&self) {
        self.stop.0.get_or_init(async || ()).await;
    }
}

impl<S: Service + 'static, P: Platform + 'static> Server<S, P> {
    /// Serves all who come to `listener`, by way of `transport`, until `end` does. Then nobody else gets in, and those inside may finish,
    /// for `grace` at most. How many did not.
    pub async fn run<T: Transport + 'static>(
        self: Rc<Self>,
        listener: TcpListener,
        transport: T,
        end: impl Future,
        grace: Duration,
    ) -> usize {
        let transport = Rc::new(transport);
        let mut end = pin!(end);
        while let Either::First((connection, _)) = select(listener.accept(), end.as_mut()).await {
            self.busy.set(self.busy.get() + 1);
            self.platform.spawn(self.clone().take(connection, transport.clone()));
        }
        drop(listener);
        self.stop().await;
        if self.busy.get() > 0 {
            let _ = self.platform.within(grace, self.quiet.wait()).await;
        }
        self.busy.get()
    }

    /// Serves one connection to its end.
    async fn take<T: Transport>(self: Rc<Self>, connection: TcpStream, transport: Rc<T>) {
        // Boxed, so that a connection does not keep room for it.
        match Box::pin(self.begin(connection, &*transport)).await {
            Ok(mut stream) => {
                let end = self.serve(&mut stream).await;
                self.end(stream, end).await;
            }
            Err(Refused::Unprotected(mut connection)) => {
                let reply = Response::text(Status::BadRequest, "This port speaks HTTPS: use https://");
                let sent = self.send(&mut connection, reply, false, false).await;
                self.end(connection, sent.err().unwrap_or(End::Close)).await;
            }
            Err(Refused::Ended) => {}
        }
        self.busy.set(self.busy.get() - 1);
        if self.busy.get() == 0 && self.stop.is_said() {
            self.quiet.get_or_init(async || ()).await;
        }
    }

    /// Makes a stream of a connection.
    async fn begin<T: Transport>(&self, connection: TcpStream, transport: &T) -> Result<T::Stream, Refused> {
        let accept = self.platform.within(self.limits.timeout, transport.accept(connection));
        match select(accept, self.stop.said()).await {
            Either::First(Some(accepted)) => accepted,
            Either::First(None) | Either::Second(()) => Err(Refused::Ended),
        }
    }

    /// Ends a connection.
    async fn end(&self, mut stream: impl Stream, end: End) {
        // What was written may have to leave first: as much as a client may take so long for.
        let patience = self.limits.timeout.saturating_mul(PATIENCE);
        if end == End::Close
            && let Some(Ok(())) = self.platform.within(patience, stream.finish()).await
        {
            stream.close().await;
        } else {
            stream.abort();
        }
    }
}

/// Says once, to all connections, that it is time to end.
pub(crate) struct Stop(OnceCell<()>);

impl Stop {
    const fn new() -> Self {
        Self(OnceCell::new())
    }

    /// Whether it was said.
    pub(crate) fn is_said(&self) -> bool {
        self.0.is_initialized()
    }

    /// Waits until it is said.
    pub(crate) async fn said(&self) {
        self.0.wait().await;
    }
}
