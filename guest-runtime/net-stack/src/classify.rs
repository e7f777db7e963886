//! What a received frame is, as far as it decides which sockets get to see it.
//!
//! smoltcp checks frames in full, but for the checksums of TCP and UDP: whether these are to be verified differs from frame to
//! frame, and is done here. The rest only looks ahead, so that a TCP segment is shown to its connection alone instead of to all in
//! turn.

use crate::header::Vouched;
use smoltcp::wire::{
    ArpPacket, ArpRepr, DHCP_CLIENT_PORT, ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame,
    EthernetProtocol, IPV6_HEADER_LEN, Icmpv6Message, Icmpv6Packet, IpAddress, IpEndpoint, IpProtocol,
    Ipv4Address, Ipv4Packet, Ipv6ExtHeader, Ipv6Packet, TcpPacket, TcpSeqNumber, UdpPacket,
};

/// Where an IPv6 header names what follows it (RFC 8200, section 3).
const IPV6_NEXT_HEADER: u8 = 6;

/// The addresses of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tuple {
    /// The other side; first, as that is where connections differ.
    pub(crate) remote: IpEndpoint,
    pub(crate) local: IpEndpoint,
}

/// What decides who sees a TCP segment, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) tuple: Tuple,
    /// It asks for a connection: SYN without ACK, RST and FIN.
    pub(crate) opens: bool,
    /// What it acknowledges.
    pub(crate) acknowledges: Option<TcpSeqNumber>,
    /// It does nothing but acknowledge.
    pub(crate) is_bare: bool,
}

/// What an ARP packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    /// Who says it.
    pub(crate) mac: EthernetAddress,
    /// The address that it has; unspecified where it has none.
    pub(crate) sender: Ipv4Address,
    /// The address that it asks for, or tells.
    pub(crate) target: Ipv4Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A TCP segment; its addresses may still be wrong.
    Tcp(Segment),
    /// A UDP datagram.
    Udp { port: u16 },
    /// A UDP datagram over IPv4 to the port of DHCP clients.
    Dhcp,
    /// A router advertisement, as it seems.
    Advertisement,
    /// Of a protocol that nobody here knows.
    Unknown {
        /// Where in the packet the protocol is named, over IPv6.
        pointer: Option<u8>,
    },
    /// An ARP packet.
    Arp(Arp),
    /// It may tell a hardware address: a neighbor advertisement or solicitation.
    Neighbor {
        /// Whose it is.
        address: IpAddress,
    },
    /// None of these, as far as that can be seen: ICMP, nonsense.
    Other,
    /// A packet that says that it has no contents.
    Empty,
    /// To be dropped: a fragment, which smoltcp would take for a whole packet, or a segment or datagram that is not intact.
    Broken,
}

/// Classifies an Ethernet frame, and verifies the checksum of TCP or UDP unless it is `vouched` for.
pub(crate) fn classify(frame: &[u8], vouched: Vouched) -> Class {
    look(frame, vouched).unwrap_or(Class::Other)
}

fn look(frame: &[u8], vouched: Vouched) -> Option<Class> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            if packet.more_frags() || packet.frag_offset() != 0 {
                return Some(Class::Broken);
            }
            let is_vouched = vouched.is_for(ETHERNET_HEADER_LEN + usize::from(packet.header_len()));
            let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
            let protocol = packet.next_header();
            if protocol == IpProtocol::Icmp {
                return None;
            }
            let class = transport(protocol, packet.payload(), source, destination, is_vouched);
            Some(class.unwrap_or(Class::Unknown { pointer: None }))
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let (mut protocol, mut payload) = (packet.next_header(), packet.payload());
            let mut start = ETHERNET_HEADER_LEN + IPV6_HEADER_LEN;
            let mut pointer = IPV6_NEXT_HEADER;
            if protocol == IpProtocol::HopByHop {
                let header = Ipv6ExtHeader::new_checked(payload).ok()?;
                protocol = header.next_header();
                // The length counts units of 8 bytes beyond the first (RFC 8200, section 4.3).
                let length = (usize::from(header.header_len()) + 1) * 8;
                payload = payload.get(length..)?;
                start += length;
                // An extension header begins with its own.
                pointer = IPV6_HEADER_LEN as u8;
            }
            let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
            match protocol {
                IpProtocol::Icmpv6 => icmpv6(payload, source),
                IpProtocol::Ipv6NoNxt => Some(Class::Empty),
                IpProtocol::Ipv6Frag => Some(Class::Broken),
                _ => {
                    let class = transport(protocol, payload, source, destination, vouched.is_for(start));
                    Some(class.unwrap_or(Class::Unknown { pointer: Some(pointer) }))
                }
            }
        }
        EthernetProtocol::Arp => {
            let packet = ArpPacket::new_checked(frame.payload()).ok()?;
            let ArpRepr::EthernetIpv4 {
                source_hardware_addr: mac,
                source_protocol_addr: sender,
                target_protocol_addr: target,
                ..
            } = ArpRepr::parse(&packet).ok()?
            else {
                return None;
            };
            Some(Class::Arp(Arp { mac, sender, target }))
        }
        _ => None,
    }
}

/// TCP or UDP; `None`: neither.
fn transport(
    protocol: IpProtocol,
    payload: &[u8],
    source: IpAddress,
    destination: IpAddress,
    is_vouched: bool,
) -> Option<Class> {
    match protocol {
        IpProtocol::Tcp => {
            let intact =
                |segment: &TcpPacket<&[u8]>| is_vouched || segment.verify_checksum(&source, &destination);
            let Some(segment) = TcpPacket::new_checked(payload).ok().filter(intact) else {
                return Some(Class::Broken);
            };
            let tuple = Tuple {
                remote: IpEndpoint::new(source, segment.src_port()),
                local: IpEndpoint::new(destination, segment.dst_port()),
            };
            let opens = segment.syn() && !segment.ack() && !segment.rst() && !segment.fin();
            let acknowledges = segment.ack().then(|| segment.ack_number());
            let is_bare = segment.ack()
                && !(segment.syn() || segment.fin() || segment.rst() || segment.urg())
                && segment.payload().is_empty();
            Some(Class::Tcp(Segment { tuple, opens, acknowledges, is_bare }))
        }
        IpProtocol::Udp => {
            let intact = |datagram: &UdpPacket<&[u8]>| match (is_vouched, datagram.checksum(), source) {
                (true, ..) => true,
                // Only over IPv4 may a sender leave it out (RFC 768; RFC 8200, section 8.1).
                (false, 0, IpAddress::Ipv6(_)) => false,
                _ => datagram.verify_checksum(&source, &destination),
            };
            let Some(datagram) = UdpPacket::new_checked(payload).ok().filter(intact) else {
                return Some(Class::Broken);
            };
            Some(match (datagram.dst_port(), source) {
                (DHCP_CLIENT_PORT, IpAddress::Ipv4(_)) => Class::Dhcp,
                (port, _) => Class::Udp { port },
            })
        }
        _ => None,
    }
}

fn icmpv6(payload: &[u8], source: IpAddress) -> Option<Class> {
    match Icmpv6Packet::new_checked(payload).ok()?.msg_type() {
        Icmpv6Message::NeighborAdvert | Icmpv6Message::NeighborSolicit => {
            Some(Class::Neighbor { address: source })
        }
        Icmpv6Message::RouterAdvert => Some(Class::Advertisement),
        _ => None,
    }
}
