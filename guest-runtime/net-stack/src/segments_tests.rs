use super::*;
use crate::config::Link;
use crate::header::HEADER_SIZE;
use crate::transmit::Transmit;
use alloc::vec;
use alloc::vec::Vec;

const OFFLOADS: Offloads = Offloads { checksum: true, tso4: true, tso6: true, large_buffers: 8 };

/// xorshift64* (Vigna, 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % bound
    }
}

/// What a segment is made of.
#[derive(Clone, Debug)]
struct Segment {
    v6: bool,
    port: u16,
    sequence: u32,
    acknowledges: u32,
    window: u16,
    flags: u8,
    options: usize,
    payload: Vec<u8>,
}

impl Segment {
    fn plain(payload: usize) -> Self {
        let payload = vec![7; payload];
        Self { v6: false, port: 1, sequence: 0, acknowledges: 1, window: 1, flags: ACK, options: 0, payload }
    }

    fn headers(&self) -> usize {
        14 + if self.v6 { 40 } else { 20 } + 20 + self.options
    }

    /// The frame, without TCP's checksum.
    fn frame(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        let length = (20 + self.options + self.payload.len()) as u16;
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([6, 64]);
            frame.extend([0xfd; 31]);
            frame.push(1);
        } else {
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend((length + 20).to_be_bytes());
            frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
        }
        frame.extend(self.port.to_be_bytes());
        frame.extend([0, 80]);
        frame.extend(self.sequence.to_be_bytes());
        frame.extend(self.acknowledges.to_be_bytes());
        frame.extend([((20 + self.options) / 4 * 16) as u8, self.flags]);
        frame.extend(self.window.to_be_bytes());
        frame.extend([0; 4]);
        // No-operations.
        frame.extend(core::iter::repeat_n(1, self.options));
        frame.extend(&self.payload);
        frame
    }
}

fn transmit(offloads: Offloads) -> Transmit {
    Transmit::new(&Link { mac: [2, 0, 0, 0, 0, 1], mtu: 1500, buffers: 64, offloads })
}

fn send(transmit: &mut Transmit, frame: &[u8], joins: bool) {
    transmit.send(frame.len(), joins, |to| to.copy_from_slice(frame));
}

/// What the device puts on the wire for all that was queued; buffers come back.
fn on_the_wire(transmit: &mut Transmit) -> Vec<Vec<u8>> {
    let mut wire = Vec::new();
    while let Some(out) = transmit.take() {
        cut(&out.buffer[..out.length], &mut wire);
        transmit.release(out.buffer);
    }
    wire
}

/// The ones' complement sum of RFC 1071, without the complement.
fn sum(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks(2);
    let sum = pairs.map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let mut sum: u32 = sum.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// A model of the device: does what the header says, as virtio 1.2, section 5.1.6.2, describes it.
fn cut(packet: &[u8], wire: &mut Vec<Vec<u8>>) {
    let (header, frame) = packet.split_at(HEADER_SIZE);
    let word = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let (headers, size, start, offset) = (word(2), word(4), word(6), word(8));
    assert_eq!(header[0], 1, "a checksum to be computed");
    let v6 = frame[12] == 0x86;
    let mut pieces = Vec::new();
    if header[1] == 0 {
        pieces.push(frame.to_vec());
    } else {
        assert_eq!(header[1], if v6 { 4 } else { 1 });
        let count = (frame.len() - headers).div_ceil(size);
        assert!(count > 1, "a large frame of one segment");
        for (index, payload) in frame[headers..].chunks(size).enumerate() {
            let mut piece = frame[..headers].to_vec();
            piece.extend(payload);
            let length = piece.len() as u16 - 14;
            if v6 {
                piece[18..20].copy_from_slice(&(length - 40).to_be_bytes());
            } else {
                piece[16..18].copy_from_slice(&length.to_be_bytes());
                Ipv4Packet::new_unchecked(&mut piece[14..]).fill_checksum();
            }
            let old = u32::from_be_bytes(piece[start + 4..start + 8].try_into().unwrap());
            piece[start + 4..start + 8]
                .copy_from_slice(&old.wrapping_add((index * size) as u32).to_be_bytes());
            if index + 1 < count {
                piece[start + TCP_FLAGS] &= !(PSH | FIN);
            }
            // The sum of the pseudo-header counts the length of the whole.
            let field = start + offset;
            let all = (frame.len() - start) as u16;
            let one = (piece.len() - start) as u16;
            let sum = sum(&[&piece[field..field + 2], &(!all).to_be_bytes(), &one.to_be_bytes()].concat());
            piece[field..field + 2].copy_from_slice(&(sum as u16).to_be_bytes());
            pieces.push(piece);
        }
    }
    for mut piece in pieces {
        let checksum = !(sum(&piece[start..]) as u16);
        piece[start + offset..start + offset + 2].copy_from_slice(&checksum.to_be_bytes());
        wire.push(piece);
    }
}

/// The frame as it is sent without offloads.
fn complete(segment: &Segment) -> Vec<u8> {
    let mut frame = segment.frame();
    let start = if segment.v6 { 54 } else { 34 };
    let addresses = if segment.v6 { 22..54 } else { 26..34 };
    let (source, destination) = frame[addresses].split_at(if segment.v6 { 16 } else { 4 });
    let address = |bytes: &[u8]| match bytes.try_into() {
        Ok(bytes) => IpAddress::Ipv4(u32::from_be_bytes(bytes).into()),
        Err(_) => IpAddress::Ipv6(u128::from_be_bytes(bytes.try_into().unwrap()).into()),
    };
    let (source, destination) = (address(source), address(destination));
    TcpPacket::new_unchecked(&mut frame[start..]).fill_checksum(&source, &destination);
    frame
}

#[test]
fn segments_in_a_row_are_one_frame() {
    for v6 in [false, true] {
        let mut transmit = transmit(OFFLOADS);
        let mut expected = Vec::new();
        for index in 0..44 {
            let flags = if index == 43 { ACK | PSH } else { ACK };
            let sequence = (index * 1400_u32).wrapping_sub(3000);
            let segment = Segment { v6, flags, sequence, ..Segment::plain(1400) };
            send(&mut transmit, &segment.frame(), index > 0);
            expected.push(complete(&segment));
        }
        assert_eq!(transmit.queued(), 1);
        assert_eq!(on_the_wire(&mut transmit), expected);
    }
}

#[test]
fn what_differs_stays_apart() {
    let first = Segment::plain(1000);
    let second = Segment { sequence: 1000, ..first.clone() };
    let count = |first: &Segment, second: &Segment| {
        let mut transmit = transmit(OFFLOADS);
        send(&mut transmit, &first.frame(), false);
        send(&mut transmit, &second.frame(), true);
        let count = transmit.queued();
        assert_eq!(on_the_wire(&mut transmit), [complete(first), complete(second)]);
        count
    };
    assert_eq!(count(&first, &second), 1);
    for other in [
        Segment { sequence: 999, ..second.clone() },
        Segment { sequence: 1001, ..second.clone() },
        Segment { sequence: 0, ..second.clone() },
        Segment { port: 2, ..second.clone() },
        Segment { acknowledges: 2, ..second.clone() },
        Segment { window: 2, ..second.clone() },
        Segment { options: 4, ..second.clone() },
        Segment { v6: true, ..second.clone() },
        Segment { flags: ACK | 2, ..second.clone() },
        Segment { flags: ACK | 4, ..second.clone() },
        Segment { flags: ACK | 0x20, ..second.clone() },
        Segment { flags: ACK | 0x80, ..second.clone() },
        Segment { flags: 0, ..second.clone() },
        Segment { payload: vec![], ..second.clone() },
        Segment { payload: vec![7; 1001], ..second.clone() },
    ] {
        assert_eq!(count(&first, &other), 2, "{other:?}");
    }
    for flags in [ACK | PSH, ACK | FIN, ACK | 2, ACK | 4, ACK | 0x80, 0] {
        assert_eq!(count(&Segment { flags, ..first.clone() }, &second), 2, "{flags}");
    }
    assert_eq!(count(&first, &Segment { flags: ACK | FIN, ..second.clone() }), 1);
}

#[test]
fn a_short_segment_is_the_last_one() {
    let mut transmit = transmit(OFFLOADS);
    let mut sequence = 0;
    let mut expected = Vec::new();
    for (index, length) in [1000, 1000, 999, 1000].into_iter().enumerate() {
        let segment = Segment { sequence, ..Segment::plain(length) };
        sequence += length as u32;
        send(&mut transmit, &segment.frame(), index > 0);
        expected.push(complete(&segment));
    }
    assert_eq!(transmit.queued(), 2);
    assert_eq!(on_the_wire(&mut transmit), expected);
}

#[test]
fn only_what_the_device_cuts_is_joined() {
    for (offloads, v6, frames) in [
        (Offloads { tso6: false, ..OFFLOADS }, true, 2),
        (Offloads { tso4: false, ..OFFLOADS }, false, 2),
        (Offloads { tso4: false, ..OFFLOADS }, true, 1),
        (Offloads { large_buffers: 0, ..OFFLOADS }, true, 2),
    ] {
        let mut transmit = transmit(offloads);
        let first = Segment { v6, ..Segment::plain(1000) };
        send(&mut transmit, &first.frame(), false);
        send(&mut transmit, &Segment { sequence: 1000, ..first }.frame(), true);
        assert_eq!(transmit.queued(), frames);
    }
    let mut transmit = transmit(Offloads { checksum: false, ..OFFLOADS });
    let frame = Segment::plain(1000).frame();
    send(&mut transmit, &frame, false);
    send(&mut transmit, &Segment { sequence: 1000, ..Segment::plain(1000) }.frame(), true);
    assert_eq!(transmit.queued(), 2);
    // Nothing is left to the device, and nothing was changed.
    let out = transmit.take().unwrap();
    assert_eq!(out.buffer[..HEADER_SIZE], [0; HEADER_SIZE]);
    assert_eq!(out.buffer[HEADER_SIZE..out.length], frame);
}

#[test]
fn whatever_is_sent_is_on_the_wire_as_it_would_be_without_offloads() {
    let mut random = Random(42);
    for round in 0..300 {
        let mut transmit = transmit(OFFLOADS);
        let mut expected = Vec::new();
        let (v6, size) = (random.below(2) == 0, 1 + random.below(1400));
        let mut segment = Segment { v6, options: 4 * random.below(3), ..Segment::plain(0) };
        segment.sequence = (random.below(1 << 31) as u32) << 1;
        for index in 0..random.below(63) + 1 {
            let rare = |random: &mut Random| random.below(12) == 0;
            segment.flags = if rare(&mut random) { random.below(64) as u8 } else { ACK };
            let length = if rare(&mut random) { random.below(1400) } else { size };
            segment.payload = (0..length).map(|_| random.below(256) as u8).collect();
            for field in [&mut segment.port, &mut segment.window] {
                *field += u16::from(random.below(40) == 0);
            }
            segment.sequence = segment.sequence.wrapping_add(u32::from(random.below(40) == 0));
            assert!(segment.headers() + segment.payload.len() <= 1514);
            send(&mut transmit, &segment.frame(), index > 0 && random.below(20) > 0);
            expected.push(complete(&segment));
            segment.sequence = segment.sequence.wrapping_add(length as u32);
        }
        assert!(transmit.queued() <= expected.len());
        assert_eq!(on_the_wire(&mut transmit), expected, "round {round}");
        assert!(transmit.has_room());
    }
}
