//! What all sockets of a stack share: smoltcp's interface, the connections, and who gets which frame.

use crate::acknowledgment::{Acknowledgment, between};
use crate::classify::{Class, Segment, Tuple, classify};
use crate::config::{Config, ConfigError, IPV6_MIN_MTU, Link, TcpOptions};
use crate::connection::{Connections, Stage, gives_way};
use crate::duplicate::Checks;
use crate::header::Vouched;
use crate::icmp::{ErrorLimit, Refusal};
use crate::interface::{self, link_local};
use crate::lease::Assignment;
use crate::listener::Listening;
use crate::neighbor::Neighbors;
use crate::random::Random;
use crate::routes::{Origin, Routes};
use crate::segments::MOST_HEADERS;
use crate::slaac::Slaac;
use crate::timer::Timers;
use crate::transmit::Transmit;
use crate::udp::Datagrams;
use crate::wire::Port;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::Waker;
use smoltcp::iface::{Interface, PollResult, SocketSet};
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    DHCP_CLIENT_PORT, EthernetAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address, Ipv4Cidr, Ipv6Address,
    Ipv6Cidr,
};

/// How long a handshake may take: time for the SYN and two repetitions after 1 s and 3 s, and their answers.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long to try to connect.
pub(crate) const CONNECT: Duration = Duration::from_secs(20);
/// How long a closed connection may take to get its data and its end acknowledged, and then the peer's end.
pub(crate) const LINGER: Duration = Duration::from_secs(10);
/// How long a reset may wait for the peer's hardware address.
const RESET: Duration = Duration::from_secs(1);
/// How long smoltcp may hold back an acknowledgement.
const ACK_DELAY: Duration = Duration::from_millis(10);
/// The most connections that are kept in TIME-WAIT, each with its buffers. If one more comes, the oldest is forgotten; what
/// its peer might still repeat is answered with a reset.
const MAX_TIME_WAIT: usize = 64;
/// The most segments that a connection sends before others have a turn: two of the largest frames, where they make such.
const BURST: usize = 88;
/// When to look again at a connection that says it has something to do and then does nothing.
const PAUSE: Duration = Duration::from_millis(1);
/// Ports for connections to others and sockets without a wish: the dynamic ones (RFC 6335, section 6).
const DYNAMIC_PORTS: u16 = 49152;

/// The engine, shared by the sockets and the driver. Nobody holds a borrow across an await.
pub(crate) type Shared = Rc<RefCell<Engine>>;

/// What has happened on a stack since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames that were received.
    pub received: u64,
    /// Frames that were dropped as there was no buffer for an answer.
    pub overruns: u64,
    /// Frames that were dropped as they were fragments, or their TCP segment or UDP datagram was cut short or had a wrong checksum.
    pub broken: u64,
    /// SYNs that were dropped because a backlog, the connections' number or their memory was at its limit.
    pub syns_dropped: u64,
    /// Datagrams that were given up because their receiver's hardware address did not become known.
    pub unresolved: u64,
}

pub(crate) struct Engine {
    pub(crate) interface: Interface,
    pub(crate) mac: EthernetAddress,
    pub(crate) neighbors: Neighbors,
    pub(crate) routes: Routes,
    pub(crate) assignment: Assignment,
    pub(crate) transmit: Transmit,
    pub(crate) connections: Connections,
    pub(crate) listeners: BTreeMap<u16, Listening>,
    pub(crate) datagrams: Datagrams,
    pub(crate) error_limit: ErrorLimit,
    pub(crate) checks: Checks,
    pub(crate) slaac: Option<Slaac>,
    /// Those that the stack was told.
    pub(crate) dns_servers: Vec<IpAddress>,
    pub(crate) timers: Timers,
    pub(crate) counters: Counters,
    pub(crate) now: Instant,
    clock: fn() -> core::time::Duration,
    pub(crate) random: Random,
    driver: Option<Waker>,
    /// Those who wait for a buffer to send a datagram.
    senders: Vec<Waker>,
}

impl Engine {
    pub(crate) fn new(
        link: &Link,
        config: &Config,
        seed: [u8; 32],
        clock: fn() -> core::time::Duration,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let mac = EthernetAddress(link.mac);
        let mut transmit = Transmit::new(link);
        let now = instant(clock());
        let mut random = Random::new(seed);
        let mut interface = interface::new(mac, &mut transmit, random.next(), now);
        let has_ipv6 = link.mtu >= IPV6_MIN_MTU;
        if config.slaac && !has_ipv6 {
            return Err(ConfigError::SmallMtu(link.mtu));
        }
        let link_local = has_ipv6.then(|| Ipv6Cidr::new(link_local(mac), 64).into());
        interface.update_ip_addrs(|addresses| {
            // The check above has left room for all.
            addresses.extend(config.addresses.iter().copied().chain(link_local));
        });
        let mut checks = Checks::default();
        for cidr in interface.ip_addrs() {
            if let (IpCidr::Ipv6(cidr), true) = (cidr, has_ipv6) {
                checks.add(*cidr);
            }
        }
        let connections = Connections::new(
            config.max_connections.unwrap_or(usize::MAX),
            config.buffer_memory.unwrap_or(usize::MAX),
        );
        let assignment = Assignment::new(link, config, now, random.fork());
        let mut engine = Self {
            interface,
            mac,
            neighbors: Neighbors::new(),
            routes: Routes::default(),
            assignment,
            transmit,
            connections,
            listeners: BTreeMap::new(),
            datagrams: Datagrams::new(),
            error_limit: ErrorLimit::new(now),
            checks,
            slaac: config.slaac.then(|| Slaac::new(mac, config.room(), now)),
            dns_servers: config.dns_servers.clone(),
            timers: Timers::default(),
            counters: Counters::default(),
            now,
            clock,
            random,
            driver: None,
            senders: Vec::new(),
        };
        let v4 = config
            .gateway_v4
            .map(|gateway| (Ipv4Cidr::new(Ipv4Address::UNSPECIFIED, 0).into(), gateway.into()));
        let v6 = config
            .gateway_v6
            .map(|gateway| (Ipv6Cidr::new(Ipv6Address::UNSPECIFIED, 0).into(), gateway.into()));
        engine.set_routes(Origin::Config, v4.into_iter().chain(v6));
        Ok(engine)
    }

    /// Takes the time.
    pub(crate) fn tick(&mut self) -> Instant {
        self.now = instant((self.clock)()).max(self.now);
        self.now
    }

    pub(crate) fn register_driver(&mut self, waker: &Waker) {
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker)) {
            self.driver = Some(waker.clone());
        }
    }

    /// Tells the driver that there is something to send.
    pub(crate) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    pub(crate) fn register_sender(&mut self, waker: &Waker) {
        if !self.senders.iter().any(|sender| sender.will_wake(waker)) {
            self.senders.push(waker.clone());
        }
    }

    /// There are buffers again.
    pub(crate) fn wake_senders(&mut self) {
        for sender in self.senders.drain(..) {
            sender.wake();
        }
    }

    pub(crate) fn receive(&mut self, frame: &[u8], vouched: Vouched) {
        self.tick();
        self.counters.received += 1;
        if !self.transmit.has_room() {
            self.counters.overruns += 1;
            return;
        }
        match classify(frame, vouched) {
            Class::Tcp(segment) => self.receive_segment(frame, &segment),
            Class::Arp(arp) => self.receive_arp(frame, &arp),
            Class::Neighbor { address } => {
                if !self.check_duplicate(frame) {
                    self.receive_elsewhere(frame);
                    self.answered(address);
                }
            }
            Class::Dhcp if self.assignment.wants_lease() => self.receive_dhcp(frame),
            Class::Dhcp => self.receive_datagram(frame, DHCP_CLIENT_PORT),
            Class::Udp { port } => self.receive_datagram(frame, port),
            Class::Advertisement => self.advertised(frame),
            Class::Unknown { pointer } => self.refuse(frame, Refusal::Protocol { pointer }),
            Class::Other => self.receive_elsewhere(frame),
            Class::Empty => {}
            Class::Broken => self.counters.broken += 1,
        }
    }

    fn receive_segment(&mut self, frame: &[u8], segment: &Segment) {
        let Segment { tuple, opens, .. } = *segment;
        // TCP has neither broadcast nor multicast, and nobody else sends from an address of ours.
        if !self.interface.has_ip_addr(tuple.local.addr) || self.interface.has_ip_addr(tuple.remote.addr) {
            return;
        }
        let port = tuple.local.port;
        let opens = opens && self.listeners.contains_key(&port);
        if let Some(id) = self.connections.find(&tuple) {
            let gives_way = opens
                && self.connections.get(id).is_some_and(|connection| {
                    connection.stage == Stage::Orphan && gives_way(connection.socket().state())
                });
            if !gives_way {
                self.show(id, frame, segment);
                return;
            }
            self.connections.remove(id);
        }
        if !opens {
            // Nobody's: smoltcp answers with a reset.
            self.receive_elsewhere(frame);
        } else if let Some(id) = self.open(port, tuple) {
            self.show(id, frame, segment);
        } else {
            self.counters.syns_dropped += 1;
        }
    }

    /// Makes a connection for a SYN to the listener on `port`, if it and the limits allow one more.
    fn open(&mut self, port: u16, tuple: Tuple) -> Option<usize> {
        let listening = self.listeners.get_mut(&port)?;
        if listening.waiting() >= listening.options.backlog {
            return None;
        }
        let id = self.connections.add(tuple, &listening.options, Stage::Opening { port })?;
        listening.opening += 1;
        let connection = self.connections.get(id)?;
        connection.deadline = Some(self.now + HANDSHAKE);
        // The socket is closed and the port is not 0: it cannot fail.
        let _ = connection.socket().listen(port);
        Some(id)
    }

    /// Shows a frame to its connection.
    fn show(&mut self, id: usize, frame: &[u8], segment: &Segment) {
        let Segment { acknowledges, is_bare, .. } = *segment;
        let Some(connection) = self.connections.get(id) else { return };
        let size = self.transmit.mtu().saturating_sub(MOST_HEADERS).max(1);
        let mut show = |frame: &[u8]| {
            let mut port = Port::receiving(frame, &mut self.transmit);
            self.interface.poll_ingress_single(self.now, &mut port, &mut connection.sockets);
        };
        if let Some(number) = acknowledges {
            let last = connection.acknowledged.replace(number).filter(|_| is_bare);
            let mut earlier = last.into_iter().flat_map(|last| between(last, number, size)).peekable();
            if earlier.peek().is_some()
                && let Some(mut acknowledgment) = Acknowledgment::of(frame)
            {
                earlier.for_each(|number| show(acknowledgment.with(number)));
            }
        }
        show(frame);
        self.connections.mark(id);
        self.settle(id);
    }

    /// A UDP datagram for `port` has come.
    fn receive_datagram(&mut self, frame: &[u8], port: u16) {
        if self.datagrams.has(port) {
            self.receive_elsewhere(frame);
        } else {
            self.refuse(frame, Refusal::Port);
        }
    }

    /// Shows a frame to all that is not a connection.
    pub(crate) fn receive_elsewhere(&mut self, frame: &[u8]) {
        let mut port = Port::receiving(frame, &mut self.transmit);
        self.interface.poll_ingress_single(self.now, &mut port, &mut self.datagrams.receivers);
    }

    /// Serves timers and lets all send that have something to send, as far as there are buffers.
    pub(crate) fn poll(&mut self) {
        let now = self.tick();
        self.poll_assignment();
        while let Some(id) = self.connections.take_expired(now) {
            self.connections.mark(id);
        }
        let mut turns = self.connections.marked();
        while turns > 0 && self.transmit.has_room() {
            let Some(id) = self.connections.take_marked() else { break };
            self.serve(id);
            turns -= 1;
        }
        self.poll_parked();
        self.poll_checks();
        self.poll_slaac();
        self.timers.wake(now);
    }

    /// When to poll again at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.connections.marked() > 0 && self.transmit.has_room() {
            return Some(self.now);
        }
        let own = self.transmit.has_room().then(|| {
            let discovery = [self.checks.next(self.now), self.slaac.as_ref().and_then(Slaac::next)];
            discovery.into_iter().chain([self.assignment.deadline()]).flatten().min()
        });
        let timers = [self.connections.next_timer(), self.datagrams.next_try(self.now), self.timers.next()];
        timers.into_iter().chain(own).flatten().min()
    }

    /// Lets one connection act.
    fn serve(&mut self, id: usize) {
        let now = self.now;
        let Some(connection) = self.connections.get(id) else { return };
        if connection.deadline.is_some_and(|deadline| deadline <= now) && !self.expire(id) {
            return;
        }
        let Some(connection) = self.connections.get(id) else { return };
        let queued = self.transmit.queued();
        let mut sent = 0;
        let mut again = false;
        while !again {
            let mut port = Port::sending(&mut self.transmit);
            port.joins = sent > 0;
            if self.interface.poll_egress(now, &mut port, &mut connection.sockets) == PollResult::None {
                break;
            }
            sent += 1;
            again = sent == BURST;
        }
        let again = again || !self.transmit.has_room();
        let wanted = if again { None } else { self.interface.poll_at(now, &connection.sockets) };
        connection.spoke |= sent > 0;
        // What is new has something to send: what it misses is the peer's hardware address.
        let waits = !connection.spoke && !again;
        let remote = connection.socket().remote_endpoint().filter(|_| waits);
        if again {
            self.connections.mark(id);
        }
        if let Some(remote) = remote {
            self.ask(remote.addr, Some(id), self.transmit.queued() > queued);
        }
        self.connections.look_at(id, wanted.map(|wanted| wanted.max(now + PAUSE)));
        self.settle(id);
        // A delayed acknowledgement of the peer's end leaves before.
        if wanted.is_some_and(|wanted| wanted > now + ACK_DELAY)
            && let Some(connection) = self.connections.get(id)
            && connection.stage == Stage::Orphan
            && connection.socket().state() == State::TimeWait
        {
            self.connections.wait(id, MAX_TIME_WAIT);
        }
    }

    /// The deadline of a connection is there. Whether the connection lives on.
    fn expire(&mut self, id: usize) -> bool {
        let now = self.now;
        let Some(connection) = self.connections.get(id) else { return false };
        connection.deadline = None;
        let state = connection.socket().state();
        match connection.stage {
            // No reset: whoever sent the SYN may not exist.
            Stage::Opening { .. } => {
                self.forget(id);
                return false;
            }
            // The reset could not be sent, or there is nothing to reset.
            Stage::Orphan if gives_way(state) => {
                self.forget(id);
                return false;
            }
            // Its owner has yet to see that it is over.
            Stage::Owned if state == State::Closed => {}
            Stage::Ready { .. } => {}
            Stage::Owned | Stage::Orphan => {
                connection.timed_out = true;
                connection.deadline = Some(now + RESET);
                connection.socket().abort();
            }
        }
        true
    }

    /// Looks at what has become of a connection after it received or sent something.
    pub(crate) fn settle(&mut self, id: usize) {
        let Some(connection) = self.connections.get(id) else { return };
        let stage = connection.stage;
        let socket = connection.socket();
        let state = socket.state();
        let gone = socket.remote_endpoint().is_none();
        match stage {
            Stage::Opening { .. } if gone => self.forget(id),
            Stage::Opening { .. } if state == State::SynReceived => {}
            Stage::Opening { port } => {
                connection.stage = Stage::Ready { port };
                connection.deadline = None;
                if let Some(listening) = self.listeners.get_mut(&port) {
                    listening.opening -= 1;
                    listening.arrived(id);
                }
            }
            Stage::Ready { .. } if gone => self.connections.unmap(id),
            Stage::Ready { .. } => {}
            Stage::Owned => {
                if connection.discards {
                    connection.discard();
                }
                if gone {
                    self.connections.unmap(id);
                }
            }
            Stage::Orphan if gone => self.connections.remove(id),
            Stage::Orphan => {
                connection.discard();
                if state == State::FinWait2 {
                    self.connections.half_close(id);
                }
            }
        }
    }

    /// An own address is no more: connections on it end, without a word to their peers, as nothing may be sent from it.
    pub(crate) fn lose_address(&mut self, address: IpAddress) {
        for id in self.connections.of_address(address) {
            if let Some(connection) = self.connections.get(id) {
                connection.cut();
            }
            self.settle(id);
        }
    }

    /// Removes a connection, at whatever stage it is.
    fn forget(&mut self, id: usize) {
        if let Some(Stage::Opening { port }) = self.connections.get(id).map(|connection| connection.stage)
            && let Some(listening) = self.listeners.get_mut(&port)
        {
            listening.opening -= 1;
        }
        self.connections.remove(id);
    }

    /// The owner of a connection has let go of it: it ends in good order, or with a reset.
    pub(crate) fn orphan(&mut self, id: usize, reset: bool) {
        let now = self.tick();
        let Some(connection) = self.connections.get(id) else { return };
        connection.stage = Stage::Orphan;
        connection.deadline.get_or_insert(now + LINGER);
        let socket = connection.socket();
        crate::connection::set_keep_alive(socket, None);
        if reset {
            socket.abort();
        } else {
            socket.close();
        }
        self.touch(id);
        self.settle(id);
    }

    /// A connection has something to do, or may have.
    pub(crate) fn touch(&mut self, id: usize) {
        self.connections.mark(id);
        self.connections.look_at(id, None);
        self.wake_driver();
    }

    /// Makes a connection that sends a SYN to `remote`.
    pub(crate) fn connect(
        &mut self,
        remote: IpEndpoint,
        options: &TcpOptions,
    ) -> Result<usize, Unconnectable> {
        let now = self.tick();
        let address = self.source_address(remote.addr).ok_or(Unconnectable::Address)?;
        if !self.reaches(remote.addr) || !remote.addr.is_unicast() || remote.port == 0 {
            return Err(Unconnectable::Address);
        }
        let free = |engine: &Self, port: u16| {
            let local = IpEndpoint::new(address, port);
            engine.connections.find(&Tuple { remote, local }).is_none().then_some(local)
        };
        let local = self.pick_port(free).ok_or(Unconnectable::NoRoom)?;
        let id = self
            .connections
            .add(Tuple { remote, local }, options, Stage::Owned)
            .ok_or(Unconnectable::NoRoom)?;
        let connection = self.connections.get(id).ok_or(Unconnectable::NoRoom)?;
        connection.deadline = Some(now + CONNECT);
        if connection.socket().connect(self.interface.context(), remote, local).is_err() {
            self.connections.remove(id);
            return Err(Unconnectable::Address);
        }
        self.touch(id);
        Ok(id)
    }

    /// A dynamic port that suits `choose`, starting at a random one.
    pub(crate) fn pick_port<T>(&mut self, choose: impl Fn(&Self, u16) -> Option<T>) -> Option<T> {
        let start = self.random.next() as u16;
        (0..=u16::MAX - DYNAMIC_PORTS).find_map(|step| {
            choose(self, DYNAMIC_PORTS | start.wrapping_add(step) & (u16::MAX - DYNAMIC_PORTS))
        })
    }

    /// The smoltcp socket of a connection that somebody owns.
    pub(crate) fn socket(&mut self, id: usize) -> Option<&mut Socket<'static>> {
        Some(self.connections.get(id)?.socket())
    }

    /// Has the sockets of a set send what they can.
    pub(crate) fn send_from(&mut self, sockets: &mut SocketSet<'static>) {
        let mut port = Port::sending(&mut self.transmit);
        while self.interface.poll_egress(self.now, &mut port, sockets) != PollResult::None {}
    }
}

/// Why a connection was not even tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unconnectable {
    Address,
    NoRoom,
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine")
            .field("addresses", &self.interface.ip_addrs())
            .field("connections", &self.connections.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// The time as smoltcp has it.
fn instant(time: core::time::Duration) -> Instant {
    Instant::from_micros(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}
