//! Rings that are full or go round many times, and ends of a network that do not read: what must wait waits, nothing is lost but what
//! UDP may lose, and the monitor does not grow.

use super::net::{GUEST, MAC, NET, round_trip, socket_to_mirror, wait_for_echo};
use super::offloads::{
    ADDRESSES, SENDS, broken, bulk, connect, echo_socket, expect, give, over_a_wire, pattern, resident, take,
};
use nix::sys::signal::Signal;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use ukvm_tests::files::noise;
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::routing::dropped_frames;
use ukvm_tests::run::{Run, SOON};
use ukvm_tests::suite::{Need, in_rig, patience};

ukvm_tests::tests! {
    frames_are_whole_while_the_rings_go_round .needs(&[Need::Network]);
    full_rings_lose_only_what_the_hosts_queue_drops .needs(&[Need::Network]);
    a_peer_that_does_not_read_holds_back_the_guest .needs(&[Need::Network]);
    a_wire_that_stands_still_loses_no_tcp .needs(&[Need::Network]);
}

fn frames_are_whole_while_the_rings_go_round() {
    /// Fewer than the guest has buffers, so that none may be lost.
    const WINDOW: u64 = 32;
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let guest = Run::guest("mirror").option("--net", NET).deadline(Duration::from_secs(60)).start();
        let socket = socket_to_mirror("tap0");
        wait_for_echo(&socket);
        socket.set_read_timeout(Some(patience(Duration::from_secs(5)))).expect("a time limit");
        // Each is two requests: dozens of times round the ring, in the slow machine a few times.
        let windows = if in_rig() { 128 } else { 640 };
        let packet = |number: u64| noise(number, 1 + number as usize * 7 % 1472);
        let mut answer = vec![0; 2048];
        for window in 0..windows {
            let numbers = window * WINDOW..(window + 1) * WINDOW;
            for number in numbers.clone() {
                assert_eq!(socket.send(&packet(number)).ok(), Some(packet(number).len()));
            }
            for number in numbers {
                let length = socket.recv(&mut answer).expect("every packet comes back");
                assert!(answer[..length] == packet(number), "packet {number} is another one");
            }
        }
        guest.signal(Signal::SIGTERM);
        let _ = guest.wait().status(3);
    });
}

fn full_rings_lose_only_what_the_hosts_queue_drops() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        network::add_neighbour("tap0", GUEST, MAC);
        let run = Run::guest("slow-receiver").option("--net", NET).input_pipe();
        let mut guest = run.deadline(Duration::from_secs(60)).start();
        guest.wait_for("receiving\n");
        let socket = UdpSocket::bind("10.0.0.1:0").expect("a socket");
        socket.connect((GUEST, 9)).expect("a route");
        let mut sent = 0_u64;
        let mut send = |count| {
            for number in sent..sent + count {
                let datagram = [&number.to_le_bytes()[..], &noise(number, number as usize % 1400)].concat();
                assert_eq!(socket.send(&datagram).ok(), Some(datagram.len()));
            }
            sent += count;
            sent
        };
        // Both rings fill up, then the host's queue, and then it drops whatever comes.
        let end = Instant::now() + patience(SOON);
        loop {
            let before = dropped_frames("tap0");
            send(1000);
            if dropped_frames("tap0") >= before + 1000 {
                break;
            }
            assert!(Instant::now() < end, "the rings never fill up");
        }
        let before = resident(&guest);
        send(10_000);
        assert!(resident(&guest) < before + (64 << 10), "the monitor grows");
        // The guest takes what came, and all goes on.
        guest.send(b"x");
        let echo = socket_to_mirror("tap0");
        wait_for_echo(&echo);
        echo.set_read_timeout(Some(patience(Duration::from_secs(5)))).expect("a time limit");
        let dropped = dropped_frames("tap0");
        for number in 0..if in_rig() { 20 } else { 200 } {
            send(100);
            assert!(round_trip(&echo, &noise(number, 1000)), "the guest does not go on");
        }
        assert_eq!(dropped_frames("tap0"), dropped, "it does not keep up");
        let sent = send(1);
        assert!(round_trip(&echo, b"end"));
        guest.signal(Signal::SIGTERM);
        let text = guest.wait().status(3).text();
        let received = text.strip_prefix("receiving\n").and_then(|text| text.split_once(" in order"));
        let received = received.and_then(|(number, _)| number.parse::<u64>().ok());
        let received = received.unwrap_or_else(|| panic!("{text}"));
        assert!(received <= sent && sent - received <= dropped, "{received} of {sent}, {dropped} dropped");
    });
}

fn a_peer_that_does_not_read_holds_back_the_guest() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let guest = bulk("lan", &ADDRESSES);
        let length = 64_u64 << 20;
        let mut stream = connect("10.0.0.2", SENDS);
        stream.write_all(&length.to_le_bytes()).expect("a guest that listens");
        let (mut total, mut last) = (0, Instant::now());
        while total == 0 || last.elapsed() < patience(Duration::from_millis(500)) {
            let now = unread(&stream);
            if now != total {
                (total, last) = (now, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(total < length / 2, "{total} bytes are with a peer that reads none");
        let before = resident(&guest);
        // The others are served.
        let socket = echo_socket();
        for number in 0..100 {
            assert!(round_trip(&socket, &noise(number, 1000)), "packet {number} did not come back");
        }
        give("10.0.0.2", &pattern(), 1 << 20);
        assert!(resident(&guest) < before + (8 << 20), "the monitor grows");
        expect(&mut stream, &pattern(), length);
        assert_eq!(broken(guest), 0);
    });
}

/// The bytes that a connection has for its reader.
fn unread(stream: &TcpStream) -> u64 {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes an int.
    let asked = unsafe { libc::ioctl(stream.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    assert_eq!(asked, 0, "{}", std::io::Error::last_os_error());
    count as u64
}

fn a_wire_that_stands_still_loses_no_tcp() {
    let seen = AtomicU64::new(0);
    let change = |_: &mut [u8]| {
        // Long enough for the queue of its TAP to overflow.
        if seen.fetch_add(1, Ordering::Relaxed) % 5000 == 2000 {
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    let length = if in_rig() { 4 << 20 } else { 16 << 20 };
    let talk = || {
        take("10.0.0.2", &pattern(), length);
        give("10.0.0.2", &pattern(), length);
        let socket = echo_socket();
        assert!(round_trip(&socket, b"still there"));
    };
    assert_eq!(over_a_wire("lan", &change, talk), 0);
    assert!(seen.into_inner() > 2000, "the wire never stood still");
}
