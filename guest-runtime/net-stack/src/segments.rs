//! Large frames: segments of a connection that follow each other go to the device as one, which cuts it again.
//!
//! This is strict: what a frame is cut into is byte for byte what would have been sent without it, the checksums that the device
//! computes excepted. Anything unusual is sent on its own.

use crate::config::Offloads;
use crate::header::{Segments, Work};
use smoltcp::wire::{
    DHCP_CLIENT_PORT, ETHERNET_HEADER_LEN, EthernetFrame, EthernetProtocol, IPV4_HEADER_LEN, IPV6_HEADER_LEN,
    IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TCP_HEADER_LEN, TcpPacket, TcpSeqNumber, UDP_HEADER_LEN,
    UdpPacket, checksum,
};

/// The most bytes of a frame, its Ethernet header included: an IP packet states its length in 16 bits.
pub(crate) const LONGEST_FRAME: usize = ETHERNET_HEADER_LEN + 65535;
/// The most bytes of the headers of Ethernet, IPv6 and TCP.
pub(crate) const MOST_HEADERS: usize = ETHERNET_HEADER_LEN + IPV6_HEADER_LEN + 60;

/// Offset of a TCP segment's checksum (RFC 9293, section 3.1).
const TCP_CHECKSUM: usize = 16;
/// Offset of a UDP datagram's checksum (RFC 768).
const UDP_CHECKSUM: usize = 6;
/// Offset of the flags of a TCP segment, and the flags ACK, PSH and FIN.
const TCP_FLAGS: usize = 13;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const FIN: u8 = 0x01;

/// A frame that further segments may join.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    v6: bool,
    /// The bytes of its headers.
    pub(crate) headers: usize,
    /// The bytes of payload of each of its segments, but the last, which may have less.
    size: usize,
    /// The sequence number of the segment that may come next.
    next: TcpSeqNumber,
    /// Whether none may.
    closed: bool,
    /// Whether any has joined.
    joined: bool,
}

impl Run {
    /// What `frame` begins, if it is a segment that carries data and nothing else, of a protocol that the device cuts.
    pub(crate) fn begin(frame: &[u8], offloads: &Offloads) -> Option<Self> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let (v6, start) = match ethernet.ethertype() {
            EthernetProtocol::Ipv4 if offloads.tso4 => {
                let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
                let plain = packet.next_header() == IpProtocol::Tcp
                    && usize::from(packet.header_len()) == IPV4_HEADER_LEN;
                (false, plain.then_some(ETHERNET_HEADER_LEN + IPV4_HEADER_LEN)?)
            }
            EthernetProtocol::Ipv6 if offloads.tso6 => {
                let packet = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
                let plain = packet.next_header() == IpProtocol::Tcp;
                (true, plain.then_some(ETHERNET_HEADER_LEN + IPV6_HEADER_LEN)?)
            }
            _ => return None,
        };
        let segment = TcpPacket::new_checked(frame.get(start..)?).ok()?;
        let size = segment.payload().len();
        let may_go_on = frame.get(start + TCP_FLAGS) == Some(&ACK) && size > 0;
        may_go_on.then(|| Self {
            v6,
            headers: start + usize::from(segment.header_len()),
            size,
            next: segment.seq_number() + size,
            closed: false,
            joined: false,
        })
    }

    /// Whether a frame of `length` bytes may join one of `before` bytes, by the lengths.
    pub(crate) fn may_take(&self, before: usize, length: usize) -> bool {
        let payload = length.saturating_sub(self.headers);
        !self.closed && (1..=self.size).contains(&payload) && before + payload <= LONGEST_FRAME
    }

    /// Has the segment in `frame` join the frame that begins with `first`, if it is what follows there. `first` gets its flags.
    pub(crate) fn join(&mut self, first: &mut [u8], frame: &[u8]) -> bool {
        let tcp = self.tcp();
        let (Some(first), Some(second)) = (first.get_mut(..self.headers), frame.get(..self.headers)) else {
            return false;
        };
        // All but the lengths, IPv4's checksum, the sequence number, TCP's flags and TCP's checksum.
        let same = if self.v6 {
            [0..18, 20..tcp + 4, tcp + 8..tcp + TCP_FLAGS, tcp + 14..tcp + 16, tcp + 18..self.headers]
        } else {
            // The 18th to 24th byte are the packet's number, the fragment's place, hop limit and protocol.
            let all = first[18..24] == second[18..24];
            let end = if all { self.headers } else { return false };
            [0..16, 26..tcp + 4, tcp + 8..tcp + TCP_FLAGS, tcp + 14..tcp + 16, tcp + 18..end]
        };
        if same.into_iter().any(|range| first[range.clone()] != second[range]) {
            return false;
        }
        let sequence = TcpPacket::new_unchecked(&second[tcp..]).seq_number();
        let flags = second[tcp + TCP_FLAGS];
        if sequence != self.next || flags & ACK == 0 || flags & !(ACK | PSH | FIN) != 0 {
            return false;
        }
        let payload = frame.len() - self.headers;
        first[tcp + TCP_FLAGS] = flags;
        self.next += payload;
        self.closed = payload < self.size || flags != ACK;
        self.joined = true;
        true
    }

    /// Where the TCP header begins.
    fn tcp(&self) -> usize {
        ETHERNET_HEADER_LEN + if self.v6 { IPV6_HEADER_LEN } else { IPV4_HEADER_LEN }
    }
}

/// Makes a frame ready for a device that completes checksums, and says what is left for it to do. A frame that segments have
/// joined gets its length.
pub(crate) fn finish(frame: &mut [u8], run: Option<Run>) -> Work {
    let segments = run.filter(|run| run.joined).map(|run| Segments {
        v6: run.v6,
        headers: run.headers as u16,
        size: run.size as u16,
    });
    let checksum = prepare_checksum(frame, segments.is_some());
    Work { checksum, segments }
}

/// Puts the sum of the pseudo-header where the checksum of TCP or UDP will be. Where that is to be computed from, and how far
/// behind it is.
fn prepare_checksum(frame: &mut [u8], is_large: bool) -> Option<(u16, u16)> {
    let ethertype = EthernetFrame::new_checked(&*frame).ok()?.ethertype();
    let packet = frame.get_mut(ETHERNET_HEADER_LEN..)?;
    let length = packet.len();
    let (source, destination, protocol, header): (IpAddress, IpAddress, _, _) = match ethertype {
        EthernetProtocol::Ipv4 => {
            let mut packet = Ipv4Packet::new_unchecked(packet);
            if is_large {
                packet.set_total_len(length as u16);
                packet.fill_checksum();
            }
            let header = usize::from(packet.header_len());
            (packet.src_addr().into(), packet.dst_addr().into(), packet.next_header(), header)
        }
        EthernetProtocol::Ipv6 => {
            let mut packet = Ipv6Packet::new_unchecked(packet);
            if is_large {
                packet.set_payload_len((length - IPV6_HEADER_LEN) as u16);
            }
            (packet.src_addr().into(), packet.dst_addr().into(), packet.next_header(), IPV6_HEADER_LEN)
        }
        _ => return None,
    };
    let transport = frame.get_mut(ETHERNET_HEADER_LEN + header..)?;
    if protocol == IpProtocol::Udp
        && let Ok(mut datagram) = UdpPacket::new_checked(&mut *transport)
        && datagram.src_port() == DHCP_CLIENT_PORT
    {
        // Servers take these past their kernel, which would have completed the checksum, and some look at it.
        datagram.fill_checksum(&source, &destination);
        return None;
    }
    let (least, offset) = match protocol {
        IpProtocol::Tcp => (TCP_HEADER_LEN, TCP_CHECKSUM),
        IpProtocol::Udp => (UDP_HEADER_LEN, UDP_CHECKSUM),
        _ => return None,
    };
    let sum = checksum::pseudo_header(&source, &destination, protocol, transport.len() as u32);
    let field = transport.get_mut(..least)?.get_mut(offset..offset + 2)?;
    field.copy_from_slice(&sum.to_be_bytes());
    Some(((ETHERNET_HEADER_LEN + header) as u16, offset as u16))
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
