//! ICMP beside smoltcp: who is told that a packet was for nobody, and the messages of IPv6 that smoltcp does not send.
//!
//! smoltcp answers every datagram to a closed port and every packet of an unknown protocol, as often as they come, and over IPv6 those to
//! groups, too. Its answers quote a header of its own making and point to a wrong place, and the first one is lost, as it asks for the
//! sender's hardware address instead. So errors are made here: exact, none for what went to many, and not too many at a time.
//! Echo replies and resets have no limit: neither is larger than what it answers.

use crate::engine::Engine;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Instant;
use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IPV4_HEADER_LEN,
    IPV6_HEADER_LEN, IPV6_MIN_MTU, Icmpv4Packet, Icmpv6Packet, Icmpv6Repr, IpAddress, IpCidr, IpProtocol,
    Ipv4Address, Ipv4Packet, Ipv4Repr, Ipv6Address, Ipv6Packet, Ipv6Repr,
};

/// The most errors a second, on average (RFC 1812, section 4.3.2.8; RFC 4443, section 2.4 f): what BSDs have.
const RATE: u32 = 200;
/// The most errors at once.
const BURST: u32 = 50;
/// Bytes of an error in front of the packet that it is about (RFC 792; RFC 4443, section 3).
const HEADER_SIZE: usize = 8;
/// The most bytes of a packet with an error over IPv4 (RFC 1812, section 4.3.2.3). Over IPv6 it is the least MTU.
const LONGEST_V4: usize = 576;
/// How far errors go: the default of this stack's other packets.
const HOP_LIMIT: u8 = 64;

/// How many errors may still be sent: a bucket of tokens.
#[derive(Debug)]
pub(crate) struct ErrorLimit {
    tokens: u32,
    /// Up to when tokens have been added.
    filled: Instant,
}

impl ErrorLimit {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tokens: BURST, filled: now }
    }

    /// Takes a token, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        const TOKEN_MICROS: u64 = 1_000_000 / RATE as u64;
        let new = (now - self.filled).total_micros() / TOKEN_MICROS;
        if new >= u64::from(BURST - self.tokens) {
            (self.tokens, self.filled) = (BURST, now);
        } else {
            self.tokens += new as u32;
            self.filled += smoltcp::time::Duration::from_micros(new * TOKEN_MICROS);
        }
        let is_there = self.tokens > 0;
        self.tokens -= u32::from(is_there);
        is_there
    }
}

/// For whom a packet turned out to be: nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody has the port.
    Port,
    /// Nobody knows the protocol. Over IPv6 with the place in the packet that names it.
    Protocol { pointer: Option<u8> },
}

impl Engine {
    /// Tells the sender of a packet that it was for nobody, if he may be told now (RFC 1122, section 3.2.2; RFC 4443, section 2.4 e
    /// and f). The answer goes where the packet came from.
    pub(crate) fn refuse(&mut self, frame: &[u8], refusal: Refusal) {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return };
        if !ethernet.dst_addr().is_unicast() || !ethernet.src_addr().is_unicast() {
            return;
        }
        let mtu = self.transmit.mtu();
        let packet = ethernet.payload();
        match ethernet.ethertype() {
            EthernetProtocol::Ipv4 => {
                let Ok(header) = Ipv4Packet::new_checked(packet) else { return };
                let (source, destination) = (header.src_addr(), header.dst_addr());
                let is_intact = header.verify_checksum();
                let length = usize::from(header.total_len());
                if is_intact && self.may_complain(source.into(), destination.into()) {
                    let code = if refusal == Refusal::Port { 3 } else { 2 };
                    // Destination unreachable (RFC 792).
                    let quoted = &packet[..length.min(LONGEST_V4.min(mtu) - IPV4_HEADER_LEN - HEADER_SIZE)];
                    self.send_error_v4(ethernet.src_addr(), (destination, source), [3, code], quoted);
                }
            }
            EthernetProtocol::Ipv6 => {
                let Ok(header) = Ipv6Packet::new_checked(packet) else { return };
                let (source, destination) = (header.src_addr(), header.dst_addr());
                let length = header.total_len();
                if self.may_complain(source.into(), destination.into()) {
                    let head = match refusal {
                        // Parameter problem: an unrecognized next header (RFC 4443, section 3.4).
                        Refusal::Protocol { pointer } => [4, 1, 0, 0, 0, 0, 0, pointer.unwrap_or_default()],
                        // Destination unreachable (section 3.1).
                        Refusal::Port => [1, 4, 0, 0, 0, 0, 0, 0],
                    };
                    let quoted = &packet[..length.min(IPV6_MIN_MTU.min(mtu) - IPV6_HEADER_LEN - HEADER_SIZE)];
                    let to = (source, ethernet.src_addr());
                    self.send_v6(destination, to, HOP_LIMIT, HEADER_SIZE + quoted.len(), |message| {
                        write(message, head, quoted);
                        Icmpv6Packet::new_unchecked(message).fill_checksum(&destination, &source);
                    });
                }
            }
            _ => {}
        }
    }

    /// Whether a host that is one, and has sent a packet to this host alone, may be told that it was for nobody.
    fn may_complain(&mut self, source: IpAddress, destination: IpAddress) -> bool {
        let is_host = source.is_unicast()
            && !self.interface.has_ip_addr(source)
            && !self.interface.ip_addrs().iter().any(|cidr| match cidr {
                IpCidr::Ipv4(cidr) => cidr.broadcast().map(IpAddress::from) == Some(source),
                IpCidr::Ipv6(_) => false,
            });
        is_host && self.interface.has_ip_addr(destination) && self.error_limit.take(self.now)
    }

    fn send_error_v4(
        &mut self,
        hardware: EthernetAddress,
        (source, destination): (Ipv4Address, Ipv4Address),
        [kind, code]: [u8; 2],
        quoted: &[u8],
    ) {
        let packet = Ipv4Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Icmp,
            payload_len: HEADER_SIZE + quoted.len(),
            hop_limit: HOP_LIMIT,
        };
        let frame =
            EthernetRepr { src_addr: self.mac, dst_addr: hardware, ethertype: EthernetProtocol::Ipv4 };
        let length = ETHERNET_HEADER_LEN + packet.buffer_len() + packet.payload_len;
        self.transmit.send(length, false, |bytes| {
            let mut out = EthernetFrame::new_unchecked(bytes);
            frame.emit(&mut out);
            let mut out = Ipv4Packet::new_unchecked(out.payload_mut());
            packet.emit(&mut out, &ChecksumCapabilities::default());
            let message = out.payload_mut();
            write(message, [kind, code, 0, 0, 0, 0, 0, 0], quoted);
            Icmpv4Packet::new_unchecked(message).fill_checksum();
        });
    }

    /// Sends a message of ICMPv6 to an address and the hardware that has it.
    pub(crate) fn send_icmpv6(
        &mut self,
        source: Ipv6Address,
        to: (Ipv6Address, EthernetAddress),
        hop_limit: u8,
        message: &Icmpv6Repr<'_>,
    ) {
        self.send_v6(source, to, hop_limit, message.buffer_len(), |bytes| {
            let mut out = Icmpv6Packet::new_unchecked(bytes);
            message.emit(&source, &to.0, &mut out, &ChecksumCapabilities::default());
        });
    }

    fn send_v6(
        &mut self,
        source: Ipv6Address,
        (destination, hardware): (Ipv6Address, EthernetAddress),
        hop_limit: u8,
        length: usize,
        write: impl FnOnce(&mut [u8]),
    ) {
        let packet = Ipv6Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Icmpv6,
            payload_len: length,
            hop_limit,
        };
        let frame =
            EthernetRepr { src_addr: self.mac, dst_addr: hardware, ethertype: EthernetProtocol::Ipv6 };
        self.transmit.send(ETHERNET_HEADER_LEN + IPV6_HEADER_LEN + length, false, |bytes| {
            let mut out = EthernetFrame::new_unchecked(bytes);
            frame.emit(&mut out);
            let mut out = Ipv6Packet::new_unchecked(out.payload_mut());
            packet.emit(&mut out);
            write(out.payload_mut());
        });
    }
}

/// An error message but for its checksum: its head, and the packet that it is about.
fn write(message: &mut [u8], head: [u8; HEADER_SIZE], quoted: &[u8]) {
    let (start, rest) = message.split_at_mut(HEADER_SIZE);
    start.copy_from_slice(&head);
    rest.copy_from_slice(quoted);
}

/// A group of nodes on the link, and the hardware address of its members (RFC 2464, section 7).
pub(crate) fn group(address: Ipv6Address) -> (Ipv6Address, EthernetAddress) {
    let [.., a, b, c, d] = address.octets();
    (address, EthernetAddress([0x33, 0x33, a, b, c, d]))
}

/// The group of all nodes whose addresses end like `target` (RFC 4291, section 2.7.1).
pub(crate) fn solicited_node(target: Ipv6Address) -> (Ipv6Address, EthernetAddress) {
    let [.., a, b, c] = target.octets();
    group(Ipv6Address::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::time::Duration;

    #[test]
    fn errors_come_at_the_rate_at_most() {
        let start = Instant::from_secs(1);
        let mut limit = ErrorLimit::new(start);
        let mut taken = |micros| {
            let now = start + Duration::from_micros(micros);
            (0..1000).filter(|_| limit.take(now)).count()
        };
        assert_eq!(taken(0), 50);
        assert_eq!(taken(4_999), 0);
        assert_eq!(taken(5_000), 1);
        // What was left over counts: 2.4 intervals.
        assert_eq!(taken(17_000), 2);
        assert_eq!(taken(20_000), 1);
        assert_eq!(taken(3_600_000_000), 50);
    }
}
