//! Frames that no honest peer sends, to a stack with a server, a client and a datagram socket.

use arbitrary::{Result, Unstructured};
use embedded_io_async::{Read, Write};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress,
    IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, Ipv6Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    UdpPacket,
};
use smoltcp::wire::{Icmpv4Packet, Icmpv6Packet};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use ukvm_net_stack::{
    Config, HEADER_SIZE, IpEndpoint, Link, Offloads, Stack, TcpOptions, TcpStream, UdpSocket, Wire,
};

const OWN_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
const PEER_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const OWN: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
const PEER: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
/// The port that server and datagram socket are on, and the peer's.
const PORT: u16 = 7;
/// The port of DNS servers.
const DNS_PORT: u16 = 53;
const BUFFERS: usize = 4;
const MAX_CONNECTIONS: usize = 6;
const OPTIONS: TcpOptions =
    TcpOptions { backlog: 4, receive_buffer: 2048, send_buffer: 2048, keep_alive: None, nagle: false };

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct World {
    stack: Stack,
    wire: Wire,
    mtu: u16,
    tasks: Vec<Task>,
    /// Buffers of frames that the device has not sent yet.
    unsent: Vec<Box<[u8]>>,
    /// What the stack has sent and acknowledged last, by its own port and the peer's.
    conversations: BTreeMap<(u16, u16), (TcpSeqNumber, TcpSeqNumber)>,
    /// The last question for a name, and from which port it came.
    question: Option<(u16, Vec<u8>)>,
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 512];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    let _ = stream.close().await;
}

/// The programs on the stack: each does as one that knows nothing of its peer.
fn tasks(stack: &Stack) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let listener = stack.listen(PORT, OPTIONS).expect("a free port");
    tasks.push(Box::pin(async move {
        loop {
            let (stream, _) = listener.accept().await;
            echo(stream).await;
        }
    }));
    let socket = UdpSocket::bind(stack, PORT).expect("a free port");
    tasks.push(Box::pin(async move {
        let mut buffer = [0; 1500];
        loop {
            if let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let _ = socket.send_to(&buffer[..length], peer).await;
            }
        }
    }));
    let resolver = stack.clone();
    tasks.push(Box::pin(async move {
        loop {
            let _ = resolver.resolve("host.example").await;
            // Without an address to ask from it ends at once.
            yield_now().await;
        }
    }));
    let stack = stack.clone();
    tasks.push(Box::pin(async move {
        loop {
            let peer = IpEndpoint::new(IpAddress::Ipv4(PEER), PORT);
            if let Ok(mut stream) = TcpStream::connect(&stack, peer, OPTIONS).await {
                let _ = stream.write_all(b"hello").await;
                echo(stream).await;
            }
        }
    }));
    tasks
}

/// Lets the others have a turn.
async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|_| if std::mem::replace(&mut has_yielded, true) { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

impl World {
    fn new(mtu: u16) -> Self {
        NOW.set(Duration::from_secs(1));
        let config = Config {
            addresses: ["10.0.0.2/24", "fd00::2/64"].map(|text| text.parse().expect("an address")).to_vec(),
            gateway_v4: Some(PEER),
            slaac: mtu >= 1280,
            dns_servers: vec![PEER.into()],
            max_connections: Some(MAX_CONNECTIONS),
            ..Config::default()
        };
        let link = Link { mac: OWN_MAC.0, mtu, buffers: BUFFERS, offloads: Offloads::default() };
        let (stack, wire) = Stack::new(&link, &config, [42; 32], || NOW.get()).expect("a good configuration");
        let tasks = tasks(&stack);
        Self { stack, wire, mtu, tasks, unsent: Vec::new(), conversations: BTreeMap::new(), question: None }
    }

    /// What a driver and an executor do in a turn, and what they may rely on.
    fn turn(&mut self) {
        self.tasks
            .retain_mut(|task| task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        self.wire.poll();
        while let Some(out) = self.wire.transmit() {
            assert_eq!(out.buffer[..HEADER_SIZE], [0; HEADER_SIZE]);
            assert!(out.length <= HEADER_SIZE + 14 + usize::from(self.mtu));
            let frame = EthernetFrame::new_checked(&out.buffer[HEADER_SIZE..out.length]).expect("a frame");
            assert_eq!(frame.src_addr(), OWN_MAC);
            self.learn(frame.ethertype(), frame.payload());
            self.unsent.push(out.buffer);
        }
        assert!(self.unsent.len() <= BUFFERS);
        assert!(self.stack.connections() <= MAX_CONNECTIONS);
    }

    /// Notes where a conversation is, so that a peer can go on with it.
    fn learn(&mut self, protocol: EthernetProtocol, payload: &[u8]) -> Option<()> {
        if protocol != EthernetProtocol::Ipv4 {
            return None;
        }
        let packet = Ipv4Packet::new_checked(payload).ok()?;
        if packet.next_header() == IpProtocol::Udp {
            let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
            if datagram.dst_port() == DNS_PORT {
                self.question = Some((datagram.src_port(), datagram.payload().to_vec()));
            }
        }
        if packet.next_header() != IpProtocol::Tcp {
            return None;
        }
        let segment = TcpPacket::new_checked(packet.payload()).ok()?;
        let ports = (segment.src_port(), segment.dst_port());
        self.conversations
            .insert(ports, (segment.seq_number() + segment.segment_len(), segment.ack_number()));
        Some(())
    }

    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let event = input.arbitrary::<u8>()?;
        let rest = event >> 4;
        match event % 16 {
            0..4 => {
                let length = usize::from(input.arbitrary::<u16>()?).min(input.len());
                let mut frame = input.bytes(length)?.to_vec();
                if event & 1 == 1 {
                    repair(&mut frame);
                }
                // Whoever vouches for a checksum may do so wrongly.
                let header = if rest & 4 == 0 { [0; HEADER_SIZE] } else { input.arbitrary()? };
                self.wire.receive(&[&header[..], &frame].concat());
            }
            4..12 => {
                let segment = self.segment(rest, input)?;
                self.receive(&segment);
            }
            12 => self.receive(&arp(ArpOperation::Reply)),
            13 => self.unsent.drain(..).for_each(|buffer| self.wire.release(buffer)),
            15 => {
                if let Some(answer) = self.answer(rest, input)? {
                    self.receive(&answer);
                }
            }
            _ => {
                // From 1 ms to 32 s.
                NOW.set(NOW.get() + Duration::from_millis(1 << rest));
            }
        }
        if event % 16 != 13 && rest & 1 == 0 {
            self.unsent.drain(..).for_each(|buffer| self.wire.release(buffer));
        }
        self.turn();
        Ok(())
    }

    /// An answer to the last question for a name: with its number and question, this code, and records as they come.
    fn answer(&self, code: u8, input: &mut Unstructured<'_>) -> Result<Option<Vec<u8>>> {
        let [count, length] = input.arbitrary::<[u8; 2]>()?;
        let records = input.bytes(usize::from(length).min(input.len()))?;
        let Some((port, question)) = &self.question else { return Ok(None) };
        let mut message = question.clone();
        // An answer with recursion, with one record at least; the code with the highest bit is a truncated one.
        message[2..8].copy_from_slice(&[0x81 | code >> 2 & 2, 0x80 | code & 7, 0, 1, 0, count]);
        message.extend(records);
        let length = (message.len() as u16 + 8).to_be_bytes();
        let datagram =
            [&DNS_PORT.to_be_bytes()[..], &port.to_be_bytes(), &length, &[0, 0], &message].concat();
        let mut frame = packet(IpProtocol::Udp, false, &datagram);
        repair(&mut frame);
        Ok(Some(frame))
    }

    /// A frame for which nobody vouches.
    fn receive(&self, frame: &[u8]) {
        self.wire.receive(&[&[0; HEADER_SIZE], frame].concat());
    }

    /// A TCP segment of a conversation or of none, near to what fits.
    fn segment(&self, which: u8, input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let [flags, near_seq, near_ack, length] = input.arbitrary::<[u8; 4]>()?;
        let known = self.conversations.iter().nth(usize::from(which >> 1));
        let (&(own, peer), &(next, acknowledged)) =
            known.unwrap_or((&(PORT, 1000 + u16::from(which)), &(TcpSeqNumber(0), TcpSeqNumber(100))));
        let near = |number: TcpSeqNumber, by: u8| match by {
            0x80.. => number + usize::from(by - 0x80) * 64,
            _ => number + usize::from(by),
        };
        let payload = vec![length; usize::from(length) * 4];
        let control = match flags & 7 {
            0 | 1 => TcpControl::None,
            2 => TcpControl::Psh,
            3 | 4 => TcpControl::Syn,
            5 | 6 => TcpControl::Fin,
            _ => TcpControl::Rst,
        };
        let segment = TcpRepr {
            src_port: peer,
            dst_port: own,
            control,
            seq_number: near(acknowledged, near_seq),
            ack_number: (flags & 8 == 0).then(|| near(next, near_ack)),
            window_len: if flags & 0x10 == 0 { 4000 } else { input.arbitrary()? },
            window_scale: (control == TcpControl::Syn).then_some(flags >> 5),
            max_seg_size: (control == TcpControl::Syn).then_some(u16::from(near_seq) * 16),
            sack_permitted: flags & 0x40 != 0 && control == TcpControl::Syn,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &payload,
        };
        let ip = Ipv4Repr {
            src_addr: PEER,
            dst_addr: OWN,
            next_header: IpProtocol::Tcp,
            payload_len: segment.buffer_len(),
            hop_limit: 64,
        };
        let sums = ChecksumCapabilities::default();
        let mut bytes = vec![0; 14 + ip.buffer_len() + segment.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        frame.set_src_addr(PEER_MAC);
        frame.set_dst_addr(OWN_MAC);
        frame.set_ethertype(EthernetProtocol::Ipv4);
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet, &sums);
        let mut out = TcpPacket::new_unchecked(packet.payload_mut());
        segment.emit(&mut out, &PEER.into(), &OWN.into(), &sums);
        Ok(bytes)
    }
}

fn arp(operation: ArpOperation) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: PEER_MAC,
        source_protocol_addr: PEER,
        target_hardware_addr: OWN_MAC,
        target_protocol_addr: OWN,
    };
    let mut bytes = vec![0; 14 + repr.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(PEER_MAC);
    frame.set_dst_addr(OWN_MAC);
    frame.set_ethertype(EthernetProtocol::Arp);
    repr.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

/// Puts the checksums of a frame right, as far as its lengths let, so that what is wrong with it is something else.
fn repair(frame: &mut [u8]) -> Option<()> {
    let mut frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let mut packet = Ipv4Packet::new_checked(frame.payload_mut()).ok()?;
            packet.fill_checksum();
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            fill(packet.next_header(), packet.payload_mut(), from, to)
        }
        EthernetProtocol::Ipv6 => {
            let mut packet = Ipv6Packet::new_checked(frame.payload_mut()).ok()?;
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            fill(packet.next_header(), packet.payload_mut(), from, to)
        }
        _ => None,
    }
}

fn fill(protocol: IpProtocol, payload: &mut [u8], from: IpAddress, to: IpAddress) -> Option<()> {
    match (protocol, from, to) {
        (IpProtocol::Tcp, ..) => TcpPacket::new_checked(payload).ok()?.fill_checksum(&from, &to),
        (IpProtocol::Udp, ..) => UdpPacket::new_checked(payload).ok()?.fill_checksum(&from, &to),
        (IpProtocol::Icmp, ..) => Icmpv4Packet::new_checked(payload).ok()?.fill_checksum(),
        (IpProtocol::Icmpv6, IpAddress::Ipv6(from), IpAddress::Ipv6(to)) => {
            Icmpv6Packet::new_checked(payload).ok()?.fill_checksum(&from, &to);
        }
        _ => return None,
    }
    Some(())
}

/// Has a stack receive what `data` says.
///
/// # Panics
///
/// Where the stack does, sends what is no frame, or exceeds its limits.
pub fn run(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    // With the second there is no IPv6.
    let mut world = World::new(if kind & 1 == 0 { 1500 } else { 576 });
    let mut input = Unstructured::new(data);
    while !input.is_empty() && world.step(&mut input).is_ok() {}
}

/// An event with a frame of its own, with checksums put right.
fn raw(frame: &[u8]) -> Vec<u8> {
    [&[1][..], &(frame.len() as u16).to_le_bytes(), frame].concat()
}

/// An IPv4 or IPv6 frame to the stack.
fn packet(protocol: IpProtocol, v6: bool, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    let head = if v6 {
        let own = "fd00::2".parse::<std::net::Ipv6Addr>().expect("an address").octets();
        let peer = "fd00::1".parse::<std::net::Ipv6Addr>().expect("an address").octets();
        [&[0x60, 0, 0, 0][..], &length.to_be_bytes(), &[protocol.into(), 255], &peer, &own].concat()
    } else {
        let start = [&[0x45, 0][..], &(length + 20).to_be_bytes(), &[0, 0, 0, 0, 64, protocol.into(), 0, 0]];
        [&start.concat()[..], &PEER.octets(), &OWN.octets()].concat()
    };
    let kind: u16 = if v6 { EthernetProtocol::Ipv6 } else { EthernetProtocol::Ipv4 }.into();
    [&OWN_MAC.0[..], &PEER_MAC.0, &kind.to_be_bytes(), &head, payload].concat()
}

/// A router advertisement with the options of hosts that configure themselves.
fn advertisement() -> Vec<u8> {
    let head = [134, 0, 0, 0, 64, 8, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let prefix =
        [&[3, 4, 64, 0xc0, 0, 0, 0, 60, 0, 0, 0, 30, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8][..], &[0; 12]].concat();
    let servers = [&[25, 3, 0, 0, 0, 0, 0, 60, 0xfd][..], &[0; 14], &[0x53]].concat();
    let mtu = [5, 1, 0, 0, 0, 0, 5, 0x78];
    let mut frame = packet(IpProtocol::Icmpv6, true, &[&head[..], &prefix, &servers, &mtu].concat());
    // From a link-local address.
    frame[22..24].copy_from_slice(&[0xfe, 0x80]);
    frame
}

/// Handshakes from either side with data and ends, echo requests, datagrams, a neighbor solicitation, another's claim to the
/// address, router advertisements, answers to questions for a name.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let (syn, ack, data, fin) = ([4, 0x0b, 1, 0, 0], [4, 0, 0, 0, 0], [4, 2, 0, 0, 9], [4, 5, 0, 0, 0]);
    let server = [&[0, 12][..], &syn, &ack, &data, &data, &[0x9e], &fin, &ack, &[0xde]].concat();
    // The client's conversation: the stack has asked, and gets SYN and acknowledgement.
    let client = [&[0, 12, 14][..], &[4, 3, 1, 0, 0], &data, &ack, &fin, &ack, &[0xee]].concat();
    let datagram = [&[0, 9, 0, 7, 0, 16, 0, 0][..], b"datagram"].concat();
    let solicitation: Vec<u8> =
        [&[135, 0, 0, 0, 0, 0, 0, 0, 0xfd][..], &[0; 14], &[2, 1, 1], &PEER_MAC.0].concat();
    let mut seeds = vec![server, client, [&[1][..], &raw(&arp(ArpOperation::Request))].concat()];
    for v6 in [false, true] {
        let (icmp, kind) = if v6 { (IpProtocol::Icmpv6, 128) } else { (IpProtocol::Icmp, 8) };
        let echo = packet(icmp, v6, &[kind, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4]);
        let udp = packet(IpProtocol::Udp, v6, &datagram);
        seeds.push([&[0, 12][..], &raw(&echo), &raw(&udp)].concat());
    }
    seeds.push([&[0][..], &raw(&packet(IpProtocol::Icmpv6, true, &solicitation))].concat());
    let claim: Vec<u8> =
        [&[136, 0, 0, 0, 0x20, 0, 0, 0, 0xfd][..], &[0; 14], &[2, 2, 1], &PEER_MAC.0].concat();
    seeds.push([&[0][..], &raw(&packet(IpProtocol::Icmpv6, true, &claim)), &[0xee, 0xfe]].concat());
    seeds.push([&[0][..], &raw(&advertisement()), &[0xce], &raw(&advertisement()), &[0xfe, 0xfe]].concat());
    let record = [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &OWN.octets()].concat();
    let alias = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 17];
    let answer = |code: u8, records: &[u8]| {
        [&[0x0f | code << 4, (records.len() / 16) as u8, records.len() as u8][..], records].concat()
    };
    let both = [&alias[..], &record].concat();
    let truncated = answer(8, &record);
    seeds.push(
        [&[0, 12, 12][..], &answer(0, &record), &[0xae], &answer(0, &both), &truncated, &answer(3, &[])]
            .concat(),
    );
    seeds
}
