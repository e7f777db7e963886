//! The driver: carries frames between a stack and the ring.
//!
//! A turn takes all completions there are, shows the received frames to the stack, lets the tasks that this woke have
//! theirs, and then submits all that is to be sent: one exit carries many frames both ways.
//!
//! Where the monitor can, it puts all frames that have come into one buffer, one behind the other. So a few buffers are enough,
//! which stay in the processor's caches.

use crate::ring::{Queue, completion_entries};
use crate::{task, time};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use slab::Slab;
use ukvm_abi::boot_info::{DeviceInfo, QUIET_SENDS};
use ukvm_abi::net as abi;
use ukvm_abi::request::{NET_HEADERS_SIZE, Opcode, QUIET, Request, Status};
use ukvm_net_stack::{LONGEST_PACKET, Link, Offloads, Outgoing, Wire};

/// The most requests under way in each direction.
const MOST: usize = 256;
/// The fewest.
const LEAST: usize = 16;
/// What the buffers of one direction take at most, in bytes, unless the fewest take more. Not for large frames.
const MEMORY: usize = 1 << 20;
/// Buffers for batches: one for the stack, and for the monitor more than it fills at once.
const BATCHES: usize = 4;
/// The longest frames that fit into a buffer for batches, at least. What the buffers hold together is what can be on its way to
/// the guest at full speed.
const FRAMES_OF_BATCH: usize = 4;
/// The bytes of a buffer for batches, at least.
const LEAST_BATCH: usize = 32 << 10;
/// The part of the heap that buffers to receive large frames in may take, where each takes one. They are touched only as frames come.
const LARGE_RECEIVE_PART: usize = 8;
/// The part of the heap that buffers to send large frames from may take. They are made when they are needed.
const LARGE_SEND_PART: usize = 32;
/// The most large frames under way to the device.
const MOST_LARGE: usize = 32;
/// Bytes of a VLAN tag (IEEE 802.1Q), which a frame may have beyond the MTU.
const VLAN_TAG: usize = 4;
/// The token of the request for the link's state.
const LINK: u32 = u32::MAX;
/// How long a receive that failed rests.
const PAUSE: Duration = Duration::from_millis(100);

/// How many buffers a driver has, and how large they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffers {
    is_batched: bool,
    receiving: usize,
    receive_size: usize,
    sending: usize,
    send_size: usize,
    sending_large: usize,
}

impl Buffers {
    /// For the device with this information, in a guest with a heap of so many bytes.
    pub(super) fn new(info: &DeviceInfo, heap: usize) -> Self {
        let most = MOST.min(completion_entries() / 4);
        let size = NET_HEADERS_SIZE + VLAN_TAG + usize::from(info.mtu);
        let sending = (MEMORY / size).min(most).max(LEAST);
        let is_batched = info.features & abi::BATCHED_RECEIVE != 0;
        let (receiving, receive_size) = if is_batched {
            let least = abi::least_receive_buffer(info.features, info.mtu);
            (BATCHES, (FRAMES_OF_BATCH * least).max(LEAST_BATCH))
        } else if info.features & (abi::GUEST_TSO4 | abi::GUEST_TSO6) != 0 {
            ((heap / LARGE_RECEIVE_PART / abi::LONGEST).min(most).max(LEAST), abi::LONGEST)
        } else {
            (sending, size)
        };
        let cuts = info.features & (abi::HOST_TSO4 | abi::HOST_TSO6) != 0;
        let sending_large = if cuts { (heap / LARGE_SEND_PART / LONGEST_PACKET).min(MOST_LARGE) } else { 0 };
        Self { is_batched, receiving, receive_size, sending, send_size: size, sending_large }
    }

    /// Their bytes.
    pub(super) fn memory(&self) -> usize {
        self.receiving * self.receive_size
            + self.sending * self.send_size
            + self.sending_large * LONGEST_PACKET
    }

    /// The device as the stack sees it.
    pub(super) fn link(&self, info: &DeviceInfo) -> Link {
        let has = |feature| info.features & feature != 0;
        let offloads = Offloads {
            checksum: has(abi::CSUM),
            tso4: has(abi::HOST_TSO4),
            tso6: has(abi::HOST_TSO6),
            large_buffers: self.sending_large,
        };
        Link { mac: info.mac, mtu: info.mtu, buffers: self.sending, offloads }
    }
}

/// Drives `wire` by a task of its own, for ever.
/// `tells_link`: the device says whether frames can pass.
pub(super) fn drive(handle: u32, buffers: &Buffers, tells_link: bool, wire: Wire) {
    let Buffers { is_batched, receiving, receive_size, sending, .. } = *buffers;
    let mut driver = Driver {
        handle,
        // One more for the link.
        queue: Queue::new(receiving + sending + 1),
        wire,
        may_be_quiet: crate::boot_info().features & QUIET_SENDS != 0,
        is_batched,
        receiving,
        receive_size,
        area: Box::new_uninit_slice(receiving * receive_size),
        arrived: VecDeque::with_capacity(receiving),
        failed: Vec::new(),
        retry: None,
        sending: Slab::with_capacity(sending),
        woke_others: false,
        sleep: None,
        complained: false,
    };
    drop(task::spawn(async move {
        for token in 0..driver.receiving {
            driver.post(token as u32);
        }
        if tells_link {
            // Until it is told otherwise, the stack takes it that they can.
            driver.ask_link(true);
        }
        poll_fn(|context| driver.turn(context)).await
    }));
}

struct Driver {
    handle: u32,
    queue: Queue,
    wire: Wire,
    /// Whether the monitor knows quiet requests.
    may_be_quiet: bool,
    /// Whether a buffer to receive in takes several frames.
    is_batched: bool,
    /// How many buffers there are to receive in; a buffer's index is its token.
    receiving: usize,
    /// The bytes of each.
    receive_size: usize,
    /// The buffers to receive in, one after the other. Not zeroed: what no frame comes to is never touched.
    area: Box<[MaybeUninit<u8>]>,
    /// Received and not yet shown to the stack in full.
    arrived: VecDeque<Arrived>,
    /// Tokens of buffers whose requests failed, to be tried again after a pause.
    failed: Vec<u32>,
    /// When the pause is over.
    retry: Option<Duration>,
    /// The buffers under way to the device; a buffer's key is its token, counted on from the receiving ones.
    sending: Slab<Box<[u8]>>,
    /// The stack has woken tasks, which go first.
    woke_others: bool,
    sleep: Option<(Duration, time::Sleep)>,
    complained: bool,
}

/// A buffer that the monitor has filled.
struct Arrived {
    token: u32,
    /// What of it the stack has yet to see.
    rest: Range<usize>,
}

impl Driver {
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            self.take_completions();
            self.wire.register(context.waker());
            if self.show_received() {
                self.woke_others = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.woke_others = false;
            self.wire.poll();
            while let Some(frame) = self.wire.transmit() {
                self.send(frame);
            }
            let more = !self.arrived.is_empty() && self.wire.can_receive();
            if !more && self.queue.poll_ready(context).is_pending() && self.poll_sleep(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn take_completions(&mut self) {
        while let Some((token, result)) = self.queue.take() {
            if token == LINK {
                // A monitor that cannot say it is not asked again.
                if let Ok(state) = result {
                    self.wire.set_link(state != 0);
                    self.ask_link(state != 0);
                }
                continue;
            }
            let receiving = self.receiving;
            match ((token as usize).checked_sub(receiving), result) {
                (None, Ok(length)) => {
                    let rest = 0..self.receive_size.min(length as usize);
                    self.arrived.push_back(Arrived { token, rest });
                }
                (None, Err(status)) => {
                    self.complain("receive", status);
                    self.failed.push(token);
                    self.retry.get_or_insert_with(|| time::monotonic() + PAUSE);
                }
                (Some(key), result) => {
                    if let Err(status) = result {
                        self.complain("send", status);
                    }
                    self.wire.release(self.sending.remove(key));
                }
            }
        }
    }

    /// Shows what has arrived to the stack, unless that was just done and the tasks that it woke come first. Whether there
    /// was anything.
    fn show_received(&mut self) -> bool {
        let mut any = false;
        while !self.woke_others
            && self.wire.can_receive()
            && let Some(Arrived { token, rest }) = self.arrived.front_mut()
        {
            let token = *token;
            let buffer = &self.area[token as usize * self.receive_size..][rest.clone()];
            let (packet, used) = if self.is_batched { record(buffer) } else { (buffer, buffer.len()) };
            // SAFETY: the monitor has written the packet to the buffer of this token, and the buffer is ours again.
            let packet = unsafe { core::slice::from_raw_parts(packet.as_ptr().cast(), packet.len()) };
            self.wire.receive(packet);
            any = true;
            rest.start += used;
            if rest.start >= rest.end {
                self.arrived.pop_front();
                self.post(token);
            }
        }
        any
    }

    /// Has the device receive into a buffer.
    fn post(&mut self, token: u32) {
        let buffer = &mut self.area[token as usize * self.receive_size..][..self.receive_size];
        let request = Request {
            opcode: Opcode::NetReceive as u16,
            device: self.handle,
            address: buffer.as_mut_ptr() as u64,
            length: buffer.len() as u64,
            ..Request::default()
        };
        // SAFETY: the buffer is the driver's, whose task never ends and is never cancelled, and nobody touches it until
        // its token comes back from the queue.
        unsafe { self.queue.submit(request, token) };
    }

    /// Has the device say when the link's state is another than this.
    fn ask_link(&mut self, is_up: bool) {
        let request = Request {
            opcode: Opcode::NetLink as u16,
            device: self.handle,
            offset: is_up.into(),
            ..Request::default()
        };
        // SAFETY: the request has no buffer.
        unsafe { self.queue.submit(request, LINK) };
    }

    fn send(&mut self, frame: Outgoing) {
        // Nobody waits for the buffer while there are others.
        let is_quiet = self.may_be_quiet && self.wire.can_receive();
        let (address, length) = (frame.buffer.as_ptr() as u64, frame.length as u64);
        let key = self.sending.insert(frame.buffer);
        let request = Request {
            opcode: Opcode::NetSend as u16,
            flags: if is_quiet { QUIET } else { 0 },
            device: self.handle,
            address,
            length,
            ..Request::default()
        };
        // SAFETY: the buffer stays among those under way, untouched, until its token comes back from the queue; the
        // driver's task never ends and is never cancelled.
        unsafe { self.queue.submit(request, (self.receiving + key) as u32) };
    }

    /// Ready once the stack's deadline is there, or a failed receive has rested.
    fn poll_sleep(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = [self.wire.deadline(), self.retry].into_iter().flatten().min() else {
            self.sleep = None;
            return Poll::Pending;
        };
        if self.sleep.as_ref().is_none_or(|&(old, _)| old != deadline) {
            self.sleep = Some((deadline, time::sleep_until(deadline)));
        }
        let Some((_, sleep)) = &mut self.sleep else { return Poll::Pending };
        if Pin::new(sleep).poll(context).is_pending() {
            return Poll::Pending;
        }
        self.sleep = None;
        if self.retry.take_if(|retry| *retry <= time::monotonic()).is_some() {
            for token in core::mem::take(&mut self.failed) {
                self.post(token);
            }
        }
        Poll::Ready(())
    }

    /// Says so once.
    fn complain(&mut self, what: &str, status: Status) {
        if !core::mem::replace(&mut self.complained, true) {
            log::warn!("the host failed to {what} a frame: {status:?}");
        }
    }
}

/// The first packet of a batch, and the bytes of its record. A batch that cannot be ends with a packet of no bytes.
fn record(batch: &[MaybeUninit<u8>]) -> (&[MaybeUninit<u8>], usize) {
    let packet = batch.split_first_chunk::<{ abi::RECORD_HEADER }>().and_then(|(header, rest)| {
        // SAFETY: each record begins with a header, which the monitor has written.
        let length = u64::from_le_bytes(header.map(|byte| unsafe { byte.assume_init() }));
        rest.get(..usize::try_from(length).ok()?)
    });
    packet.map_or((&[], batch.len()), |packet| (packet, abi::record_size(packet.len())))
}
