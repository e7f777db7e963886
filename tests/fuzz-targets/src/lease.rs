//! What servers and neighbors may say to a stack that wants a lease and has an address of its own: DHCP messages with any options, ARP
//! packets with any addresses, a link that goes and comes.

use arbitrary::{Result, Unstructured};
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpPacket, EthernetAddress, EthernetFrame, EthernetProtocol,
    IpAddress, IpProtocol, Ipv4Address, Ipv4Packet, UdpPacket,
};
use std::cell::Cell;
use std::time::Duration;
use ukvm_net_stack::{Config, HEADER_SIZE, Link, MAX_ADDRESSES, Offloads, Stack, Wire};

const OWN_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
const PEER_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const BUFFERS: usize = 4;
/// Bytes of a DHCP message before its options, the magic number included (RFC 2131, section 2).
const FIXED: usize = 240;

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

struct World {
    stack: Stack,
    wire: Wire,
    /// Buffers of frames that the device has not sent yet.
    unsent: Vec<Box<[u8]>>,
    /// The number of the client's last question.
    transaction: u32,
}

impl World {
    fn new() -> Self {
        NOW.set(Duration::from_secs(1));
        let config = Config {
            addresses: vec!["10.0.0.2/24".parse().expect("an address")],
            dhcp: true,
            host_name: Some("guest".into()),
            ..Config::default()
        };
        let link = Link { mac: OWN_MAC.0, mtu: 1500, buffers: BUFFERS, offloads: Offloads::default() };
        let (stack, wire) = Stack::new(&link, &config, [42; 32], || NOW.get()).expect("a good configuration");
        Self { stack, wire, unsent: Vec::new(), transaction: 0 }
    }

    /// What a driver does in a turn, and what it may rely on.
    fn turn(&mut self) {
        self.wire.poll();
        while let Some(out) = self.wire.transmit() {
            let frame = EthernetFrame::new_checked(&out.buffer[HEADER_SIZE..out.length]).expect("a frame");
            assert_eq!(frame.src_addr(), OWN_MAC);
            if let Some(transaction) = question(&frame) {
                self.transaction = transaction;
            }
            self.unsent.push(out.buffer);
        }
        assert!(self.unsent.len() <= BUFFERS);
        let configuration = self.stack.configuration();
        assert!(configuration.addresses.len() <= MAX_ADDRESSES + 1);
        assert!(configuration.addresses.iter().all(|cidr| cidr.address().is_unicast()));
        // Who had nothing to do waits.
        if self.wire.can_receive() {
            self.wire.poll();
            if self.wire.transmit().map(|out| self.unsent.push(out.buffer)).is_none() {
                assert!(self.wire.deadline().is_none_or(|deadline| deadline > NOW.get()));
            }
        }
    }

    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let event = input.arbitrary::<u8>()?;
        let rest = event >> 3;
        match event % 8 {
            0..3 => {
                let kind = input.arbitrary::<u8>()?;
                let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
                let options = input.bytes(length)?;
                self.receive(&answer(self.transaction, rest, kind, options));
            }
            3 => {
                let length = usize::from(input.arbitrary::<u16>()?).min(input.len()).min(1400);
                self.receive(&datagram(input.bytes(length)?));
            }
            4 => {
                let [operation, sender, target, mac] = input.arbitrary::<[u8; 4]>()?;
                self.receive(&arp(operation, sender, target, mac));
            }
            5 => self.wire.set_link(rest & 1 == 1),
            6 => self.unsent.drain(..).for_each(|buffer| self.wire.release(buffer)),
            // From 1 ms to 25 days.
            _ => NOW.set(NOW.get() + Duration::from_millis(1 << rest)),
        }
        if event % 8 != 6 && rest & 16 == 0 {
            self.unsent.drain(..).for_each(|buffer| self.wire.release(buffer));
        }
        self.turn();
        Ok(())
    }

    fn receive(&self, frame: &[u8]) {
        self.wire.receive(&[&[0; HEADER_SIZE], frame].concat());
    }
}

/// The number of a question to DHCP servers, which must be one.
fn question(frame: &EthernetFrame<&[u8]>) -> Option<u32> {
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    if datagram.dst_port() != DHCP_SERVER_PORT {
        return None;
    }
    let message = DhcpPacket::new_checked(datagram.payload()).expect("a message");
    assert_eq!(message.client_hardware_address(), OWN_MAC);
    Some(message.transaction_id())
}

/// A server's answer with these options, its kind before them.
fn answer(transaction: u32, host: u8, kind: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; FIXED];
    bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&transaction.to_be_bytes());
    bytes[16..20].copy_from_slice(&[10, 0, 0, host]);
    bytes[28..34].copy_from_slice(OWN_MAC.as_bytes());
    bytes[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    bytes.extend([53, 1, kind]);
    bytes.extend(options);
    datagram(&bytes)
}

/// A datagram to the client.
fn datagram(payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    let udp = [DHCP_SERVER_PORT, DHCP_CLIENT_PORT, length + 8, 0].map(u16::to_be_bytes).concat();
    let start =
        [&[0x45, 0][..], &(length + 28).to_be_bytes(), &[0, 0, 0, 0, 64, IpProtocol::Udp.into(), 0, 0]];
    let ip = [&start.concat()[..], &SERVER.octets(), &[255; 4], &udp, payload].concat();
    let kind: u16 = EthernetProtocol::Ipv4.into();
    let mut bytes = [&[255; 6][..], PEER_MAC.as_bytes(), &kind.to_be_bytes(), &ip].concat();
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[14..]);
    packet.fill_checksum();
    let from = IpAddress::Ipv4(SERVER);
    let to = IpAddress::Ipv4(Ipv4Address::BROADCAST);
    UdpPacket::new_unchecked(packet.payload_mut()).fill_checksum(&from, &to);
    bytes
}

/// An ARP packet about hosts of 10.0.0.0/24; host 0 stands for no address.
fn arp(operation: u8, sender: u8, target: u8, mac: u8) -> Vec<u8> {
    let address = |host: u8| if host == 0 { [0; 4] } else { [10, 0, 0, host] };
    let mac = [2, 0, 0, 0, 0, mac];
    let kind: u16 = EthernetProtocol::Arp.into();
    let start =
        [&[255; 6][..], &mac, &kind.to_be_bytes(), &[0, 1, 8, 0, 6, 4, 0, 1 + (operation & 1)]].concat();
    [&start[..], &mac, &address(sender), OWN_MAC.as_bytes(), &address(target)].concat()
}

/// Has a stack receive what `data` says.
///
/// # Panics
///
/// Where the stack does, sends what is no frame, exceeds its limits, or has its driver turn for nothing.
pub fn run(data: &[u8]) {
    let mut world = World::new();
    world.turn();
    let mut input = Unstructured::new(data);
    while !input.is_empty() && world.step(&mut input).is_ok() {}
}

/// Leases that are had, held, refused, declined and lost, and a static address that somebody else has.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let options: &[u8] = &[
        54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 0, 60, 58, 4, 0, 0, 0, 10, 59, 4, 0, 0, 0, 20, 1, 4, 255, 255, 255,
        0, 3, 4, 10, 0, 0, 1, 6, 4, 9, 9, 9, 9, 121, 8, 24, 192, 168, 7, 10, 0, 0, 9, 12, 5, b'g', b'u',
        b'e', b's', b't', 255,
    ];
    let say = |kind: u8| [&[7 << 3, kind, options.len() as u8][..], options].concat();
    let pass = |power: u8| vec![7 | power << 3];
    let had = [say(2), say(5), pass(7)].concat();
    let held = [&had[..], &pass(13), &pass(11), &say(5), &pass(14), &say(5)].concat();
    let refused = [&had[..], &pass(14), &say(6), &say(2), &say(5)].concat();
    let lost = [&had[..], &pass(16), &pass(10), &say(2)].concat();
    let declined = [&say(2)[..], &say(5), &[4, 1, 7, 7, 9], &pass(14), &say(2)].concat();
    let flapped = [&had[..], &[5, 5 | 1 << 3], &say(5), &[5], &pass(5), &[5 | 1 << 3], &say(6)].concat();
    let duplicate = [&[4, 1, 2, 2, 9][..], &pass(16), &pass(7), &pass(13), &[4, 0, 0, 2, 9]].concat();
    vec![had, held, refused, lost, declined, flapped, duplicate]
}
