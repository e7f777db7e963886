//! The driver's end of a stack: frames in, frames out, and when to look again.

use crate::engine::Shared;
use crate::header;
use crate::transmit::Transmit;
use alloc::boxed::Box;
use core::task::Waker;
use core::time::Duration;
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::ETHERNET_HEADER_LEN;

/// What a driver sees of a stack. It does no I/O: whoever holds it carries packets between it and a device. A packet is a virtio-net
/// header of [`HEADER_SIZE`](crate::HEADER_SIZE) bytes and an Ethernet frame, both ways: what a TAP with `IFF_VNET_HDR` reads and
/// writes, and what the monitor passes on. All that the header means is dealt with here.
///
/// A driver's turn: [`release`](Self::release) the buffers that the device is done with, [`receive`](Self::receive) what has
/// come, let the tasks run that this woke, [`poll`](Self::poll), pass on what [`transmit`](Self::transmit) yields, and
/// sleep until a frame comes, a transmission ends, the [`deadline`](Self::deadline) is there, or the
/// [registered](Self::register) waker is woken.
#[derive(Debug)]
pub struct Wire(pub(crate) Shared);

/// A packet to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// The buffer, to be [released](Wire::release) once it is sent.
    pub buffer: Box<[u8]>,
    /// Bytes of it that count: the header and the frame.
    pub length: usize,
}

impl Wire {
    /// Gives a buffer back after it was sent. With no buffer at hand the stack sends nothing.
    pub fn release(&self, buffer: Box<[u8]>) {
        let mut engine = self.0.borrow_mut();
        engine.transmit.release(buffer);
        engine.wake_senders();
    }

    /// Whether [`receive`](Self::receive) will take a frame: there is a buffer for the answer.
    pub fn can_receive(&self) -> bool {
        self.0.borrow().transmit.has_room()
    }

    /// Hands a received packet to the stack. Any bytes are safe. It is dropped unless [`can_receive`](Self::can_receive).
    ///
    /// The stack takes all that a TAP hands over where `TUN_F_CSUM`, `TUN_F_TSO4` and `TUN_F_TSO6` are set: checksums that
    /// nobody has computed, and segments of TCP that were not cut. It verifies the checksums for which the header does not vouch.
    pub fn receive(&self, packet: &[u8]) {
        if let Some((vouched, frame)) = header::split(packet) {
            self.0.borrow_mut().receive(frame, vouched);
        }
    }

    /// Lets the sockets send what they have, as far as there are buffers, and serves timers.
    pub fn poll(&self) {
        self.0.borrow_mut().poll();
    }

    /// The next packet to be sent.
    pub fn transmit(&self) -> Option<Outgoing> {
        self.0.borrow_mut().transmit.take()
    }

    /// Says that frames can pass from now on, or no more. Until it is told otherwise, the stack takes it that they can. Once they
    /// can again, it looks anew whether its addresses are free, and asks whether a lease still holds.
    pub fn set_link(&self, is_up: bool) {
        self.0.borrow_mut().set_link(is_up);
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

/// The device as smoltcp sees it: one received frame at most, and the buffers for frames to be sent.
#[derive(Debug)]
pub(crate) struct Port<'a> {
    pub(crate) frame: Option<&'a [u8]>,
    pub(crate) transmit: &'a mut Transmit,
    /// Whether the next frame to be sent may join the one before.
    pub(crate) joins: bool,
}

impl<'a> Port<'a> {
    /// With a received frame.
    pub(crate) fn receiving(frame: &'a [u8], transmit: &'a mut Transmit) -> Self {
        Self { frame: Some(frame), transmit, joins: false }
    }

    /// To send.
    pub(crate) fn sending(transmit: &'a mut Transmit) -> Self {
        Self { frame: None, transmit, joins: false }
    }
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
        Some((ReceiveToken(self.frame.take()?), TransmitToken(self.transmit, false)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        if self.transmit.has_room() { Some(TransmitToken(self.transmit, self.joins)) } else { None }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = ETHERNET_HEADER_LEN + self.transmit.mtu();
        // What comes in was verified by `classify`, as far as nobody vouched for it.
        let transport = if self.transmit.completes_checksums() { Checksum::None } else { Checksum::Tx };
        (capabilities.checksum.tcp, capabilities.checksum.udp) = (transport, transport);
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
pub(crate) struct TransmitToken<'a>(&'a mut Transmit, bool);

impl phy::TxToken for TransmitToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        self.0.send(length, self.1, write)
    }
}
