//! Acknowledgments of many segments at once, shown to smoltcp as several.
//!
//! smoltcp opens its congestion window by a segment for each acknowledgment, as RFC 5681 has it, which expects one for every second
//! segment. Who receives a large frame in one piece acknowledges it as one. Taken as it is, the window would need hundreds of round trips
//! to open. Counting what was acknowledged (RFC 3465) is what other stacks do.

use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetFrame, EthernetProtocol, IPV6_HEADER_LEN, IpProtocol, Ipv4Packet,
    Ipv6Packet, TcpPacket, TcpSeqNumber,
};

/// The most bytes of a frame with an acknowledgment and nothing else: the headers of Ethernet, IP and TCP, all with options.
const LONGEST: usize = ETHERNET_HEADER_LEN + 60 + 60;
/// The most that one is shown as. More would cost more than the window, large as it must be by then, gains from it.
const MOST: usize = 16;

/// A frame that acknowledges and does nothing else, to be shown with other numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledgment {
    bytes: [u8; LONGEST],
    length: usize,
    /// Where the TCP header begins.
    tcp: usize,
}

impl Acknowledgment {
    /// The one that `frame` is, a segment of TCP over IPv4 or of TCP directly behind the header of IPv6.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..frame.len())?.copy_from_slice(frame);
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let header = match ethernet.ethertype() {
            EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(ethernet.payload()).ok()?.header_len().into(),
            EthernetProtocol::Ipv6 => {
                let packet = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
                (packet.next_header() == IpProtocol::Tcp).then_some(IPV6_HEADER_LEN)?
            }
            _ => return None,
        };
        let tcp = ETHERNET_HEADER_LEN + header;
        TcpPacket::new_checked(frame.get(tcp..)?).ok()?;
        Some(Self { bytes, length: frame.len(), tcp })
    }

    /// The frame with another number. Its TCP checksum is not right any more.
    pub(crate) fn with(&mut self, number: TcpSeqNumber) -> &[u8] {
        TcpPacket::new_unchecked(&mut self.bytes[self.tcp..]).set_ack_number(number);
        &self.bytes[..self.length]
    }
}

/// The numbers that are to be shown before `number`, where `last` was the last and segments have `segment` bytes.
pub(crate) fn between(
    last: TcpSeqNumber,
    number: TcpSeqNumber,
    segment: usize,
) -> impl Iterator<Item = TcpSeqNumber> {
    // What was overtaken on its way is shown as it is.
    let new = if number > last { number - last } else { 0 };
    (1..new.div_ceil(segment).clamp(1, MOST)).map(move |count| last + count * segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn many_segments_are_acknowledged_one_by_one() {
        // The numbers wrap.
        let last = TcpSeqNumber(i32::MAX - 1500);
        let numbers =
            |new: usize| between(last, last + new, 1000).map(|number| number - last).collect::<Vec<_>>();
        for (new, shown) in [
            (0, &[][..]),
            (1, &[]),
            (1000, &[]),
            (1001, &[1000]),
            (3000, &[1000, 2000]),
            (3001, &[1000, 2000, 3000]),
        ] {
            assert_eq!(numbers(new), shown);
        }
        assert_eq!(numbers(1 << 30).len(), MOST - 1);
        assert_eq!(between(last + 5000, last, 1000).count(), 0);
    }

    #[test]
    fn what_is_too_long_or_no_segment_is_none() {
        for length in [0, 13, 14, 33, LONGEST, LONGEST + 1, 1500] {
            for ethertype in [[0x08, 0x00], [0x86, 0xdd], [0x08, 0x06]] {
                let mut frame = alloc::vec![0; length];
                if let Some(place) = frame.get_mut(12..14) {
                    place.copy_from_slice(&ethertype);
                }
                assert!(Acknowledgment::of(&frame).is_none());
            }
        }
    }
}
