//! Peers whose hardware addresses the stack does not know: those that knew it before it was there.

mod world;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol, IpRepr, Ipv4Address, Ipv4Packet, Ipv6Address,
    Ipv6Packet, NdiscNeighborFlags, NdiscRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use ukvm_net_stack::{TcpOptions, TcpStream};
use world::{World, endpoint, mac, now, sleep, spawn};

const STACK: IpAddress = IpAddress::v4(10, 0, 0, 2);
const STACK_V6: IpAddress = IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, 2);

/// The hardware address of a peer, by its number.
fn hardware(number: u16) -> EthernetAddress {
    let [high, low] = number.to_be_bytes();
    EthernetAddress([2, 0, 0, 1, high, low])
}

fn v4(number: u16) -> IpAddress {
    let [high, low] = number.to_be_bytes();
    IpAddress::v4(10, 0, high, low)
}

fn v6(number: u16) -> IpAddress {
    IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 1, number)
}

/// A frame with this behind its Ethernet header.
fn frame(
    source: EthernetAddress,
    kind: EthernetProtocol,
    length: usize,
    write: impl Fn(&mut [u8]),
) -> Vec<u8> {
    let mut bytes = vec![0; 14 + length];
    let mut out = EthernetFrame::new_unchecked(&mut bytes);
    EthernetRepr { src_addr: source, dst_addr: EthernetAddress(mac(1)), ethertype: kind }.emit(&mut out);
    write(out.payload_mut());
    bytes
}

/// A peer's SYN to port 7 of the stack.
fn syn(source: EthernetAddress, from: IpAddress, to: IpAddress) -> Vec<u8> {
    let segment = TcpRepr {
        src_port: 40_000,
        dst_port: 7,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1),
        ack_number: None,
        window_len: 1000,
        window_scale: None,
        max_seg_size: Some(1000),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let packet = IpRepr::new(from, to, IpProtocol::Tcp, segment.buffer_len(), 64);
    let (kind, header) = match from {
        IpAddress::Ipv4(_) => (EthernetProtocol::Ipv4, 20),
        IpAddress::Ipv6(_) => (EthernetProtocol::Ipv6, 40),
    };
    frame(source, kind, packet.buffer_len(), |bytes| {
        let checksums = ChecksumCapabilities::default();
        packet.emit(&mut *bytes, &checksums);
        segment.emit(&mut TcpPacket::new_unchecked(&mut bytes[header..]), &from, &to, &checksums);
    })
}

/// What the stack sent, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    Question(IpAddress),
    SynAck(IpAddress),
    Other,
}

fn look(frame: &[u8]) -> Sent {
    let frame = EthernetFrame::new_unchecked(frame);
    match frame.ethertype() {
        EthernetProtocol::Arp => {
            match ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).unwrap()).unwrap() {
                ArpRepr::EthernetIpv4 {
                    operation: ArpOperation::Request,
                    target_protocol_addr,
                    source_protocol_addr,
                    source_hardware_addr,
                    ..
                } => {
                    assert_eq!(frame.dst_addr(), EthernetAddress::BROADCAST);
                    // About the stack's own address: whether it is free, or that it is taken.
                    if IpAddress::from(target_protocol_addr) == STACK {
                        return Sent::Other;
                    }
                    assert_eq!(IpAddress::from(source_protocol_addr), STACK);
                    assert_eq!(source_hardware_addr, EthernetAddress(mac(1)));
                    Sent::Question(target_protocol_addr.into())
                }
                _ => Sent::Other,
            }
        }
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
            let is_syn = packet.next_header() == IpProtocol::Tcp
                && TcpPacket::new_checked(packet.payload()).unwrap().syn();
            if is_syn { Sent::SynAck(packet.dst_addr().into()) } else { Sent::Other }
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).unwrap();
            let (source, destination) = (packet.src_addr(), packet.dst_addr());
            match packet.next_header() {
                IpProtocol::Tcp if TcpPacket::new_checked(packet.payload()).unwrap().syn() => {
                    Sent::SynAck(destination.into())
                }
                IpProtocol::Icmpv6 => {
                    let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
                    let checksums = ChecksumCapabilities::default();
                    match Icmpv6Repr::parse(&source, &destination, &message, &checksums).unwrap() {
                        Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr, lladdr: Some(_) }) => {
                            let [.., a, b, c] = target_addr.octets();
                            let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
                            assert_eq!(destination.octets(), group);
                            assert_eq!(frame.dst_addr(), EthernetAddress([0x33, 0x33, 0xff, a, b, c]));
                            assert_eq!(packet.hop_limit(), 255);
                            Sent::Question(target_addr.into())
                        }
                        _ => Sent::Other,
                    }
                }
                _ => Sent::Other,
            }
        }
        _ => Sent::Other,
    }
}

/// A peer's answer to a question.
fn answer(source: EthernetAddress, address: IpAddress) -> Vec<u8> {
    match address {
        IpAddress::Ipv4(address) => {
            let reply = ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Reply,
                source_hardware_addr: source,
                source_protocol_addr: address,
                target_hardware_addr: EthernetAddress(mac(1)),
                target_protocol_addr: Ipv4Address::new(10, 0, 0, 2),
            };
            frame(source, EthernetProtocol::Arp, reply.buffer_len(), |bytes| {
                reply.emit(&mut ArpPacket::new_unchecked(bytes));
            })
        }
        IpAddress::Ipv6(address) => {
            let reply = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
                flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
                target_addr: address,
                lladdr: Some(source.into()),
            });
            let to = Ipv6Address::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
            let packet = IpRepr::new(address.into(), to.into(), IpProtocol::Icmpv6, reply.buffer_len(), 255);
            frame(source, EthernetProtocol::Ipv6, packet.buffer_len(), |bytes| {
                let checksums = ChecksumCapabilities::default();
                packet.emit(&mut *bytes, &checksums);
                let mut out = Icmpv6Packet::new_unchecked(&mut bytes[40..]);
                reply.emit(&address, &to, &mut out, &checksums);
            })
        }
    }
}

/// What was asked, and who has got an answer to the SYN, in this time. Each question for an address of `peers` is
/// answered.
fn watch(
    world: &mut World,
    peers: &[(EthernetAddress, IpAddress)],
    time: Duration,
) -> (Vec<IpAddress>, BTreeSet<IpAddress>) {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let seen = sent.clone();
    world.tap = Box::new(move |side, frame| {
        if side == 1 {
            seen.borrow_mut().push(look(&frame));
        }
        vec![]
    });
    let (mut questions, mut greeted) = (Vec::new(), BTreeSet::new());
    let end = now() + time;
    while now() < end {
        world.run(sleep(Duration::from_millis(1)));
        for sent in sent.take() {
            match sent {
                Sent::Question(address) => {
                    questions.push(address);
                    if let Some(&(source, _)) = peers.iter().find(|(_, peer)| *peer == address) {
                        world.inject(1, answer(source, address));
                    }
                }
                Sent::SynAck(peer) => drop(greeted.insert(peer)),
                Sent::Other => {}
            }
        }
    }
    (questions, greeted)
}

/// A world whose stack 1 listens on port 7, in a network of 65,534 addresses.
fn world() -> World {
    let world = World::with(|_, config| config.addresses[0] = "10.0.0.2/16".parse().unwrap());
    let listener = world.stacks[1].listen(7, TcpOptions::default()).unwrap();
    spawn(async move {
        let mut streams = Vec::new();
        loop {
            streams.push(listener.accept().await);
        }
    });
    world
}

#[test]
fn peers_that_know_the_stack_are_answered_at_once() {
    type Address = fn(u16) -> IpAddress;
    for (address, stack) in [(v4 as Address, STACK), (v6, STACK_V6)] {
        let mut world = world();
        let peers: Vec<_> = (1000..1200).map(|number| (hardware(number), address(number))).collect();
        for &(source, peer) in &peers {
            world.inject(1, syn(source, peer, stack));
        }
        let (questions, greeted) = watch(&mut world, &peers, Duration::from_millis(20));
        assert_eq!(greeted.len(), peers.len());
        assert_eq!(questions.len(), peers.len(), "one question for each");
    }
}

#[test]
fn peers_that_do_not_exist_hold_up_nobody_and_are_not_asked_for_without_bound() {
    let mut world = world();
    for number in 1000..1200 {
        world.inject(1, syn(hardware(number), v4(number), STACK));
    }
    let real = [(hardware(1), v4(999))];
    world.inject(1, syn(real[0].0, real[0].1, STACK));
    let (_, greeted) = watch(&mut world, &real, Duration::from_millis(20));
    assert_eq!(greeted, BTreeSet::from([v4(999)]));
    for number in 2000..3000 {
        world.inject(1, syn(hardware(number), v4(number), STACK));
    }
    let (questions, _) = watch(&mut world, &[], Duration::from_millis(900));
    assert!(questions.len() <= 260, "{} questions", questions.len());
}

#[test]
fn who_connects_goes_on_when_a_late_answer_comes() {
    let mut world = World::new();
    let late = Rc::new(RefCell::new(Vec::new()));
    let held = late.clone();
    // The first answer is late by 300 ms.
    world.tap = Box::new(move |side, frame| {
        let is_answer = side == 1
            && (frame[12..14] == [8, 6] || (frame[12..14] == [0x86, 0xdd] && frame[20] == 58))
            && held.borrow().is_empty();
        if is_answer {
            held.borrow_mut().push(frame);
            return vec![];
        }
        vec![frame]
    });
    let listener = world.stacks[1].listen(7, TcpOptions::default()).unwrap();
    let stack = world.stacks[0].clone();
    let start = now();
    spawn(async move {
        let stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), TcpOptions::default()).await;
        drop(stream.unwrap());
    });
    world.run(sleep(Duration::from_millis(300)));
    let frames = late.borrow().clone();
    assert_eq!(frames.len(), 1);
    world.inject(0, frames[0].clone());
    world.run(async move { drop(listener.accept().await) });
    assert!(now() - start < Duration::from_millis(310), "{:?}", now() - start);
}
