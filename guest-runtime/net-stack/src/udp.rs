//! UDP sockets.
//!
//! A datagram goes straight from [`UdpSocket::send_to`] into a frame, by way of a smoltcp socket that serves all in turn. Only one
//! whose receiver's hardware address is not known yet is parked, with that socket, in whose place comes a new one: smoltcp would
//! otherwise let it hold up all that follow, for ever if the receiver does not exist.

use crate::Stack;
use crate::config::UdpOptions;
use crate::engine::{Engine, Shared};
use crate::listener::BindError;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket, UdpMetadata};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, IpAddress, UDP_HEADER_LEN};

/// How many datagrams wait for their receivers' hardware addresses at most. One more, and the oldest is given up.
const MAX_PARKED: usize = 16;
/// How long a datagram waits: three questions, as smoltcp asks once a second.
const PARKED: Duration = Duration::from_secs(3);
/// How often parked datagrams are tried again.
const RETRY: Duration = Duration::from_millis(100);

/// The UDP sockets of a stack.
#[derive(Debug)]
pub(crate) struct Datagrams {
    /// The sockets that receive, and only that.
    pub(crate) receivers: SocketSet<'static>,
    ports: BTreeMap<u16, SocketHandle>,
    /// The socket from which the next datagram is sent.
    sender: Option<(SocketSet<'static>, SocketHandle)>,
    parked: VecDeque<(Instant, SocketSet<'static>)>,
}

impl Datagrams {
    pub(crate) fn new() -> Self {
        Self {
            receivers: SocketSet::new(Vec::new()),
            ports: BTreeMap::new(),
            sender: None,
            parked: VecDeque::new(),
        }
    }

    /// Whether somebody has this port.
    pub(crate) fn has(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    /// When parked datagrams are to be tried again.
    pub(crate) fn next_try(&self, now: Instant) -> Option<Instant> {
        (!self.parked.is_empty()).then_some(now + RETRY)
    }
}

impl Engine {
    /// Tries the parked datagrams again, and gives up those that have waited for too long.
    pub(crate) fn poll_parked(&mut self) {
        for _ in 0..self.datagrams.parked.len() {
            if !self.transmit.has_room() {
                return;
            }
            let Some((deadline, mut sockets)) = self.datagrams.parked.pop_front() else { return };
            self.send_from(&mut sockets);
            if self.interface.poll_at(self.now, &sockets).is_none() {
                continue;
            }
            if deadline <= self.now {
                self.counters.unresolved += 1;
            } else {
                self.datagrams.parked.push_back((deadline, sockets));
            }
        }
    }

    /// Sends a datagram from `port` and the local address that is given, or parks it; there must be a buffer to send from. `false`:
    /// it cannot be sent to there.
    pub(crate) fn send_datagram(&mut self, port: u16, bytes: &[u8], to: UdpMetadata) -> bool {
        // The limit on the MTU may be lifted while the socket is kept.
        let mtu = self.transmit.full_mtu();
        let (mut sockets, handle) = self.datagrams.sender.take().unwrap_or_else(|| sender(mtu));
        let socket: &mut Socket<'static> = sockets.get_mut(handle);
        socket.close();
        if socket.bind(port).is_err() || socket.send_slice(bytes, to).is_err() {
            return false;
        }
        let queued = self.transmit.queued();
        self.send_from(&mut sockets);
        if sockets.get::<Socket<'static>>(handle).can_send() {
            self.datagrams.sender = Some((sockets, handle));
        } else {
            let asked = self.transmit.queued() > queued;
            self.park(sockets);
            self.ask(to.endpoint.addr, None, asked);
        }
        true
    }

    /// Gives up all parked datagrams, as the address that they would leave from may be no more.
    pub(crate) fn give_up_parked(&mut self) {
        self.counters.unresolved += self.datagrams.parked.len() as u64;
        self.datagrams.parked.clear();
    }

    fn park(&mut self, sockets: SocketSet<'static>) {
        if self.datagrams.parked.len() == MAX_PARKED {
            self.datagrams.parked.pop_front();
            self.counters.unresolved += 1;
        }
        self.datagrams.parked.push_back((self.now + PARKED, sockets));
    }
}

/// A socket that sends and receives datagrams on a port, on all addresses of the stack.
#[derive(Debug)]
pub struct UdpSocket {
    engine: Shared,
    port: u16,
    handle: SocketHandle,
}

/// Why a datagram was not sent or not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpError {
    /// The datagram has this many bytes more than fit the link's MTU, or the buffer that was to receive it; it is lost.
    TooLong(usize),
    /// The receiver's address cannot be reached from any address of the stack, or is not one.
    Unreachable,
}

impl fmt::Display for UdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(excess) => write!(f, "the datagram is {excess} bytes too long"),
            Self::Unreachable => f.write_str("no address of this host reaches the peer"),
        }
    }
}

impl core::error::Error for UdpError {}

impl UdpSocket {
    /// A socket on `port`, or on a free one where `port` is 0, with the default [`UdpOptions`].
    ///
    /// # Errors
    ///
    /// A [`BindError`].
    pub fn bind(stack: &Stack, port: u16) -> Result<Self, BindError> {
        Self::bind_with(stack, port, UdpOptions::default())
    }

    /// As [`bind`](Self::bind), with other buffers.
    ///
    /// # Errors
    ///
    /// A [`BindError`].
    pub fn bind_with(stack: &Stack, port: u16, options: UdpOptions) -> Result<Self, BindError> {
        let mut engine = stack.0.borrow_mut();
        let is_free =
            |engine: &Engine, port: u16| (!engine.datagrams.ports.contains_key(&port)).then_some(port);
        let port = match port {
            0 => engine.pick_port(is_free),
            port => is_free(&engine, port),
        }
        .ok_or(BindError::InUse(port))?;
        let receive =
            buffer(options.receive_datagrams, options.receive_buffer).ok_or(BindError::BadBuffer)?;
        let mut socket = Socket::new(receive, PacketBuffer::new(vec![], vec![]));
        socket.bind(port).map_err(|_| BindError::NoPort)?;
        let handle = engine.datagrams.receivers.add(socket);
        engine.datagrams.ports.insert(port, handle);
        Ok(Self { engine: stack.0.clone(), port, handle })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for the next datagram. Yields its length, and where it came from and was sent to: an answer that is sent to
    /// this leaves from the address that was asked.
    ///
    /// # Errors
    ///
    /// [`UdpError::TooLong`] where the datagram does not fit `buffer`.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, UdpMetadata), UdpError> {
        poll_fn(|context| self.poll_recv(context, buffer)).await
    }

    fn poll_recv(
        &self,
        context: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<(usize, UdpMetadata), UdpError>> {
        let mut engine = self.engine.borrow_mut();
        let socket: &mut Socket<'static> = engine.datagrams.receivers.get_mut(self.handle);
        let Ok((bytes, mut peer)) = socket.recv() else {
            socket.register_recv_waker(context.waker());
            return Poll::Pending;
        };
        let Some(place) = buffer.get_mut(..bytes.len()) else {
            return Poll::Ready(Err(UdpError::TooLong(bytes.len() - buffer.len())));
        };
        place.copy_from_slice(bytes);
        let length = bytes.len();
        // What was sent to a group is answered by one.
        peer.local_address = peer.local_address.filter(|&address| engine.interface.has_ip_addr(address));
        Poll::Ready(Ok((length, peer)))
    }

    /// Sends a datagram to an endpoint, or back to where one [came from](Self::recv_from). Waits while the device has no
    /// room for it. Ends when it is on its way, which says nothing of its arrival.
    ///
    /// # Errors
    ///
    /// A [`UdpError`].
    pub async fn send_to(&self, bytes: &[u8], to: impl Into<UdpMetadata>) -> Result<(), UdpError> {
        let to = to.into();
        poll_fn(|context| self.poll_send(context, bytes, to)).await
    }

    fn poll_send(&self, context: &Context<'_>, bytes: &[u8], to: UdpMetadata) -> Poll<Result<(), UdpError>> {
        let mut engine = self.engine.borrow_mut();
        let address = to.endpoint.addr;
        let header = UDP_HEADER_LEN
            + match address {
                IpAddress::Ipv4(_) => IPV4_HEADER_LEN,
                IpAddress::Ipv6(_) => IPV6_HEADER_LEN,
            };
        let room = engine.transmit.mtu().saturating_sub(header);
        if bytes.len() > room {
            return Poll::Ready(Err(UdpError::TooLong(bytes.len() - room)));
        }
        let source = to.local_address.or_else(|| engine.source_address(address));
        let possible = source.is_some_and(|source| {
            source.version() == address.version() && engine.interface.has_ip_addr(source)
        });
        if !possible || address.is_unspecified() || to.endpoint.port == 0 {
            return Poll::Ready(Err(UdpError::Unreachable));
        }
        if !engine.transmit.has_room() {
            engine.register_sender(context.waker());
            engine.wake_driver();
            return Poll::Pending;
        }
        engine.tick();
        let to = UdpMetadata { local_address: source, ..to };
        if !engine.send_datagram(self.port, bytes, to) {
            return Poll::Ready(Err(UdpError::Unreachable));
        }
        engine.wake_driver();
        Poll::Ready(Ok(()))
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let mut engine = self.engine.borrow_mut();
        engine.datagrams.ports.remove(&self.port);
        engine.datagrams.receivers.remove(self.handle);
    }
}

/// A socket that sends one datagram at a time, so that none holds up another, on a link with this MTU.
fn sender(mtu: usize) -> (SocketSet<'static>, SocketHandle) {
    let socket = Socket::new(
        PacketBuffer::new(vec![], vec![]),
        PacketBuffer::new(vec![PacketMetadata::EMPTY; 1], vec![0; mtu]),
    );
    let mut sockets = SocketSet::new(Vec::with_capacity(1));
    let handle = sockets.add(socket);
    (sockets, handle)
}

/// A ring for datagrams; `None` where it would be empty or there is no memory for it.
fn buffer(datagrams: usize, bytes: usize) -> Option<PacketBuffer<'static>> {
    if datagrams == 0 || bytes == 0 {
        return None;
    }
    let (mut entries, mut payload) = (Vec::new(), Vec::new());
    entries.try_reserve_exact(datagrams).ok()?;
    entries.resize(datagrams, PacketMetadata::EMPTY);
    payload.try_reserve_exact(bytes).ok()?;
    payload.resize(bytes, 0);
    Some(PacketBuffer::new(entries, payload))
}
