//! TCP/IP behind async sockets: smoltcp for the protocols, this crate for who waits for what.
//!
//! There is no I/O here, no clock and no executor, so that the same code runs in a guest and in a test on a host. A [`Stack`]
//! comes with a [`Wire`], its driver's end; `ukvm-runtime` connects that to a network device.
//!
//! Ethernet, ARP with conflict detection, IPv4, DHCP, IPv6 with neighbor discovery, autoconfiguration and detection of duplicate
//! addresses, ICMP echo and errors, UDP, TCP, names by DNS. Not there: fragments (they are dropped), multicast groups, a loopback of
//! its own.
//!
//! 1. `header`: what was left to do for a frame, or is left to the device.
//! 2. `classify`: whether a frame is intact, and which connection it belongs to, if any.
//! 3. `acknowledgment`: how those of large frames are shown to smoltcp.
//! 4. `engine`, `interface`: smoltcp's interface, and how a frame becomes work for some socket.
//! 5. `connection`: all TCP connections, found by address, by time, and by having something to do.
//! 6. `neighbor`: asking for hardware addresses.
//! 7. `routes`: which gateway a packet goes to.
//! 8. `icmp`: who is told that a packet was for nobody.
//! 9. `lease`: IPv4 addresses, from a DHCP server or the program, and whether somebody else has them.
//! 10. `duplicate`: whether somebody else has an IPv6 address.
//! 11. `advertisement`, `slaac`: what routers advertise, and what becomes of it.
//! 12. [`TcpListener`], [`TcpStream`], [`UdpSocket`]: what programs use.
//! 13. `dns`, `resolver`, `timer`: names to addresses.
//! 14. `segments`, `transmit`: frames to be sent, and how segments become one large frame.
//! 15. [`Wire`]: what drivers use.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod acknowledgment;
mod advertisement;
mod classify;
mod config;
mod connection;
mod dns;
mod duplicate;
mod engine;
mod header;
mod icmp;
mod interface;
mod lease;
mod listener;
mod neighbor;
mod options;
mod random;
mod resolver;
mod routes;
mod segments;
mod slaac;
mod tcp;
mod timer;
mod transmit;
mod udp;
mod wire;

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

pub use config::{Config, ConfigError, Link, MAX_ADDRESSES, Offloads, TcpOptions, UdpOptions};
pub use engine::Counters;
pub use header::{HEADER_SIZE, LONGEST_PACKET};
pub use lease::{Configuration, Conflict, Lease, LeaseRoute};
pub use listener::{Accept, BindError, TcpListener};
pub use options::{Options, OptionsError};
pub use resolver::ResolveError;
pub use smoltcp::socket::udp::UdpMetadata;
pub use smoltcp::wire::{IpAddress, IpCidr, IpEndpoint, Ipv4Address, Ipv4Cidr, Ipv6Address};
pub use tcp::{ConnectError, ReadHalf, TcpError, TcpStream, WriteHalf};
pub use udp::{UdpError, UdpSocket};
pub use wire::{Outgoing, Wire};

/// A network stack; clones are the same one.
#[derive(Clone, Debug)]
pub struct Stack(engine::Shared);

impl Stack {
    /// A stack on `link`, and its driver's end. `seed` must be random and secret: all random numbers of the stack come from
    /// it. `clock` is monotonic.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`].
    ///
    /// # Panics
    ///
    /// If the link's hardware address is not unicast.
    pub fn new(
        link: &Link,
        config: &Config,
        seed: [u8; 32],
        clock: fn() -> Duration,
    ) -> Result<(Self, Wire), ConfigError> {
        let engine = Rc::new(RefCell::new(engine::Engine::new(link, config, seed, clock)?));
        Ok((Self(engine.clone()), Wire(engine)))
    }

    /// Listens for TCP connections to `port`, on all addresses.
    ///
    /// # Errors
    ///
    /// A [`BindError`].
    pub fn listen(&self, port: u16, options: TcpOptions) -> Result<TcpListener, BindError> {
        TcpListener::new(&self.0, port, options)
    }

    /// The stack's own addresses that are in use.
    pub fn addresses(&self) -> Vec<IpCidr> {
        self.0.borrow().interface.ip_addrs().to_vec()
    }

    /// How many TCP connections there are, those included that are being opened or closed.
    pub fn connections(&self) -> usize {
        self.0.borrow().connections.len()
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.0.borrow().counters
    }
}
