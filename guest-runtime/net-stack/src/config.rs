//! What a stack is told when it is opened.

use crate::lease::is_host_name;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use smoltcp::wire::{IpAddress, IpCidr, Ipv4Address, Ipv6Address};

/// The most addresses of a stack, leased and advertised ones included and the link-local one not counted.
pub const MAX_ADDRESSES: usize = 7;
/// The largest window that TCP can state, in bytes (RFC 7323, section 2.3).
const MAX_TCP_BUFFER: usize = 1 << 30;
/// The least MTU of a link that carries IPv6, in bytes (RFC 8200, section 5).
pub(crate) const IPV6_MIN_MTU: u16 = 1280;

/// The addresses and limits of a stack. The default has no address but the link-local one of IPv6.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Unicast addresses with their prefix lengths, at most [`MAX_ADDRESSES`]. The link-local address of IPv6 that follows
    /// from the hardware address comes by itself. The stack asks whether somebody else on the link has one of them, and does not use it
    /// then: see [`Configuration::conflicts`](crate::Configuration::conflicts).
    pub addresses: Vec<IpCidr>,
    /// Whether to have a DHCP server give an IPv4 address, and what goes with it. Gateways that are named below count before those
    /// that it names.
    pub dhcp: bool,
    /// Whether to use that address at once, as many hosts do, and not only when nobody else on the link has claimed it for 100 ms. It
    /// is checked and given up in either case; here packets may carry it that are another's by right. For who lives for less than a
    /// second.
    pub dhcp_at_once: bool,
    /// The name that a DHCP server is told.
    pub host_name: Option<String>,
    /// Whether to take IPv6 addresses, a router, DNS servers and the MTU from router advertisements (RFC 4862). Addresses that find no
    /// room beside the others are left out.
    pub slaac: bool,
    /// DNS servers, to be asked before those that the network advertises.
    pub dns_servers: Vec<IpAddress>,
    /// Where IPv4 packets to other networks go.
    pub gateway_v4: Option<Ipv4Address>,
    /// Where IPv6 packets to other networks go, whatever routers advertise.
    pub gateway_v6: Option<Ipv6Address>,
    /// The most TCP connections at once, those included that are being opened or closed. `None`: as many as
    /// [`buffer_memory`](Self::buffer_memory) has room for.
    pub max_connections: Option<usize>,
    /// The most bytes of buffers of all TCP connections together. `None`: the runtime takes three quarters of what the
    /// driver's buffers leave of the heap; a stack on its own has no such limit. SYNs that find no room are dropped, so that
    /// their senders try again.
    pub buffer_memory: Option<usize>,
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let addresses = self.fixed() + usize::from(self.slaac);
        if addresses > MAX_ADDRESSES {
            return Err(ConfigError::TooManyAddresses(addresses));
        }
        for cidr in &self.addresses {
            if !cidr.address().is_unicast() {
                return Err(ConfigError::NotUnicast(*cidr));
            }
        }
        let gateways = [self.gateway_v4.map(IpAddress::from), self.gateway_v6.map(IpAddress::from)];
        if let Some(gateway) = gateways.into_iter().flatten().find(|gateway| !gateway.is_unicast()) {
            return Err(ConfigError::BadGateway(gateway));
        }
        if self.host_name.as_deref().is_some_and(|name| !is_host_name(name)) {
            return Err(ConfigError::BadHostName);
        }
        if let Some(server) = self.dns_servers.iter().find(|server| !server.is_unicast()) {
            return Err(ConfigError::BadDnsServer(*server));
        }
        Ok(())
    }

    /// How many addresses there are at most beside those that routers advertise.
    fn fixed(&self) -> usize {
        self.addresses.len() + usize::from(self.dhcp)
    }

    /// How many addresses there may be that routers advertise.
    pub(crate) fn room(&self) -> usize {
        MAX_ADDRESSES.saturating_sub(self.fixed())
    }
}

/// Why a [`Config`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// This many addresses were given, more than [`MAX_ADDRESSES`].
    TooManyAddresses(usize),
    /// An address is a multicast or broadcast address, or the unspecified one.
    NotUnicast(IpCidr),
    /// A gateway's address is a multicast or broadcast address, or the unspecified one.
    BadGateway(IpAddress),
    /// The host's name is none.
    BadHostName,
    /// IPv6 addresses were to come from routers, and the link's MTU is too small for IPv6: this many bytes.
    SmallMtu(u16),
    /// A DNS server's address is a multicast or broadcast address, or the unspecified one.
    BadDnsServer(IpAddress),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyAddresses(count) => {
                write!(f, "{count} addresses are too many: give at most {MAX_ADDRESSES}")
            }
            Self::NotUnicast(cidr) => write!(f, "{cidr} cannot be an own address: give a unicast address"),
            Self::BadGateway(address) => write!(f, "{address} cannot be a gateway: give a unicast address"),
            Self::BadHostName => f.write_str(
                "the host's name cannot be one: use letters, digits and hyphens, at most 63 between dots, 253 in all",
            ),
            Self::SmallMtu(mtu) => write!(
                f,
                "IPv6 needs an MTU of {IPV6_MIN_MTU} bytes, and this link has {mtu}: give it more, or leave out slaac"
            ),
            Self::BadDnsServer(address) => {
                write!(f, "{address} cannot be a DNS server: give a unicast address")
            }
        }
    }
}

impl core::error::Error for ConfigError {}

/// The link that a stack drives.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The hardware address; it must be unicast.
    pub mac: [u8; 6],
    /// The most bytes of a frame's payload behind its Ethernet header, at least 68 (RFC 791).
    pub mtu: u16,
    /// The most frames that are on their way to the device at once. Each takes a buffer of MTU size once it is needed.
    pub buffers: usize,
    /// What the device does with frames that are sent.
    pub offloads: Offloads,
}

/// What a device does with the frames that it is given, so that the stack need not. All that a device may leave to the stack with
/// frames that come in, the stack does: see [`Wire::receive`](crate::Wire::receive).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// It completes the checksums of TCP and UDP.
    pub checksum: bool,
    /// It cuts large frames of TCP over IPv4 into segments. Needs `checksum`.
    pub tso4: bool,
    /// It cuts large frames of TCP over IPv6 into segments. Needs `checksum`.
    pub tso6: bool,
    /// How many buffers of 64 KiB there may be for large frames, beside the others. They are made when they are needed.
    pub large_buffers: usize,
}

/// How TCP sockets are made. Start from the default and change what matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Listeners: the most connections that are being opened or wait to be accepted. SYNs beyond are dropped, so that their
    /// senders try again. They take memory only once they come. Default: 1024.
    pub backlog: usize,
    /// Bytes of each connection's receive buffer, from 1 to 1 GiB: the most that the peer may send ahead. Default: 16 KiB.
    pub receive_buffer: usize,
    /// Bytes of each connection's send buffer, at least 1: the most that is on its way. Default: 16 KiB.
    pub send_buffer: usize,
    /// After how long a silence to ask whether the peer is still there. If four questions in a row stay unanswered,
    /// the connection is reset. Default: never.
    pub keep_alive: Option<Duration>,
    /// Whether a small piece of data waits while other data is under way (RFC 896). Default: no, as all that is written
    /// in one turn of the executor leaves together anyway.
    pub nagle: bool,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            receive_buffer: 16 << 10,
            send_buffer: 16 << 10,
            keep_alive: None,
            nagle: false,
        }
    }
}

impl TcpOptions {
    /// Whether smoltcp can make a socket with these sizes.
    pub(crate) fn is_possible(&self) -> bool {
        (1..=MAX_TCP_BUFFER).contains(&self.receive_buffer)
            && (1..=MAX_TCP_BUFFER).contains(&self.send_buffer)
    }
}

/// How UDP sockets are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// Bytes of datagrams that wait to be received, at least one MTU. Default: 64 KiB.
    pub receive_buffer: usize,
    /// How many datagrams may wait to be received. What comes beyond is dropped. Default: 256.
    pub receive_datagrams: usize,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self { receive_buffer: 64 << 10, receive_datagrams: 256 }
    }
}
