//! What a received frame is, as far as it decides which sockets get to see it.
//!
//! smoltcp checks frames in full. This only looks ahead, so that a TCP segment is shown to its connection alone instead of
//! to all in turn.

use smoltcp::wire::{
    ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet, IpAddress, IpEndpoint,
    IpProtocol, Ipv4Packet, Ipv6ExtHeader, Ipv6Packet, TcpPacket,
};

/// The addresses of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tuple {
    /// The other side; first, as that is where connections differ.
    pub(crate) remote: IpEndpoint,
    pub(crate) local: IpEndpoint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A TCP segment; its checksums and addresses may still be wrong.
    Tcp {
        tuple: Tuple,
        /// It asks for a connection: SYN without ACK, RST and FIN.
        opens: bool,
    },
    /// A UDP datagram.
    Udp,
    /// It may tell a hardware address: an ARP packet, a neighbor advertisement or solicitation.
    Neighbor {
        /// Whose it is.
        address: IpAddress,
    },
    /// All else: ICMP, fragments, nonsense.
    Other,
}

/// Classifies an Ethernet frame.
pub(crate) fn classify(frame: &[u8]) -> Class {
    look(frame).unwrap_or(Class::Other)
}

fn look(frame: &[u8]) -> Option<Class> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            if packet.more_frags() || packet.frag_offset() != 0 {
                return None;
            }
            let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
            transport(packet.next_header(), packet.payload(), source, destination)
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let (mut protocol, mut payload) = (packet.next_header(), packet.payload());
            if protocol == IpProtocol::HopByHop {
                let header = Ipv6ExtHeader::new_checked(payload).ok()?;
                protocol = header.next_header();
                // The length counts units of 8 bytes beyond the first (RFC 8200, section 4.3).
                payload = payload.get((usize::from(header.header_len()) + 1) * 8..)?;
            }
            transport(protocol, payload, packet.src_addr().into(), packet.dst_addr().into())
        }
        EthernetProtocol::Arp => {
            let packet = ArpPacket::new_checked(frame.payload()).ok()?;
            let ArpRepr::EthernetIpv4 { source_protocol_addr, .. } = ArpRepr::parse(&packet).ok()? else {
                return None;
            };
            Some(Class::Neighbor { address: source_protocol_addr.into() })
        }
        _ => None,
    }
}

fn transport(
    protocol: IpProtocol,
    payload: &[u8],
    source: IpAddress,
    destination: IpAddress,
) -> Option<Class> {
    match protocol {
        IpProtocol::Tcp => {
            let segment = TcpPacket::new_checked(payload).ok()?;
            let tuple = Tuple {
                remote: IpEndpoint::new(source, segment.src_port()),
                local: IpEndpoint::new(destination, segment.dst_port()),
            };
            let opens = segment.syn() && !segment.ack() && !segment.rst() && !segment.fin();
            Some(Class::Tcp { tuple, opens })
        }
        IpProtocol::Udp => Some(Class::Udp),
        IpProtocol::Icmpv6 => {
            let packet = Icmpv6Packet::new_checked(payload).ok()?;
            let tells =
                matches!(packet.msg_type(), Icmpv6Message::NeighborAdvert | Icmpv6Message::NeighborSolicit);
            tells.then_some(Class::Neighbor { address: source })
        }
        _ => None,
    }
}
