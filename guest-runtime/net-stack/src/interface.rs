//! smoltcp's interface: how it is made, and what this stack knows better of its addresses.

use crate::engine::Engine;
use crate::transmit::Transmit;
use crate::wire::Port;
use smoltcp::iface::Interface;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv6Address, Ipv6Cidr};

/// smoltcp's interface, without an address.
pub(crate) fn new(mac: EthernetAddress, transmit: &mut Transmit, seed: u64, now: Instant) -> Interface {
    let mut settings = smoltcp::iface::Config::new(mac.into());
    settings.random_seed = seed;
    Interface::new(settings, &mut Port::sending(transmit), now)
}

/// The link-local address that follows from a hardware address (RFC 4291, appendix A).
pub(crate) fn link_local(EthernetAddress([a, b, c, d, e, f]): EthernetAddress) -> Ipv6Address {
    let group = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Ipv6Address::new(0xfe80, 0, 0, 0, group(a ^ 2, b), group(c, 0xff), group(0xfe, d), group(e, f))
}

/// An address of IPv6.
pub(crate) fn v6(cidr: &IpCidr) -> Option<Ipv6Cidr> {
    match cidr {
        IpCidr::Ipv6(cidr) => Some(*cidr),
        IpCidr::Ipv4(_) => None,
    }
}

impl Engine {
    /// Sends packets of no more than `mtu` bytes, as far as the link has room for more. smoltcp has an interface keep the MTU that
    /// it was made with.
    pub(crate) fn limit_mtu(&mut self, mtu: u32) {
        if !self.transmit.limit_mtu(mtu) {
            return;
        }
        let seed = self.random.next();
        let new = self::new(self.mac, &mut self.transmit, seed, self.now);
        let mut old = core::mem::replace(&mut self.interface, new);
        self.interface.update_ip_addrs(|addresses| addresses.extend(old.ip_addrs().iter().copied()));
        old.routes_mut().update(|old| self.interface.routes_mut().update(|new| core::mem::swap(old, new)));
    }

    /// The address to speak to `remote` from: smoltcp's choice, unless that is about to end and there is another (RFC 6724,
    /// rule 3).
    pub(crate) fn source_address(&self, remote: IpAddress) -> Option<IpAddress> {
        let choice = self.interface.get_source_address(&remote)?;
        let (IpAddress::Ipv6(address), Some(slaac)) = (choice, &self.slaac) else { return Some(choice) };
        if !slaac.is_deprecated(self.now, address) || IpAddress::Ipv6(address) == remote {
            return Some(choice);
        }
        let mut others = self.interface.ip_addrs().iter().filter_map(v6).map(|cidr| cidr.address());
        let other =
            others.find(|&other| !other.is_unicast_link_local() && !slaac.is_deprecated(self.now, other));
        Some(other.map_or(choice, IpAddress::from))
    }

    /// Whether a packet to `address` would leave, and an answer find its way back.
    pub(crate) fn reaches(&self, address: IpAddress) -> bool {
        let is_near = |address: IpAddress| matches!(address, IpAddress::Ipv6(address) if address.is_unicast_link_local());
        self.next_hop(address).is_some()
            && self.source_address(address).is_some_and(|source| {
                self.interface.has_ip_addr(source) && is_near(source) == is_near(address)
            })
    }
}
