//! What the senders of packets for nobody are told.

mod world;

use smoltcp::wire::{IpAddress, Ipv6Address};
use std::time::Duration;
use ukvm_net_stack::{TcpOptions, TcpStream, UdpSocket};
use world::{Frames, World, endpoint, mac, sleep};

/// The IPv6 addresses of stack 0 and stack 1.
const PEER: &str = "fd00::1";
const STACK: &str = "fd00::2";

/// A world in which the two know each other's hardware addresses, and what stack 1 sends.
fn world() -> (World, Frames) {
    let mut world = World::new();
    let listener = world.stacks[1].listen(7, TcpOptions::default()).unwrap();
    let stack = world.stacks[0].clone();
    world.run(async move {
        for address in ["10.0.0.2:7", "[fd00::2]:7"] {
            let stream = TcpStream::connect(&stack, endpoint(address), TcpOptions::default()).await.unwrap();
            drop((stream, listener.accept().await));
        }
        sleep(Duration::from_secs(60)).await;
    });
    let sent = world.watch(1);
    (world, sent)
}

/// A packet of any protocol over IPv6.
fn v6(protocol: u8, destination: &str, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&mac(1)[..], &mac(0), &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([protocol, 64]);
    frame.extend(PEER.parse::<Ipv6Address>().unwrap().octets());
    frame.extend(destination.parse::<Ipv6Address>().unwrap().octets());
    frame.extend(payload);
    frame
}

/// And over IPv4.
fn v4(protocol: u8, destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 20 + payload.len() as u8, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1];
    header.extend(destination);
    let sum = !smoltcp::wire::checksum::data(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&mac(1)[..], &mac(0), &[8, 0], &header, payload].concat()
}

/// A datagram from port 1000, its checksum put right for IPv6 addresses.
fn datagram(port: u16, destination: &str) -> Vec<u8> {
    let mut bytes = vec![3, 232, 0, 0, 0, 12, 0, 0, 1, 2, 3, 4];
    bytes[2..4].copy_from_slice(&port.to_be_bytes());
    let (source, destination): (IpAddress, IpAddress) = (PEER.parse().unwrap(), destination.parse().unwrap());
    let mut packet = smoltcp::wire::UdpPacket::new_unchecked(&mut bytes[..]);
    packet.fill_checksum(&source, &destination);
    bytes
}

#[test]
fn closed_ports_and_unknown_protocols_are_told_of_with_what_they_were() {
    let (mut world, sent) = world();
    let unknown = v4(132, [10, 0, 0, 2], &[7; 20]);
    world.inject(1, unknown.clone());
    let closed = v4(17, [10, 0, 0, 2], &[3, 232, 0, 9, 0, 12, 0, 0, 1, 2, 3, 4]);
    world.inject(1, closed.clone());
    let closed_v6 = v6(17, STACK, &datagram(9, STACK));
    world.inject(1, closed_v6.clone());
    let unknown_v6 = v6(132, STACK, &[7; 20]);
    world.inject(1, unknown_v6.clone());
    let mut behind = vec![132, 0, 1, 4, 0, 0, 0, 0];
    behind.extend([7; 20]);
    let unknown_behind = v6(0, STACK, &behind);
    world.inject(1, unknown_behind.clone());
    world.run(sleep(Duration::from_millis(1)));
    let sent = sent.borrow();
    assert_eq!(sent.len(), 5, "{sent:x?}");
    for (told, code, about) in [(&sent[0], 2, &unknown), (&sent[1], 3, &closed)] {
        assert_eq!((told[23], told[34], told[35]), (1, 3, code));
        assert_eq!(told[42..], about[14..]);
    }
    assert_eq!((sent[2][20], sent[2][54], sent[2][55]), (58, 1, 4));
    // Not the place where the unknown header is, but the one that names it.
    for (told, pointer, about) in [(&sent[3], 6, &unknown_v6), (&sent[4], 40, &unknown_behind)] {
        assert_eq!((told[20], told[54], told[55]), (58, 4, 1));
        assert_eq!(told[58..62], [0, 0, 0, pointer]);
        assert_eq!(told[62..], about[14..]);
        assert_eq!((&told[..6], &told[38..54]), (&mac(0)[..], &about[22..38]));
    }
}

#[test]
fn nobody_is_told_of_what_went_to_many_or_has_no_contents() {
    let (mut world, sent) = world();
    let group = "ff02::1";
    world.inject(1, v6(17, group, &datagram(9, group)));
    world.inject(1, v6(132, group, &[7; 20]));
    world.inject(1, v4(17, [10, 0, 0, 255], &[3, 232, 0, 9, 0, 12, 0, 0, 1, 2, 3, 4]));
    world.inject(1, v4(132, [224, 0, 0, 1], &[7; 20]));
    world.inject(1, v6(59, STACK, &[7; 20]));
    world.inject(1, v6(44, STACK, &[17, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]));
    // To one address, but to all hardware.
    let mut frame = v4(132, [10, 0, 0, 2], &[7; 20]);
    frame[..6].fill(0xff);
    world.inject(1, frame);
    let mut frame = v6(132, STACK, &[7; 20]);
    frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    world.inject(1, frame);
    // From nobody.
    let mut frame = v6(132, STACK, &[7; 20]);
    frame[22..38].fill(0);
    world.inject(1, frame);
    world.run(sleep(Duration::from_millis(10)));
    assert!(sent.borrow().is_empty(), "{:x?}", sent.borrow());
}

#[test]
fn a_flood_is_told_of_now_and_then_and_pings_are_all_answered() {
    let (mut world, sent) = world();
    let mut echo = vec![8, 0, 0, 0, 0, 1, 0, 1];
    let sum = !smoltcp::wire::checksum::data(&echo);
    echo[2..4].copy_from_slice(&sum.to_be_bytes());
    for _ in 0..1000 {
        world.inject(1, v4(132, [10, 0, 0, 2], &[7; 20]));
        world.inject(1, v4(1, [10, 0, 0, 2], &echo));
        world.run(sleep(Duration::from_millis(1)));
    }
    let sent = sent.borrow();
    let count = |kind: u8| sent.iter().filter(|frame| frame[23] == 1 && frame[34] == kind).count();
    assert_eq!(count(0), 1000);
    // 50 at once and 200 a second, for a second.
    assert!((240..=251).contains(&count(3)), "{}", count(3));
}

#[test]
fn who_listens_is_not_held_up_by_the_limit() {
    let (mut world, _) = world();
    let socket = UdpSocket::bind(&world.stacks[1], 9).unwrap();
    for _ in 0..200 {
        world.inject(1, v4(17, [10, 0, 0, 2], &[3, 232, 0, 8, 0, 12, 0, 0, 1, 2, 3, 4]));
    }
    world.inject(1, v6(17, STACK, &datagram(9, STACK)));
    let length = world.run(async move { socket.recv_from(&mut [0; 9]).await.unwrap().0 });
    assert_eq!(length, 4);
}
