//! IPv6 addresses, routers, DNS servers and the MTU as routers advertise them (RFC 4862, RFC 4861, RFC 8106).
//!
//! Ours and not smoltcp's, which takes one prefix of an advertisement, has neither DNS servers nor the MTU, stops asking for routers
//! after three times, believes any lifetime, and checks for no duplicates. [`Slaac`] is what is known; below it is what the engine makes
//! of that.

use crate::advertisement::{Advertisement, FOREVER, Lifetime, Prefix};
use crate::config::IPV6_MIN_MTU;
use crate::engine::Engine;
use crate::icmp::group;
use crate::interface::{link_local, v6};
use crate::routes::Origin;
use alloc::vec::Vec;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetAddress, IPV6_LINK_LOCAL_ALL_ROUTERS, Icmpv6Repr, IpAddress, Ipv6Address, Ipv6Cidr, NdiscRepr,
};

/// How long to wait for an advertisement before routers are asked again, at first (RFC 7559, section 2; RFC 4861, section 10).
const FIRST_INTERVAL: Duration = Duration::from_secs(4);
/// The longest that this gets to be, twice as long each time (RFC 7559, section 2).
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
/// The most routers, prefixes and DNS servers that are kept, of each; more are not taken note of.
const MOST: usize = 4;
/// Who is not authenticated may not make an address end sooner than this (RFC 4862, section 5.5.3).
const SHORTEST_REST: Duration = Duration::from_secs(2 * 60 * 60);
/// How many addresses of a prefix are tried where others have them (RFC 7217, section 6).
const TRIES: u8 = 3;
/// The bits of a prefix, and of what an address has behind it (RFC 4291, section 2.5.1).
const PREFIX_BITS: u8 = 64;

/// What the routers on the link have advertised, as far as it is still good.
#[derive(Debug)]
pub(crate) struct Slaac {
    mac: EthernetAddress,
    /// For how many addresses there is room.
    room: usize,
    /// When to ask for routers, and how long to wait then; `None` once there is one.
    solicitation: Option<(Instant, Duration)>,
    routers: Vec<Router>,
    addresses: Vec<Address>,
    dns_servers: Vec<(Ipv6Address, Instant)>,
    mtu: Option<u32>,
    /// What the interface has of it.
    applied: Vec<Ipv6Cidr>,
}

#[derive(Debug)]
struct Router {
    address: Ipv6Address,
    preference: i8,
    until: Instant,
}

/// A prefix and the address that was made of it.
#[derive(Debug)]
struct Address {
    prefix: Ipv6Address,
    on_link: bool,
    address: Ipv6Address,
    /// How many before it others had.
    duplicates: u8,
    preferred_until: Instant,
    valid_until: Instant,
}

impl Address {
    /// The address as the interface has it. What is not on the link has no neighbors there.
    fn cidr(&self) -> Ipv6Cidr {
        Ipv6Cidr::new(self.address, if self.on_link { PREFIX_BITS } else { 128 })
    }
}

impl Slaac {
    pub(crate) fn new(mac: EthernetAddress, room: usize, now: Instant) -> Self {
        Self {
            mac,
            room: room.min(MOST),
            // At once, where RFC 4861 has hosts wait for up to a second, lest all that get power at once speak at once.
            solicitation: Some((now, FIRST_INTERVAL)),
            routers: Vec::new(),
            addresses: Vec::new(),
            dns_servers: Vec::new(),
            mtu: None,
            applied: Vec::new(),
        }
    }

    /// When something of it is over or due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let ends = self.routers.iter().map(|router| router.until);
        let ends = ends.chain(self.addresses.iter().map(|address| address.valid_until));
        let ends = ends.chain(self.dns_servers.iter().map(|(_, until)| *until));
        ends.filter(|&end| end < FOREVER).chain(self.solicitation.map(|(when, _)| when)).min()
    }

    /// Forgets what is over.
    fn expire(&mut self, now: Instant) {
        self.routers.retain(|router| router.until > now);
        self.addresses.retain(|address| address.valid_until > now);
        self.dns_servers.retain(|(_, until)| *until > now);
    }

    /// Takes note of an advertisement.
    fn advertised(&mut self, now: Instant, advertisement: &Advertisement) {
        self.expire(now);
        let Advertisement { router: address, preference, lifetime, mtu, ref prefixes, ref dns_servers } =
            *advertisement;
        self.routers.retain(|router| router.address != address || lifetime > 0);
        if lifetime > 0 {
            // Who is no default router does not end the search for one (RFC 7559, section 2.1).
            self.solicitation = None;
            let until = now + Duration::from_secs(lifetime.into());
            if let Some(router) = self.routers.iter_mut().find(|router| router.address == address) {
                (router.preference, router.until) = (preference, until);
            } else if self.routers.len() < MOST {
                self.routers.push(Router { address, preference, until });
            }
        }
        if mtu.is_some_and(|mtu| mtu >= IPV6_MIN_MTU.into()) {
            self.mtu = mtu;
        }
        for prefix in prefixes {
            self.prefix(now, prefix);
        }
        for &(server, lifetime) in dns_servers {
            let Lifetime(seconds) = lifetime;
            self.dns_servers.retain(|(known, _)| *known != server || seconds > 0);
            if let Some((_, until)) = self.dns_servers.iter_mut().find(|(known, _)| *known == server) {
                *until = lifetime.end(now);
            } else if seconds > 0 && self.dns_servers.len() < MOST && !server.is_multicast() {
                self.dns_servers.push((server, lifetime.end(now)));
            }
        }
    }

    /// RFC 4862, section 5.5.3.
    fn prefix(&mut self, now: Instant, prefix: &Prefix) {
        let network = with_identifier(prefix.address, 0);
        let is_usable = prefix.autonomous
            && prefix.length == PREFIX_BITS
            && prefix.preferred <= prefix.valid
            && !prefix.address.is_multicast()
            && !prefix.address.is_unicast_link_local()
            && network != Ipv6Address::UNSPECIFIED;
        if !is_usable {
            return;
        }
        let preferred_until = prefix.preferred.end(now);
        let valid_until = prefix.valid.end(now);
        if let Some(known) = self.addresses.iter_mut().find(|address| address.prefix == network) {
            // Without the flag nothing is said about that (RFC 4861, section 6.3.4).
            known.on_link |= prefix.on_link;
            known.preferred_until = preferred_until;
            if valid_until > known.valid_until || valid_until > now + SHORTEST_REST {
                known.valid_until = valid_until;
            } else {
                known.valid_until = known.valid_until.min(now + SHORTEST_REST);
            }
        } else if valid_until > now && self.addresses.len() < self.room {
            // The link-local address has the identifier that follows from the hardware address.
            let identifier = u128::from(link_local(self.mac)) as u64;
            self.addresses.push(Address {
                prefix: network,
                on_link: prefix.on_link,
                address: with_identifier(network, identifier),
                duplicates: 0,
                preferred_until,
                valid_until,
            });
        }
    }

    /// Another host has an address: takes one that ends with `identifier` instead. Whether the address was one of these.
    fn replace(&mut self, duplicate: Ipv6Address, identifier: u64) -> bool {
        self.applied.retain(|cidr| cidr.address() != duplicate);
        let Some(known) = self.addresses.iter_mut().find(|known| known.address == duplicate) else {
            return false;
        };
        known.duplicates += 1;
        if known.duplicates < TRIES {
            known.address = with_identifier(known.prefix, identifier);
        }
        true
    }

    /// The addresses to have.
    fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(|address| address.duplicates < TRIES)
    }

    /// The router to send by: the preferred one, of several the first.
    fn router(&self) -> Option<Ipv6Address> {
        self.routers.iter().min_by_key(|router| -router.preference).map(|router| router.address)
    }

    /// Whether an address is one that was advertised and is about to end.
    pub(crate) fn is_deprecated(&self, now: Instant, address: Ipv6Address) -> bool {
        self.addresses.iter().any(|known| known.address == address && known.preferred_until <= now)
    }

    pub(crate) fn dns_servers(&self) -> impl Iterator<Item = Ipv6Address> {
        self.dns_servers.iter().map(|(server, _)| *server)
    }
}

fn with_identifier(prefix: Ipv6Address, identifier: u64) -> Ipv6Address {
    Ipv6Address::from(u128::from(prefix) >> PREFIX_BITS << PREFIX_BITS | u128::from(identifier))
}

impl Engine {
    /// A router advertisement has come.
    pub(crate) fn advertised(&mut self, frame: &[u8]) {
        if let Some(slaac) = &mut self.slaac
            && let Some(advertisement) = Advertisement::parse(frame)
        {
            slaac.advertised(self.now, &advertisement);
            self.apply_slaac();
        }
    }

    /// Ends what is over, and asks for routers when it is time.
    pub(crate) fn poll_slaac(&mut self) {
        let now = self.now;
        let Some(slaac) = self.slaac.as_mut().filter(|slaac| slaac.next().is_some_and(|next| next <= now))
        else {
            return;
        };
        slaac.expire(now);
        let due = slaac.solicitation.filter(|(when, _)| *when <= now);
        if let Some((_, interval)) = due
            && self.transmit.has_room()
        {
            // Up to a tenth more or less, so that hosts that began together do not go on together.
            let tenth = interval.total_micros() / 10;
            let shift = self.random.next() % (2 * tenth);
            let wait = Duration::from_micros(interval.total_micros() - tenth + shift);
            if let Some(slaac) = &mut self.slaac {
                slaac.solicitation = Some((now + wait, (interval * 2).min(LONGEST_INTERVAL)));
            }
            self.solicit_routers();
        }
        self.apply_slaac();
    }

    /// RFC 4861, section 4.1.
    fn solicit_routers(&mut self) {
        let link_local = link_local(self.mac);
        let (source, lladdr) = if !self.interface.has_ip_addr(link_local) {
            (Ipv6Address::UNSPECIFIED, None)
        } else if self.checks.has(link_local) {
            // Routers are not to believe in this address yet (RFC 4429, section 3.2).
            (link_local, None)
        } else {
            (link_local, Some(self.mac.into()))
        };
        let message = Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { lladdr });
        self.send_icmpv6(source, group(IPV6_LINK_LOCAL_ALL_ROUTERS), 255, &message);
    }

    /// Has the interface follow what is known.
    fn apply_slaac(&mut self) {
        let Some(slaac) = &mut self.slaac else { return };
        let wanted: Vec<Ipv6Cidr> = slaac.addresses().map(Address::cidr).collect();
        let (router, mtu) = (slaac.router(), slaac.mtu);
        let applied = core::mem::take(&mut slaac.applied);
        let find = |cidrs: &[Ipv6Cidr], wanted: &Ipv6Cidr| {
            cidrs.iter().find(|cidr| cidr.address() == wanted.address()).copied()
        };
        for cidr in applied.iter().filter(|cidr| find(&wanted, cidr).is_none()) {
            self.remove_address(cidr.address());
        }
        let mut has = wanted;
        has.retain(|cidr| match find(&applied, cidr) {
            Some(before) => {
                if before != *cidr {
                    self.change_prefix(*cidr);
                }
                true
            }
            None => self.add_address(*cidr),
        });
        if let Some(slaac) = &mut self.slaac {
            slaac.applied = has;
        }
        let default = Ipv6Cidr::new(Ipv6Address::UNSPECIFIED, 0);
        self.set_routes(Origin::Router, router.map(|router| (default.into(), router.into())));
        self.limit_mtu(mtu.unwrap_or(u32::MAX));
    }

    /// Gives the interface an address, if there is room and it does not have it.
    fn add_address(&mut self, cidr: Ipv6Cidr) -> bool {
        let mut added = false;
        if !self.interface.has_ip_addr(cidr.address()) {
            self.interface.update_ip_addrs(|addresses| added = addresses.push(cidr.into()).is_ok());
        }
        if added {
            self.checks.add(cidr);
            self.assignment.note_change();
        }
        added
    }

    /// Another prefix length for an address that the interface has. What is on it goes on.
    fn change_prefix(&mut self, cidr: Ipv6Cidr) {
        self.interface.update_ip_addrs(|addresses| {
            if let Some(known) = addresses.iter_mut().find(|known| known.address() == cidr.address().into()) {
                *known = cidr.into();
            }
        });
        self.assignment.note_change();
    }

    /// Takes an address from the interface. What was on it ends.
    fn remove_address(&mut self, address: Ipv6Address) {
        self.interface.update_ip_addrs(|addresses| addresses.retain(|cidr| cidr.address() != address.into()));
        self.checks.remove(address);
        self.lose_address(address.into());
        self.give_up_parked();
        self.assignment.note_change();
    }

    /// An address that was taken from the interface, as another host has it: finds another one where it came from a prefix.
    pub(crate) fn replace_address(&mut self, duplicate: Ipv6Address) {
        let identifier = self.random.next();
        if self.slaac.as_mut().is_some_and(|slaac| slaac.replace(duplicate, identifier)) {
            self.checks.remove(duplicate);
            self.apply_slaac();
        }
    }

    /// Whether there are addresses to use, as far as the network was to give some.
    pub(crate) fn is_configured(&self) -> bool {
        let has_lease = self.assignment.wants_lease().then(|| self.assignment.has_lease());
        let has_advertised = self.slaac.as_ref().map(|slaac| !slaac.applied.is_empty());
        let mut wanted = [has_lease, has_advertised].into_iter().flatten().peekable();
        wanted.peek().is_none() || wanted.any(|there| there)
    }

    /// The link is there again, and may be another one.
    pub(crate) fn restart_discovery(&mut self) {
        let addresses: Vec<Ipv6Cidr> = self.interface.ip_addrs().iter().filter_map(v6).collect();
        self.checks.restart(addresses.into_iter());
        if let Some(slaac) = &mut self.slaac {
            slaac.solicitation = Some((self.now, FIRST_INTERVAL));
        }
    }

    /// The DNS servers, the best first.
    pub(crate) fn dns_servers(&self) -> impl Iterator<Item = IpAddress> {
        let advertised = self.slaac.iter().flat_map(Slaac::dns_servers);
        self.dns_servers
            .iter()
            .chain(&self.assignment.dns_servers)
            .copied()
            .chain(advertised.map(IpAddress::from))
    }
}
