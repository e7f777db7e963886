//! Asking for hardware addresses beside smoltcp.
//!
//! smoltcp asks for one address a second, whoever waits, and a connection that waits looks again after a second even if the
//! answer came at once. So a machine that starts anew on a link full of peers that still know it would meet them one by
//! one, and a peer that does not exist would hold up all the others. Here each address has a question of its own, and the answer
//! lets those who wait for it go on. What the answer says, smoltcp takes note of itself.

use crate::engine::Engine;
use crate::icmp::solicited_node;
use alloc::collections::{BTreeMap, BTreeSet};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv6Repr, IpAddress, Ipv4Address, Ipv6Address, NdiscRepr,
};

/// How long an address is not asked for again: as long as smoltcp lets a socket wait.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most addresses that are asked for in that time. Whoever sends SYNs from addresses that do not exist has the stack
/// broadcast no more than that.
const MOST: usize = 256;

/// The questions that are open.
#[derive(Debug)]
pub(crate) struct Neighbors {
    /// Since when the questions are those below.
    since: Instant,
    /// The addresses that were asked for, and which connections wait for each.
    open: BTreeMap<IpAddress, BTreeSet<usize>>,
}

impl Neighbors {
    pub(crate) fn new() -> Self {
        Self { since: Instant::ZERO, open: BTreeMap::new() }
    }

    /// Notes that somebody wants to know an address, and for which connection. Whether it is to be asked for now.
    fn note(&mut self, now: Instant, address: IpAddress, connection: Option<usize>) -> bool {
        if now >= self.since + PATIENCE {
            self.open.clear();
            self.since = now;
        }
        let has_room = self.open.len() < MOST;
        let is_new = !self.open.contains_key(&address);
        if is_new && !has_room {
            return false;
        }
        self.open.entry(address).or_default().extend(connection);
        is_new
    }
}

impl Engine {
    /// Asks for the hardware address that frames to `remote` need, unless that was just done, by smoltcp itself (`asked`) or
    /// here. `connection` goes on when the answer is there.
    pub(crate) fn ask(&mut self, remote: IpAddress, connection: Option<usize>, asked: bool) {
        let Some(address) = self.next_hop(remote) else { return };
        let may_ask = asked || self.transmit.has_room();
        if may_ask && self.neighbors.note(self.now, address, connection) && !asked {
            self.send_question(address);
        }
    }

    /// An answer came: those who waited may go on.
    pub(crate) fn answered(&mut self, address: IpAddress) {
        for id in self.neighbors.open.remove(&address).into_iter().flatten() {
            self.connections.mark(id);
        }
    }

    /// Whose hardware address a packet to `remote` needs: its own, or a gateway's.
    pub(crate) fn next_hop(&self, remote: IpAddress) -> Option<IpAddress> {
        if self.interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&remote)) {
            return Some(remote);
        }
        self.routes.gateway(&remote)
    }

    fn send_question(&mut self, address: IpAddress) {
        match (address, self.source_address(address)) {
            (IpAddress::Ipv4(target), Some(IpAddress::Ipv4(source))) => self.send_arp_request(source, target),
            (IpAddress::Ipv6(target), Some(IpAddress::Ipv6(source))) => {
                self.send_solicitation(source, target)
            }
            _ => {}
        }
    }

    /// Asks all who has `target`.
    pub(crate) fn send_arp_request(&mut self, source: Ipv4Address, target: Ipv4Address) {
        self.send_arp(ArpOperation::Request, source, EthernetAddress::default(), target);
    }

    /// Tells one that the address `source` is this host's.
    pub(crate) fn send_arp_reply(&mut self, source: Ipv4Address, to: EthernetAddress, target: Ipv4Address) {
        self.send_arp(ArpOperation::Reply, source, to, target);
    }

    /// RFC 826.
    fn send_arp(
        &mut self,
        operation: ArpOperation,
        source: Ipv4Address,
        to: EthernetAddress,
        target: Ipv4Address,
    ) {
        let packet = ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: self.mac,
            source_protocol_addr: source,
            target_hardware_addr: to,
            target_protocol_addr: target,
        };
        let is_request = operation == ArpOperation::Request;
        let frame = EthernetRepr {
            src_addr: self.mac,
            dst_addr: if is_request { EthernetAddress::BROADCAST } else { to },
            ethertype: EthernetProtocol::Arp,
        };
        self.transmit.send(ETHERNET_HEADER_LEN + packet.buffer_len(), false, |bytes| {
            let mut out = EthernetFrame::new_unchecked(bytes);
            frame.emit(&mut out);
            packet.emit(&mut ArpPacket::new_unchecked(out.payload_mut()));
        });
    }

    /// RFC 4861, section 4.3.
    fn send_solicitation(&mut self, source: Ipv6Address, target: Ipv6Address) {
        let request = NdiscRepr::NeighborSolicit { target_addr: target, lladdr: Some(self.mac.into()) };
        // It must not have passed a router.
        self.send_icmpv6(source, solicited_node(target), 255, &Icmpv6Repr::Ndisc(request));
    }
}
