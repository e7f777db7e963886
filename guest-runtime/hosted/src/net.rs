//! The driver: carries frames between a stack and a TAP interface, without a monitor in between.

use crate::{executor, time};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;
use std::error::Error;
use std::fs::File;
use std::time::Duration;
use ukvm_host_net::tap;
use ukvm_net_stack::{Config, HEADER_SIZE, Link, Offloads, Outgoing, Stack, Wire};

/// Packets that go each way in a turn at most, and buffers for those that are sent: as many as a guest's driver has.
const BATCH: usize = 128;
/// Segments of TCP under way that the kernel is to cut, as many as a guest's driver has.
const LARGE: usize = 32;
/// Bytes of the largest packet that is received: headers with a VLAN tag (IEEE 802.1Q), and what IP can have.
const LARGEST: usize = HEADER_SIZE + 18 + 65535;

/// A stack on the TAP interface `name`, with the hardware address `mac`, which must be unicast. The thread's
/// [`block_on`](executor::block_on) drives it from now on.
///
/// # Errors
///
/// Where the interface cannot be attached to, or the addresses cannot be used.
pub fn open(name: &str, mac: [u8; 6], config: &Config) -> Result<Stack, Box<dyn Error>> {
    let tap = tap::attach(name)?;
    rustix::io::ioctl_fionbio(&tap, true)?;
    let mtu = tap::mtu(name)?;
    tap::receive_offloaded(&tap)?;
    let offloads = Offloads { checksum: true, tso4: true, tso6: true, large_buffers: LARGE };
    let link = Link { mac, mtu, buffers: BATCH, offloads };
    let mut seed = [0; 32];
    // So few bytes come all at once (getrandom(2)).
    rustix::rand::getrandom(&mut seed, GetRandomFlags::empty())?;
    let (stack, wire) = Stack::new(&link, config, seed, time::monotonic)?;
    executor::drive(Driver { tap, wire, packet: vec![0; LARGEST], held: None });
    Ok(stack)
}

/// What drives a stack.
pub(crate) struct Driver {
    tap: File,
    wire: Wire,
    /// Where packets are received, one after the other.
    packet: Vec<u8>,
    /// What the interface did not take yet.
    held: Option<Outgoing>,
}

impl Driver {
    /// Sends all there is to send, and receives what has come, as far as neither waits. Whether anything came or went.
    pub(crate) fn turn(&mut self) -> bool {
        self.wire.poll();
        self.send() | self.receive()
    }

    /// When the stack wants a turn at the latest.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.wire.deadline()
    }

    /// What to wait for.
    pub(crate) fn poll_fd(&self) -> PollFd<'_> {
        let flags = if self.held.is_some() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        PollFd::new(&self.tap, flags)
    }

    fn send(&mut self) -> bool {
        let mut any = false;
        while let Some(frame) = self.held.take().or_else(|| self.wire.transmit()) {
            let bytes = frame.buffer.get(..frame.length).unwrap_or(&frame.buffer);
            if rustix::io::write(&self.tap, bytes) == Err(Errno::AGAIN) {
                self.held = Some(frame);
                break;
            }
            // An interface that is down takes none: the frame is lost, as on a cable.
            self.wire.release(frame.buffer);
            any = true;
        }
        any
    }

    fn receive(&mut self) -> bool {
        let mut any = false;
        for _ in 0..BATCH {
            if !self.wire.can_receive() {
                break;
            }
            let Ok(length) = rustix::io::read(&self.tap, &mut *self.packet) else { break };
            self.wire.receive(self.packet.get(..length).unwrap_or_default());
            any = true;
        }
        any
    }
}
