//! TCP connections: where each one stands, and how it is found by addresses, by time and by having something to do.
//!
//! Each lives in a smoltcp socket set of its own. smoltcp looks through a whole set for each frame and each poll; with
//! one socket in a set, work is done only for the connection that has some, however many there are.

use crate::classify::Tuple;
use crate::config::TcpOptions;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use slab::Slab;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpAddress, TcpSeqNumber};

/// How many unanswered questions end a connection with keep-alive.
const KEEP_ALIVE_PROBES: u32 = 4;
/// What a connection takes beside its buffers, roughly, in bytes: smoltcp's state and the entries here.
const OVERHEAD: usize = 1024;

/// Whose a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A SYN came for the listener on this port; the handshake is not over.
    Opening { port: u16 },
    /// It waits in the queue of the listener on this port.
    Ready { port: u16 },
    /// A `TcpStream` has it.
    Owned,
    /// Nobody has it any more; it goes once all is sent and acknowledged, or when its deadline is there.
    Orphan,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sockets: SocketSet<'static>,
    handle: SocketHandle,
    pub(crate) stage: Stage,
    /// Under which addresses it is found.
    tuple: Option<Tuple>,
    /// Whether it is in the queue of those that have something to do.
    dirty: bool,
    /// When it is looked at again.
    timer: Option<Instant>,
    /// When its handshake or its end must be over.
    pub(crate) deadline: Option<Instant>,
    /// Its deadline came.
    pub(crate) timed_out: bool,
    /// What its peer has acknowledged last.
    pub(crate) acknowledged: Option<TcpSeqNumber>,
    /// Whether it ever sent anything.
    pub(crate) spoke: bool,
    /// Whether what is received is thrown away: its owner is waiting for the end.
    pub(crate) discards: bool,
    /// Whether it is in TIME-WAIT with no owner.
    waits: bool,
    /// Its number among those that only wait for the peer's end.
    half_closed: Option<u64>,
    bytes: usize,
}

impl Connection {
    pub(crate) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Ends it here, without a word to the peer; its owner learns of it as of a reset.
    pub(crate) fn cut(&mut self) {
        // Wakes those who wait for it. Its reset is never sent, as it goes with its set.
        self.socket().abort();
        let closed = Socket::new(SocketBuffer::new(vec![]), SocketBuffer::new(vec![]));
        self.sockets = SocketSet::new(Vec::with_capacity(1));
        self.handle = self.sockets.add(closed);
    }

    /// Throws away what was received.
    pub(crate) fn discard(&mut self) {
        while let Ok(1..) = self.socket().recv(|bytes| (bytes.len(), bytes.len())) {}
    }
}

/// All connections of a stack.
#[derive(Debug)]
pub(crate) struct Connections {
    slab: Slab<Connection>,
    by_tuple: BTreeMap<Tuple, usize>,
    timers: BTreeSet<(Instant, usize)>,
    dirty: VecDeque<usize>,
    /// Those in TIME-WAIT without an owner, oldest first; may name some that are gone.
    time_wait: VecDeque<usize>,
    /// Those that only wait for the peer's end, oldest first.
    half_closed: BTreeMap<u64, usize>,
    last_half_closed: u64,
    bytes: usize,
    max_connections: usize,
    max_bytes: usize,
}

impl Connections {
    pub(crate) fn new(max_connections: usize, max_bytes: usize) -> Self {
        Self {
            slab: Slab::new(),
            by_tuple: BTreeMap::new(),
            timers: BTreeSet::new(),
            dirty: VecDeque::new(),
            time_wait: VecDeque::new(),
            half_closed: BTreeMap::new(),
            last_half_closed: 0,
            bytes: 0,
            max_connections,
            max_bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn get(&mut self, id: usize) -> Option<&mut Connection> {
        self.slab.get_mut(id)
    }

    pub(crate) fn find(&self, tuple: &Tuple) -> Option<usize> {
        self.by_tuple.get(tuple).copied()
    }

    /// Those that came for the listener on `port` and that nobody has accepted.
    pub(crate) fn of_listener(&self, port: u16) -> Vec<usize> {
        let its = |stage| stage == Stage::Opening { port } || stage == Stage::Ready { port };
        self.slab.iter().filter(|(_, connection)| its(connection.stage)).map(|(id, _)| id).collect()
    }

    /// Those whose own address this is.
    pub(crate) fn of_address(&self, address: IpAddress) -> Vec<usize> {
        let its = self.by_tuple.iter().filter(|(tuple, _)| tuple.local.addr == address);
        its.map(|(_, &id)| id).collect()
    }

    /// Adds a closed socket, if limits and memory allow. Those that nobody has any more and whose data has all arrived give way.
    pub(crate) fn add(&mut self, tuple: Tuple, options: &TcpOptions, stage: Stage) -> Option<usize> {
        let bytes = options.receive_buffer.checked_add(options.send_buffer)?.checked_add(OVERHEAD)?;
        while self.slab.len() >= self.max_connections || self.max_bytes.saturating_sub(self.bytes) < bytes {
            self.end_time_wait().or_else(|| self.end_half_closed())?;
        }
        let mut socket = Socket::new(
            SocketBuffer::new(zeroed(options.receive_buffer)?),
            SocketBuffer::new(zeroed(options.send_buffer)?),
        );
        socket.set_nagle_enabled(options.nagle);
        set_keep_alive(&mut socket, options.keep_alive);
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        self.bytes += bytes;
        let id = self.slab.insert(Connection {
            sockets,
            handle,
            stage,
            tuple: Some(tuple),
            dirty: false,
            timer: None,
            deadline: None,
            timed_out: false,
            acknowledged: None,
            spoke: false,
            discards: false,
            waits: false,
            half_closed: None,
            bytes,
        });
        self.by_tuple.insert(tuple, id);
        Some(id)
    }

    /// Forgets a connection; nothing is sent.
    pub(crate) fn remove(&mut self, id: usize) {
        self.unmap(id);
        self.set_timer(id, None);
        if let Some(connection) = self.slab.try_remove(id) {
            self.bytes -= connection.bytes;
            if let Some(number) = connection.half_closed {
                self.half_closed.remove(&number);
            }
        }
    }

    /// No frame belongs to it any more.
    pub(crate) fn unmap(&mut self, id: usize) {
        if let Some(tuple) = self.slab.get_mut(id).and_then(|connection| connection.tuple.take()) {
            self.by_tuple.remove(&tuple);
        }
    }

    /// Queues it as one that has something to do.
    pub(crate) fn mark(&mut self, id: usize) {
        if let Some(connection) = self.slab.get_mut(id)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// How many are queued, at most.
    pub(crate) fn marked(&self) -> usize {
        self.dirty.len()
    }

    /// The next one that has something to do.
    pub(crate) fn take_marked(&mut self) -> Option<usize> {
        while let Some(id) = self.dirty.pop_front() {
            if let Some(connection) = self.slab.get_mut(id)
                && connection.dirty
            {
                connection.dirty = false;
                return Some(id);
            }
        }
        None
    }

    /// Has it looked at when `wanted` is there, or sooner. An earlier timer stays: most are moved back again and again,
    /// and looking once in vain is cheaper.
    pub(crate) fn look_at(&mut self, id: usize, wanted: Option<Instant>) {
        let Some(connection) = self.slab.get_mut(id) else { return };
        let wanted = [wanted, connection.deadline].into_iter().flatten().min();
        if let Some(wanted) = wanted
            && connection.timer.is_none_or(|timer| wanted < timer)
        {
            self.set_timer(id, Some(wanted));
        }
    }

    /// The next one whose timer is there; the timer is then gone.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<usize> {
        let &(instant, id) = self.timers.first().filter(|(instant, _)| *instant <= now)?;
        debug_assert_eq!(self.slab.get(id).and_then(|connection| connection.timer), Some(instant));
        self.set_timer(id, None);
        Some(id)
    }

    /// When the next timer is there.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|&(instant, _)| instant)
    }

    /// It is in TIME-WAIT and has no owner: it stays while there is room, `most` of them at once.
    pub(crate) fn wait(&mut self, id: usize, most: usize) {
        let Some(connection) = self.slab.get_mut(id) else { return };
        if core::mem::replace(&mut connection.waits, true) {
            return;
        }
        connection.deadline = None;
        self.time_wait.push_back(id);
        while self.time_wait.len() > most {
            self.end_time_wait();
        }
    }

    /// It has no owner and waits for nothing but the peer's end: it goes when room is needed.
    pub(crate) fn half_close(&mut self, id: usize) {
        let Some(connection) = self.slab.get_mut(id) else { return };
        if connection.half_closed.is_none() {
            self.last_half_closed += 1;
            connection.half_closed = Some(self.last_half_closed);
            self.half_closed.insert(self.last_half_closed, id);
        }
    }

    /// Removes the one that has waited for the peer's end for longest.
    fn end_half_closed(&mut self) -> Option<()> {
        let (_, id) = self.half_closed.pop_first()?;
        self.remove(id);
        Some(())
    }

    /// Removes the one that has been in TIME-WAIT for longest.
    fn end_time_wait(&mut self) -> Option<()> {
        while let Some(id) = self.time_wait.pop_front() {
            if self.slab.get(id).is_some_and(|connection| connection.waits) {
                self.remove(id);
                return Some(());
            }
        }
        None
    }

    fn set_timer(&mut self, id: usize, timer: Option<Instant>) {
        let Some(connection) = self.slab.get_mut(id) else { return };
        if let Some(old) = core::mem::replace(&mut connection.timer, timer) {
            self.timers.remove(&(old, id));
        }
        if let Some(timer) = timer {
            self.timers.insert((timer, id));
        }
    }
}

/// Whether a SYN from the same addresses may take the place of a connection in this state.
pub(crate) fn gives_way(state: State) -> bool {
    matches!(state, State::TimeWait | State::Closed)
}

/// See [`TcpOptions::keep_alive`].
pub(crate) fn set_keep_alive(socket: &mut Socket<'_>, interval: Option<core::time::Duration>) {
    let interval = interval.map(Duration::from);
    socket.set_keep_alive(interval);
    socket.set_timeout(interval.map(|interval| interval * KEEP_ALIVE_PROBES));
}

/// Bytes for a buffer; `None` where there is no memory for them.
pub(crate) fn zeroed(length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    bytes.try_reserve_exact(length).ok()?;
    bytes.resize(length, 0);
    Some(bytes)
}
