//! Frames that no honest peer sends.

mod world;

use embedded_io_async::{Read, Write};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use ukvm_net_stack::{TcpListener, TcpOptions, TcpStream, UdpSocket};
use world::{Random, World, endpoint, mac, sleep, spawn};

const OPTIONS: TcpOptions =
    TcpOptions { backlog: 32, receive_buffer: 4096, send_buffer: 4096, keep_alive: None, nagle: false };

/// The ones' complement sum of RFC 1071.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Puts right the checksums of an IPv4 or IPv6 frame that carries TCP, UDP or ICMP, as far as its lengths let.
fn repair(frame: &mut [u8]) -> Option<()> {
    let (protocol, start, end, pseudo) = match frame.get(12..14)? {
        [8, 0] => {
            let header = usize::from(frame.get(14)? & 15) * 4;
            frame.get_mut(24..26)?.fill(0);
            let sum = checksum(&[frame.get(14..14 + header)?]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
            let total = usize::from(u16::from_be_bytes(frame[16..18].try_into().ok()?));
            (frame[23], 14 + header, 14 + total, frame.get(26..34)?.to_vec())
        }
        [0x86, 0xdd] => {
            let length = usize::from(u16::from_be_bytes(frame.get(18..20)?.try_into().ok()?));
            (*frame.get(20)?, 54, 54 + length, frame.get(22..54)?.to_vec())
        }
        _ => return None,
    };
    let at = start
        + match protocol {
            6 => 16,
            17 => 6,
            1 | 58 => 2,
            _ => return None,
        };
    frame.get_mut(at..at + 2)?.fill(0);
    let payload = frame.get(start..end)?;
    let length = (payload.len() as u32).to_be_bytes();
    let sum = match protocol {
        1 => checksum(&[payload]),
        _ => checksum(&[&pseudo, &length, &[0, 0, 0, protocol], payload]),
    };
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    Some(())
}

/// A world with a listener, a connection, a socket, and the frames that made them: of all kinds that the stack knows.
fn world_with_frames() -> (World, Vec<Vec<u8>>, TcpListener) {
    let mut world = World::new();
    let frames = world.watch(0);
    let listener = world.stacks[1].listen(7, OPTIONS).unwrap();
    let server = UdpSocket::bind(&world.stacks[1], 7).unwrap();
    let client = UdpSocket::bind(&world.stacks[0], 0).unwrap();
    let stack = world.stacks[0].clone();
    let listener = world.run(async move {
        for address in ["10.0.0.2:7", "[fd00::2]:7"] {
            client.send_to(b"datagram", endpoint(address)).await.unwrap();
            let mut stream = TcpStream::connect(&stack, endpoint(address), OPTIONS).await.unwrap();
            stream.write_all(&[7; 5000]).await.unwrap();
            let (mut accepted, _) = listener.accept().await;
            accepted.read_exact(&mut [0; 5000]).await.unwrap();
            accepted.write_all(&[8; 3000]).await.unwrap();
            stream.read_exact(&mut [0; 3000]).await.unwrap();
            sleep(Duration::from_secs(1)).await;
            // The connections stay open.
            spawn(async move {
                let mut buffer = [0; 512];
                while let Ok(1..) = accepted.read(&mut buffer).await {}
                std::future::pending::<()>().await;
                drop(stream);
            });
        }
        spawn(async move {
            let mut buffer = [0; 2000];
            loop {
                if let Ok((length, peer)) = server.recv_from(&mut buffer).await {
                    let _ = server.send_to(&buffer[..length], peer).await;
                }
            }
        });
        listener
    });
    let mut frames = frames.take();
    // Echo requests, a hop-by-hop header, a fragment.
    let mut echo = frames.iter().find(|frame| frame[12..14] == [8, 0] && frame[23] == 17).unwrap().clone();
    echo[23] = 1;
    echo[34..38].copy_from_slice(&[8, 0, 0, 0]);
    frames.push(echo.clone());
    echo[20] = 0x20;
    frames.push(echo);
    let mut echo =
        frames.iter().find(|frame| frame[12..14] == [0x86, 0xdd] && frame[20] == 17).unwrap().clone();
    echo[20] = 58;
    echo[54..58].copy_from_slice(&[128, 0, 0, 0]);
    frames.push(echo.clone());
    let inner = echo.split_off(54);
    echo[19] += 8;
    echo[20] = 0;
    echo.extend([58, 0, 1, 4, 0, 0, 0, 0]);
    echo.extend(inner);
    frames.push(echo);
    for frame in &mut frames {
        repair(frame);
    }
    (world, frames, listener)
}

/// Whether the stack still serves after all that.
fn still_serves(world: &mut World, listener: TcpListener) {
    world.run(sleep(Duration::from_secs(120)));
    let stack = world.stacks[0].clone();
    world.run(async move {
        let mut stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
        let local = stream.local_endpoint();
        stream.write_all(b"still there?").await.unwrap();
        let mut accepted = loop {
            let (accepted, peer) = listener.accept().await;
            if Some(peer) == local {
                break accepted;
            }
        };
        let mut buffer = [0; 12];
        accepted.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"still there?");
    });
}

#[test]
fn mutated_frames_do_no_harm() {
    for seed in 1..=rounds() {
        let (mut world, frames, listener) = world_with_frames();
        let kinds = frames.iter().map(|frame| (frame[12], frame[13], frame[20], frame[23]));
        assert!(kinds.collect::<std::collections::BTreeSet<_>>().len() >= 6);
        let mut random = Random(seed);
        for round in 0..20_000 {
            let mut frame = frames[random.below(frames.len())].clone();
            for _ in 0..=random.below(4) {
                mutate(&mut frame, &mut random);
            }
            if random.below(8) != 0 {
                repair(&mut frame);
            }
            world.inject(1, frame);
            if round % 64 == 63 {
                world.run(sleep(Duration::from_millis(random.below(300) as u64)));
            }
        }
        still_serves(&mut world, listener);
        assert!(world.stacks[1].connections() < 200, "{}", world.stacks[1].connections());
    }
}

fn rounds() -> u64 {
    std::env::var("UKVM_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(4)
}

fn mutate(frame: &mut Vec<u8>, random: &mut Random) {
    const INTERESTING: [u8; 9] = [0, 1, 2, 4, 0x11, 0x7f, 0x80, 0xfe, 0xff];
    if frame.len() < 14 {
        return;
    }
    // Mostly the headers: there is little to parse behind them.
    let at = match random.below(4) {
        0 => random.below(frame.len()),
        _ => 12 + random.below(70),
    };
    match random.below(10) {
        0 => frame.truncate(random.below(frame.len() + 1)),
        1 => frame.extend((0..random.below(40)).map(|i| i as u8)),
        2 | 3 => frame.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        4 | 5 => {
            let value = INTERESTING[random.below(INTERESTING.len())];
            frame.iter_mut().skip(at).take(1 + random.below(3)).for_each(|byte| *byte = value);
        }
        6 if at < frame.len() => {
            frame.drain(at..frame.len().min(at + 1 + random.below(8)));
        }
        7 if at < frame.len() => {
            frame.splice(at..at, [random.next() as u8, random.next() as u8]);
        }
        // Sequence and acknowledgement numbers near those that count.
        8 if frame.len() > 46 => {
            let at = if frame[12] == 8 { 38 } else { 58 } + 4 * random.below(2);
            if let Some(field) = frame.get_mut(at..at + 4) {
                let value = u32::from_be_bytes(field.try_into().unwrap());
                let moved = value.wrapping_add(random.below(12_000) as u32).wrapping_sub(6000);
                field.copy_from_slice(&moved.to_be_bytes());
            }
        }
        // TCP's flags.
        _ => {
            let at = if frame[12] == 8 { 47 } else { 67 };
            frame.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.next() as u8 & 0x3f);
        }
    }
}

#[test]
fn noise_does_no_harm() {
    let (mut world, _, listener) = world_with_frames();
    let mut random = Random(99);
    for round in 0..20_000 {
        let mut frame: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        for (place, byte) in frame.iter_mut().zip(mac(1)) {
            *place = byte;
        }
        let kinds = [[8_u8, 0], [8, 6], [0x86, 0xdd]];
        if let Some(kind) = frame.get_mut(12..14) {
            kind.copy_from_slice(&kinds[random.below(3)]);
        }
        world.inject(1, frame);
        if round % 64 == 63 {
            world.run(sleep(Duration::from_millis(10)));
        }
    }
    still_serves(&mut world, listener);
}

/// A SYN over IPv4 to port 7 of stack 1.
fn syn(from: [u8; 4], port: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(mac(1));
    frame.extend(mac(0));
    frame.extend([8, 0]);
    frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
    frame.extend(from);
    frame.extend([10, 0, 0, 2]);
    frame.extend(port.to_be_bytes());
    frame.extend([0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    repair(&mut frame);
    frame
}

#[test]
fn a_flood_of_syns_costs_no_more_than_the_backlog_and_passes() {
    let (mut world, _, listener) = world_with_frames();
    let before = world.stacks[1].connections();
    let mut random = Random(3);
    for _ in 0..100 {
        for _ in 0..50 {
            let port = random.next() as u16;
            // Some from hosts that answer, most from hosts that do not exist, some without a route.
            let from = [[10, 0, 0, 1], [10, 0, 0, 77], [203, 0, 113, 5]][random.below(3)];
            world.inject(1, syn(from, port | 1));
        }
        world.run(sleep(Duration::from_millis(5)));
        assert!(world.stacks[1].connections() <= before + OPTIONS.backlog);
    }
    assert!(world.stacks[1].counters().syns_dropped > 1000);
    world.run(sleep(Duration::from_secs(6)));
    assert_eq!(world.stacks[1].connections(), before);
    still_serves(&mut world, listener);
}

#[test]
fn an_answer_to_nobody_holds_up_no_other() {
    let (mut world, frames, _listener) = world_with_frames();
    let datagram = frames.iter().find(|frame| frame[12..14] == [8, 0] && frame[23] == 17).unwrap();
    for host in 100..150 {
        let mut frame = datagram.clone();
        frame[29] = host;
        repair(&mut frame);
        world.inject(1, frame);
    }
    world.rest();
    let client = UdpSocket::bind(&world.stacks[0], 0).unwrap();
    let start = world::now();
    world.run(async move {
        client.send_to(b"me too", endpoint("10.0.0.2:7")).await.unwrap();
        client.recv_from(&mut [0; 6]).await.unwrap();
    });
    assert!(world::now() - start < Duration::from_millis(1));
}

#[test]
fn no_reset_and_no_answer_for_segments_to_groups_or_from_ourselves() {
    let (mut world, _, _listener) = world_with_frames();
    // The stack's questions about its own address are over.
    world.run(sleep(Duration::from_secs(10)));
    let sent = Rc::new(RefCell::new(0));
    let count = sent.clone();
    world.tap = Box::new(move |side, frame| {
        *count.borrow_mut() += usize::from(side == 1);
        vec![frame]
    });
    let before = world.stacks[1].connections();
    for (from, to) in
        [([10, 0, 0, 1], [10, 0, 0, 255]), ([10, 0, 0, 1], [224, 0, 0, 1]), ([10, 0, 0, 2], [10, 0, 0, 2])]
    {
        let mut frame = syn(from, 999);
        frame[30..34].copy_from_slice(&to);
        repair(&mut frame);
        world.inject(1, frame);
    }
    world.run(sleep(Duration::from_secs(1)));
    assert_eq!((*sent.borrow(), world.stacks[1].connections()), (0, before));
}
