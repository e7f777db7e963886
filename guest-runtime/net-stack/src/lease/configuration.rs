//! What programs see of a stack's addresses.

use crate::Stack;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use smoltcp::wire::{IpAddress, IpCidr, Ipv4Address, Ipv4Cidr};

/// A stack's addresses, and what else it was told of the network. It changes when a lease comes or goes, when an address turns out
/// to be somebody else's, and when the link goes down or up: see [`Stack::changed`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Configuration {
    /// The addresses in use.
    pub addresses: Vec<IpCidr>,
    /// What a DHCP server has given, while it holds.
    pub lease: Option<Lease>,
    /// The addresses of the [`Config`](crate::Config), and the link-local one, that are not in use, as somebody else has them. Each
    /// is tried again after a minute or a little more.
    pub conflicts: Vec<Conflict>,
    /// Whether the device says that frames can pass.
    pub is_link_up: bool,
}

/// What a DHCP server has given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The address, and the prefix of its network. Where the server gives no mask, that of the address's class (RFC 950);
    /// shorter than it says where a gateway on the link is outside of it (RFC 3442).
    pub address: Ipv4Cidr,
    /// Who has given it, by the name that it goes by; a relay may be in between.
    pub server: Ipv4Address,
    /// For how long from each renewal on; `None`: for ever.
    pub duration: Option<Duration>,
    /// Ways to other networks.
    pub routes: Vec<LeaseRoute>,
    /// Servers of names, the first one first.
    pub dns_servers: Vec<Ipv4Address>,
    /// The domain in which names are looked up.
    pub domain: Option<String>,
    /// The name of this host.
    pub host_name: Option<String>,
    /// The MTU that the server wants, in bytes, at least 68. The stack keeps to its device's.
    pub mtu: Option<u16>,
}

impl Lease {
    /// The way to all networks without one of their own.
    pub fn gateway(&self) -> Option<Ipv4Address> {
        self.routes.iter().find(|route| route.network.prefix_len() == 0).map(|route| route.gateway)
    }
}

/// A way to another network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRoute {
    /// The network; all of them with a prefix of length 0.
    pub network: Ipv4Cidr,
    /// Who passes packets on to it.
    pub gateway: Ipv4Address,
}

/// An address that somebody else has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The address.
    pub address: IpAddress,
    /// The other's hardware address.
    pub other: [u8; 6],
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.other;
        write!(
            f,
            "{} is in use by {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}, so it is not used here: give one of the two another \
             address",
            self.address
        )
    }
}

impl Stack {
    /// What is known now of addresses and the network.
    pub fn configuration(&self) -> Configuration {
        self.0.borrow().configuration()
    }

    /// Waits until the [configuration](Self::configuration) is another than `known`, and yields it. Nothing is missed between two calls,
    /// but of several changes at once only the last is seen.
    pub async fn changed(&self, known: &Configuration) -> Configuration {
        poll_fn(|context| {
            let mut engine = self.0.borrow_mut();
            let current = engine.configuration();
            if current != *known {
                return Poll::Ready(current);
            }
            engine.assignment.watch(context.waker());
            Poll::Pending
        })
        .await
    }

    /// Waits until there are addresses to use: with [`dhcp`](crate::Config::dhcp) until there is a lease, with
    /// [`slaac`](crate::Config::slaac) until there is an address of an advertised prefix, with both until there is either, else not at
    /// all.
    pub async fn configured(&self) {
        let mut configuration = self.configuration();
        while !self.0.borrow().is_configured() {
            configuration = self.changed(&configuration).await;
        }
    }

    /// The servers of names, the first one first: those of the [`Config`](crate::Config::dns_servers), those that a lease names, and
    /// those that routers advertise.
    pub fn dns_servers(&self) -> Vec<IpAddress> {
        let mut servers: Vec<IpAddress> = Vec::new();
        for server in self.0.borrow().dns_servers() {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        servers
    }
}
