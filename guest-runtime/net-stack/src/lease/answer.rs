//! What a DHCP server says: any bytes, checked, and made into what can be used.
//!
//! A message whose lengths lie is dropped as a whole. An option that has a length or a value that it cannot have counts as absent, so
//! that a server's mistake in one thing does not cost the host all the others.

use super::configuration::{Lease, LeaseRoute};
use super::is_host_name;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use smoltcp::wire::{
    ArpHardware, DhcpMessageType, DhcpOpCode, DhcpPacket, EthernetAddress, Ipv4Address, Ipv4Cidr,
};

/// Numbers of options (RFC 2132; RFC 3442 for the last one).
pub(crate) mod option {
    pub(crate) const PAD: u8 = 0;
    pub(crate) const SUBNET_MASK: u8 = 1;
    pub(crate) const ROUTER: u8 = 3;
    pub(crate) const DNS_SERVERS: u8 = 6;
    pub(crate) const HOST_NAME: u8 = 12;
    pub(crate) const DOMAIN: u8 = 15;
    pub(crate) const MTU: u8 = 26;
    pub(crate) const STATIC_ROUTES: u8 = 33;
    pub(crate) const LEASE_TIME: u8 = 51;
    pub(crate) const OVERLOAD: u8 = 52;
    pub(crate) const MESSAGE_TYPE: u8 = 53;
    pub(crate) const SERVER: u8 = 54;
    pub(crate) const MESSAGE: u8 = 56;
    pub(crate) const RENEWAL_TIME: u8 = 58;
    pub(crate) const REBINDING_TIME: u8 = 59;
    pub(crate) const CLASSLESS_ROUTES: u8 = 121;
    pub(crate) const END: u8 = 255;
}

/// The first four bytes of the options (RFC 2131, section 3).
const MAGIC: u32 = 0x6382_5363;
/// Where the fields are that options may be put into (RFC 2131, section 2).
const SERVER_NAME: core::ops::Range<usize> = 44..108;
const BOOT_FILE: core::ops::Range<usize> = 108..236;
const OPTIONS: usize = 240;
/// A lease time that means for ever (RFC 2131, section 3.3).
const FOREVER: u32 = u32::MAX;
/// How long a lease is taken to hold where the server does not say it, though it must.
const USUAL_DURATION: Duration = Duration::from_secs(3600);
/// The most servers of names.
const MOST_SERVERS: usize = 8;
/// The most routes, those to all networks first.
const MOST_ROUTES: usize = crate::routes::MOST_ROUTES;
/// The least MTU (RFC 2132, section 5.1).
const LEAST_MTU: u16 = 68;
/// The least length to which a prefix is shortened for a gateway that is on the link and outside of the own network.
const LEAST_SHORTENED: u8 = 16;

/// What kind of answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Offer,
    Ack,
    Nak,
}

/// A server's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    /// Which question it answers.
    pub(crate) transaction: u32,
    /// Who says it, if that is said.
    pub(crate) server: Option<Ipv4Address>,
    /// What is offered or given; `None` with a [`Nak`](Kind::Nak).
    pub(crate) grant: Option<Grant>,
}

/// What a server offers or gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// With the server left unspecified where the message names none.
    pub(crate) lease: Lease,
    /// When to ask the same server again (T1), and when any (T2), if the server says it.
    pub(crate) renewal: Option<Duration>,
    pub(crate) rebinding: Option<Duration>,
}

impl Answer {
    /// Reads the payload of a datagram, if it is an answer to the host with this hardware address that can be used.
    pub(crate) fn parse(bytes: &[u8], mac: EthernetAddress) -> Option<Self> {
        let packet = DhcpPacket::new_checked(bytes).ok()?;
        let is_ours = packet.opcode() == DhcpOpCode::Reply
            && packet.hardware_type() == ArpHardware::Ethernet
            && usize::from(packet.hardware_len()) == mac.as_bytes().len()
            && packet.client_hardware_address() == mac
            && packet.magic_number() == MAGIC;
        if !is_ours {
            return None;
        }
        let options = Options::read(bytes)?;
        let kind = match DhcpMessageType::from(options.byte(option::MESSAGE_TYPE)?) {
            DhcpMessageType::Offer => Kind::Offer,
            DhcpMessageType::Ack => Kind::Ack,
            DhcpMessageType::Nak => Kind::Nak,
            _ => return None,
        };
        let server = options.address(option::SERVER).filter(|server| is_host(*server));
        let grant = match kind {
            Kind::Nak => None,
            Kind::Offer | Kind::Ack => Some(options.grant(packet.your_ip(), server)?),
        };
        Some(Self { kind, transaction: packet.transaction_id(), server, grant })
    }
}

/// The options of a message. One that comes several times is put together (RFC 3396).
struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    /// Reads them; `None` where one is longer than its place.
    fn read(message: &[u8]) -> Option<Self> {
        let mut options = Self(BTreeMap::new());
        options.read_from(message.get(OPTIONS..)?)?;
        // Which of the two fields have options as well, in this order (RFC 2132, section 9.3).
        let overload = options.byte(option::OVERLOAD).unwrap_or(0);
        for (bit, field) in [(1, BOOT_FILE), (2, SERVER_NAME)] {
            if overload & bit != 0 {
                options.read_from(message.get(field)?)?;
            }
        }
        Some(options)
    }

    fn read_from(&mut self, mut bytes: &[u8]) -> Option<()> {
        while let Some((&code, rest)) = bytes.split_first() {
            match code {
                option::PAD => bytes = rest,
                option::END => break,
                code => {
                    let (&length, rest) = rest.split_first()?;
                    let (value, rest) = rest.split_at_checked(length.into())?;
                    self.0.entry(code).or_default().extend_from_slice(value);
                    bytes = rest;
                }
            }
        }
        Some(())
    }

    fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.get(&code).map(Vec::as_slice)
    }

    fn array<const N: usize>(&self, code: u8) -> Option<[u8; N]> {
        self.get(code)?.try_into().ok()
    }

    fn byte(&self, code: u8) -> Option<u8> {
        self.array(code).map(|[byte]| byte)
    }

    fn address(&self, code: u8) -> Option<Ipv4Address> {
        self.array(code).map(Ipv4Address::from_octets)
    }

    fn addresses(&self, code: u8) -> impl Iterator<Item = Ipv4Address> {
        // A list that is cut in the middle of an address is none.
        let (addresses, rest) = self.get(code).unwrap_or_default().as_chunks::<4>();
        let addresses = if rest.is_empty() { addresses } else { &[] };
        addresses.iter().map(|octets| Ipv4Address::from_octets(*octets))
    }

    fn number(&self, code: u8) -> Option<u32> {
        self.array(code).map(u32::from_be_bytes)
    }

    fn seconds(&self, code: u8) -> Option<Duration> {
        self.number(code).map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// A name. Some servers end it with a NUL, and a domain with a dot.
    fn name(&self, code: u8) -> Option<String> {
        let text = core::str::from_utf8(self.get(code)?).ok()?;
        let text = text.trim_end_matches('\0');
        let text = text.strip_suffix('.').unwrap_or(text);
        is_host_name(text).then(|| text.to_string())
    }

    /// All that goes with an address; `None` where that cannot be this host's, or is given for no time at all.
    fn grant(&self, address: Ipv4Address, server: Option<Ipv4Address>) -> Option<Grant> {
        let duration = match self.number(option::LEASE_TIME) {
            None => Some(USUAL_DURATION),
            Some(0) => return None,
            Some(FOREVER) => None,
            Some(seconds) => Some(Duration::from_secs(seconds.into())),
        };
        if !is_host(address) {
            return None;
        }
        let mask = self.address(option::SUBNET_MASK);
        // A mask with holes is none, nor is one that makes all the world a neighbor.
        let given = mask.and_then(|mask| Ipv4Cidr::from_netmask(address, mask).ok());
        let own = given
            .filter(|own| own.prefix_len() > 0)
            .unwrap_or_else(|| Ipv4Cidr::new(address, class_prefix(address)));
        if is_edge(address, own.prefix_len()) {
            return None;
        }
        let (own, routes) = self.routes(own);
        let servers = self.addresses(option::DNS_SERVERS).filter(|server| is_host(*server));
        let mtu = self.array(option::MTU).map(u16::from_be_bytes);
        let lease = Lease {
            address: own,
            server: server.unwrap_or(Ipv4Address::UNSPECIFIED),
            duration,
            routes,
            dns_servers: servers.take(MOST_SERVERS).collect(),
            domain: self.name(option::DOMAIN),
            host_name: self.name(option::HOST_NAME),
            mtu: mtu.filter(|mtu| *mtu >= LEAST_MTU),
        };
        let (renewal, rebinding) = (self.seconds(option::RENEWAL_TIME), self.seconds(option::REBINDING_TIME));
        Some(Grant { lease, renewal, rebinding })
    }

    /// The routes that can be used, and the own address with a prefix that has their gateways in it.
    fn routes(&self, own: Ipv4Cidr) -> (Ipv4Cidr, Vec<LeaseRoute>) {
        let all = Ipv4Cidr::new(Ipv4Address::UNSPECIFIED, 0);
        // Where there are classless routes, the others do not count (RFC 3442).
        let classless = self.get(option::CLASSLESS_ROUTES).and_then(classless_routes);
        let is_classless = classless.is_some();
        let mut routes = classless.unwrap_or_else(|| {
            let routers = self.addresses(option::ROUTER).map(|gateway| LeaseRoute { network: all, gateway });
            routers.chain(self.static_routes()).collect()
        });
        // A gateway of 0.0.0.0 says that the network is on the link.
        let on_link = routes.iter().filter(|route| route.gateway.is_unspecified()).map(|route| route.network);
        let mut on_link: Vec<Ipv4Cidr> = on_link.collect();
        if own.prefix_len() == 32 && !is_classless {
            // A network of its own for each host: the router must be on the link.
            let routers = self.addresses(option::ROUTER).filter(|router| is_host(*router));
            on_link.extend(routers.map(|router| Ipv4Cidr::new(router, 32)));
        }
        // What the prefix has in it as it was given takes no shorter one.
        on_link.retain(|network| !own.contains_subnet(network));
        let own = on_link.into_iter().fold(own, with_network);
        routes.retain(|LeaseRoute { gateway, .. }| {
            own.contains_addr(gateway)
                && *gateway != own.address()
                && is_host(*gateway)
                && !is_edge(*gateway, own.prefix_len())
        });
        routes.sort_by_key(|route| route.network.prefix_len() != 0);
        let mut seen = Vec::new();
        // Of several routers the first is the one to be preferred (RFC 2132, section 3.5).
        routes.retain(|route| {
            let is_new = !seen.contains(&route.network);
            seen.push(route.network);
            is_new
        });
        routes.truncate(MOST_ROUTES);
        (own, routes)
    }

    /// RFC 2132, section 5.8. The networks are those of classes; what is none is a host.
    fn static_routes(&self) -> impl Iterator<Item = LeaseRoute> {
        let (pairs, rest) = self.get(option::STATIC_ROUTES).unwrap_or_default().as_chunks::<8>();
        let pairs = if rest.is_empty() { pairs } else { &[] };
        pairs.iter().filter_map(|&[a, b, c, d, gateway @ ..]| {
            let network = Ipv4Address::new(a, b, c, d);
            let by_class = Ipv4Cidr::new(network, class_prefix(network));
            let is_network = by_class.network().address() == network;
            let network = if is_network { by_class } else { Ipv4Cidr::new(network, 32) };
            // All networks are not to be had this way.
            let gateway = Ipv4Address::from_octets(gateway);
            (!network.address().is_unspecified()).then_some(LeaseRoute { network, gateway })
        })
    }
}

/// RFC 3442: a prefix's length, as many bytes of it as that takes, and a gateway. `None` where that is not what it is.
fn classless_routes(mut bytes: &[u8]) -> Option<Vec<LeaseRoute>> {
    let mut routes = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        if length > 32 {
            return None;
        }
        let (significant, rest) = rest.split_at_checked(usize::from(length).div_ceil(8))?;
        let (gateway, rest) = rest.split_first_chunk::<4>()?;
        let mut network = [0; 4];
        network[..significant.len()].copy_from_slice(significant);
        // Bits beyond the prefix do not count.
        let network = Ipv4Cidr::new(Ipv4Address::from_octets(network), length).network();
        routes.push(LeaseRoute { network, gateway: Ipv4Address::from_octets(*gateway) });
        bytes = rest;
    }
    Some(routes)
}

/// The own address with a prefix short enough to have `network` in it, as smoltcp finds neighbors only by the prefixes of own
/// addresses. What lies in between then counts as a neighbor, too; where that would be half the world, the network stays outside.
fn with_network(own: Ipv4Cidr, network: Ipv4Cidr) -> Ipv4Cidr {
    let (address, other) = (own.address(), network.address());
    let common = (address.to_bits() ^ other.to_bits()).leading_zeros() as u8;
    let mut length = common.min(network.prefix_len()).min(own.prefix_len());
    // A host, as a gateway is one, must not be at the edge; the address of a network may be.
    let is_one = network.prefix_len() == 32;
    while length >= LEAST_SHORTENED && (is_edge(address, length) || is_one && is_edge(other, length)) {
        length -= 1;
    }
    if length >= LEAST_SHORTENED.min(own.prefix_len()) { Ipv4Cidr::new(address, length) } else { own }
}

/// Whether it can be the address of one host.
fn is_host(address: Ipv4Address) -> bool {
    // Above are the groups and what is reserved (RFC 5735, section 4).
    address.octets()[0] < 224 && address.octets()[0] != 0 && !address.is_loopback()
}

/// Whether it is the first or the last address of its network, which stand for all hosts (RFC 1122, section 3.2.1.3); two hosts
/// (RFC 3021) or one have no such.
fn is_edge(address: Ipv4Address, prefix: u8) -> bool {
    let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    prefix < 31 && (address.to_bits() & host == 0 || address.to_bits() & host == host)
}

/// The length of the prefix of a network of the address's class (RFC 950, section 2.1).
fn class_prefix(address: Ipv4Address) -> u8 {
    match address.octets()[0] {
        ..128 => 8,
        128..192 => 16,
        192.. => 24,
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
