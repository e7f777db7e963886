//! Work that one side of a link leaves to the other.

mod world;

use embedded_io_async::{Read, Write};
use std::cell::RefCell;
use std::rc::Rc;
use ukvm_net_stack::{HEADER_SIZE, Offloads, TcpOptions, TcpStream, UdpSocket};
use world::{World, endpoint, pattern, spawn};

const OFFLOADS: Offloads = Offloads { checksum: true, tso4: true, tso6: true, large_buffers: 4 };
const OPTIONS: TcpOptions = TcpOptions {
    backlog: 1,
    receive_buffer: 256 << 10,
    send_buffer: 256 << 10,
    keep_alive: None,
    nagle: false,
};

/// In the header's first byte: the checksum is yet to be computed; it was verified.
const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;

#[test]
fn large_frames_carry_a_stream_unchanged() {
    for address in ["10.0.0.2:7", "[fd00::2]:7"] {
        let mut world = World::with_offloads(OFFLOADS, |_, _| ());
        let lengths = Rc::new(RefCell::new(Vec::new()));
        let seen = lengths.clone();
        world.tap = Box::new(move |_, frame| {
            seen.borrow_mut().push(frame.len());
            vec![frame]
        });
        let listener = world.stacks[1].listen(7, OPTIONS).unwrap();
        spawn(async move {
            let (mut stream, _) = listener.accept().await;
            let mut buffer = vec![0; 30_000];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..length]).await.unwrap();
            }
            stream.close().await.unwrap();
        });
        let stack = world.stacks[0].clone();
        world.run(async move {
            let mut stream = TcpStream::connect(&stack, endpoint(address), OPTIONS).await.unwrap();
            let sent = pattern(3_000_001, 3);
            let mut received: Vec<u8> = Vec::new();
            let mut total = 0;
            while received.len() < sent.len() {
                // No more under way than the buffers hold: both sides would wait for each other.
                if total < sent.len() && total - received.len() < 100_000 {
                    let piece = (sent.len() - total).min(100_000);
                    stream.write_all(&sent[total..total + piece]).await.unwrap();
                    total += piece;
                    if total == sent.len() {
                        stream.shutdown();
                    }
                    continue;
                }
                let mut buffer = vec![0; 70_000];
                let length = stream.read(&mut buffer).await.unwrap();
                received.extend(&buffer[..length]);
            }
            assert_eq!(received, sent);
        });
        let lengths = lengths.borrow();
        assert!(lengths.iter().any(|&length| length > 60_000), "no large frame");
        assert!(lengths.iter().all(|&length| length <= 14 + 65535));
        for stack in &world.stacks {
            assert_eq!(stack.counters().broken, 0);
        }
    }
}

/// Who gets large frames acknowledges each as one. The window must open all the same as if it had acknowledged their segments: by
/// doubling.
#[test]
fn the_window_opens_within_few_round_trips() {
    const BYTES: usize = 600_000;
    for address in ["10.0.0.2:7", "[fd00::2]:7"] {
        let mut world = World::with_offloads(OFFLOADS, |_, _| ());
        let lengths = Rc::new(RefCell::new(Vec::new()));
        let seen = lengths.clone();
        world.tap = Box::new(move |side, frame| {
            if side == 0 && frame.len() > 1000 {
                seen.borrow_mut().push(frame.len());
            }
            vec![frame]
        });
        let listener = world.stacks[1].listen(7, OPTIONS).unwrap();
        let stack = world.stacks[0].clone();
        world.run(async move {
            let mut stream = TcpStream::connect(&stack, endpoint(address), OPTIONS).await.unwrap();
            let (mut peer, _) = listener.accept().await;
            spawn(async move { stream.write_all(&pattern(BYTES, 1)).await.unwrap() });
            let mut received = 0;
            while received < BYTES {
                received += peer.read(&mut [0; 65536]).await.unwrap();
            }
        });
        // Five doublings from one segment on. One segment more each time would take 44 frames.
        let lengths = lengths.borrow();
        assert!(lengths.iter().take(12).any(|&length| length > 60_000), "{lengths:?}");
    }
}

/// A datagram from stack 0 to port 7 of stack 1 at `address`, as it was on the cable, its checksum right.
fn datagram(address: &str) -> Vec<u8> {
    let mut world = World::new();
    let frames = world.watch(0);
    let client = UdpSocket::bind(&world.stacks[0], 9).unwrap();
    let to = endpoint(address);
    world.run(async move { client.send_to(b"hello", to).await.unwrap() });
    world.rest();
    let frames = frames.borrow();
    frames.iter().find(|frame| frame.ends_with(b"hello")).unwrap().clone()
}

/// Whether stack 1 takes a packet with this header: the flags, and where the checksum is to be computed from.
fn is_taken(flags: u8, start: u16, frame: &[u8]) -> bool {
    let mut world = World::new();
    let socket = UdpSocket::bind(&world.stacks[1], 7).unwrap();
    let received = Rc::new(RefCell::new(0));
    let count = received.clone();
    spawn(async move {
        while socket.recv_from(&mut [0; 100]).await.is_ok() {
            *count.borrow_mut() += 1;
        }
    });
    let mut header = [flags, 0, 0, 0, 0, 0, 0, 0, 6, 0];
    header[6..8].copy_from_slice(&start.to_le_bytes());
    assert_eq!(header.len(), HEADER_SIZE);
    world.inject_packet(1, [&header, frame].concat());
    world.rest();
    let received = *received.borrow();
    assert_eq!(world.stacks[1].counters().broken, 1 - received);
    received == 1
}

#[test]
fn checksums_are_verified_unless_somebody_vouches_for_them() {
    for (address, start) in [("10.0.0.2:7", 34), ("[fd00::2]:7", 54)] {
        let right = datagram(address);
        for flags in [0, NEEDS_CSUM, DATA_VALID] {
            assert!(is_taken(flags, start, &right));
        }
        // Each bit of the datagram, one after the other; those of its length and its ports make it something else.
        for bit in [8 * 6, 8 * 7 + 3, 8 * 8, 8 * 12 + 7] {
            let mut wrong = right.clone();
            wrong[usize::from(start) + bit / 8] ^= 1 << (bit % 8);
            assert!(!is_taken(0, 0, &wrong), "{address}: bit {bit}");
            assert!(is_taken(NEEDS_CSUM, start, &wrong));
            assert!(is_taken(DATA_VALID, 0, &wrong));
            // It is said of another place than where this datagram begins.
            for elsewhere in [0, start - 1, start + 1, start + 20, u16::MAX] {
                assert!(!is_taken(NEEDS_CSUM, elsewhere, &wrong));
            }
        }
    }
}

#[test]
fn only_over_ipv4_a_checksum_may_be_left_out() {
    for (address, start, may) in [("10.0.0.2:7", 34, true), ("[fd00::2]:7", 54, false)] {
        let mut frame = datagram(address);
        frame[start + 6..start + 8].fill(0);
        assert_eq!(is_taken(0, 0, &frame), may, "{address}");
    }
}

#[test]
fn a_fragment_is_not_taken_for_a_whole_packet() {
    let mut frame = datagram("10.0.0.2:7");
    // The second fragment of a packet; the header's checksum is put right again.
    frame[21] ^= 1;
    let sum = u16::from_be_bytes([frame[24], frame[25]]);
    frame[24..26].copy_from_slice(&(sum - 1).to_be_bytes());
    for flags in [0, NEEDS_CSUM, DATA_VALID] {
        assert!(!is_taken(flags, 34, &frame));
    }
}
