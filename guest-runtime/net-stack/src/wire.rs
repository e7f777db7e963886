//! The driver's end of a stack: frames in, frames out, and when to look again.

use crate::config::Link;
use crate::engine::Shared;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::ETHERNET_HEADER_LEN;

/// What a driver sees of a stack. It does no I/O: whoever holds it carries frames between it and a device.
///
/// A driver's turn: [`release`](Self::release) the buffers that the device is done with, [`receive`](Self::receive) what has
/// come, let the tasks run that this woke, [`poll`](Self::poll), pass on what [`transmit`](Self::transmit) yields, and
/// sleep until a frame comes, a transmission ends, the [`deadline`](Self::deadline) is there, or the
/// [registered](Self::register) waker is woken.
#[derive(Debug)]
pub struct Wire(pub(crate) Shared);

/// A frame to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// The buffer, to be [released](Wire::release) once it is sent.
    pub buffer: Box<[u8]>,
    /// Bytes of it that count: the zeroed headroom and the frame.
    pub length: usize,
}

impl Wire {
    /// Gives the stack a buffer for a frame to be sent, at first or back after it was sent. With no buffer at hand the
    /// stack sends nothing. One that is too small for a full frame is dropped.
    pub fn release(&self, buffer: Box<[u8]>) {
        let mut engine = self.0.borrow_mut();
        engine.transmit.release(buffer);
        engine.wake_senders();
    }

    /// Whether [`receive`](Self::receive) will take a frame: there is a buffer for the answer.
    pub fn can_receive(&self) -> bool {
        self.0.borrow().transmit.has_room()
    }

    /// Hands a received Ethernet frame to the stack. Any bytes are safe. It is dropped unless
    /// [`can_receive`](Self::can_receive).
    pub fn receive(&self, frame: &[u8]) {
        self.0.borrow_mut().receive(frame);
    }

    /// Lets the sockets send what they have, as far as there are buffers, and serves timers.
    pub fn poll(&self) {
        self.0.borrow_mut().poll();
    }

    /// The next frame to be sent.
    pub fn transmit(&self) -> Option<Outgoing> {
        self.0.borrow_mut().transmit.queued.pop_front()
    }

    /// When to [`poll`](Self::poll) at the latest, on the stack's clock; `None` where nothing is due.
    pub fn deadline(&self) -> Option<Duration> {
        let deadline = self.0.borrow().deadline()?;
        Some(Duration::from_micros(deadline.total_micros().max(0) as u64))
    }

    /// Has `waker` woken, once, when a socket has something to be sent.
    pub fn register(&self, waker: &Waker) {
        self.0.borrow_mut().register_driver(waker);
    }
}

/// Frames to be sent, and the buffers for them.
#[derive(Debug)]
pub(crate) struct Transmit {
    free: Vec<Box<[u8]>>,
    queued: VecDeque<Outgoing>,
    headroom: usize,
    mtu: u16,
}

impl Transmit {
    pub(crate) fn new(link: &Link) -> Self {
        Self { free: Vec::new(), queued: VecDeque::new(), headroom: link.headroom, mtu: link.mtu }
    }

    /// The most bytes behind the Ethernet header.
    pub(crate) fn mtu(&self) -> usize {
        usize::from(self.mtu)
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    fn release(&mut self, buffer: Box<[u8]>) {
        if buffer.len() >= self.headroom + ETHERNET_HEADER_LEN + self.mtu() {
            self.free.push(buffer);
        }
    }

    /// How many frames wait for the driver.
    pub(crate) fn queued(&self) -> usize {
        self.queued.len()
    }

    /// Queues a frame of `length` bytes, which `write` makes.
    pub(crate) fn send<R>(&mut self, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let end = self.headroom + length;
        // smoltcp asks for a token only where `transmit` said that there is a buffer, and for no more than the MTU.
        let Some(mut buffer) = self.free.pop_if(|buffer| buffer.len() >= end) else {
            return write(&mut vec![0; length]);
        };
        let (head, rest) = buffer.split_at_mut(self.headroom);
        head.fill(0);
        let result = write(&mut rest[..length]);
        self.queued.push_back(Outgoing { buffer, length: end });
        result
    }
}

/// The device as smoltcp sees it: one received frame at most, and the buffers for frames to be sent.
#[derive(Debug)]
pub(crate) struct Port<'a> {
    pub(crate) frame: Option<&'a [u8]>,
    pub(crate) transmit: &'a mut Transmit,
}

impl Device for Port<'_> {
    type RxToken<'t>
        = ReceiveToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = TransmitToken<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        if !self.transmit.has_room() {
            return None;
        }
        Some((ReceiveToken(self.frame.take()?), TransmitToken(self.transmit)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        if self.transmit.has_room() { Some(TransmitToken(self.transmit)) } else { None }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = ETHERNET_HEADER_LEN + self.transmit.mtu();
        capabilities
    }
}

#[derive(Debug)]
pub(crate) struct ReceiveToken<'a>(&'a [u8]);

impl phy::RxToken for ReceiveToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

#[derive(Debug)]
pub(crate) struct TransmitToken<'a>(&'a mut Transmit);

impl phy::TxToken for TransmitToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        self.0.send(length, write)
    }
}
