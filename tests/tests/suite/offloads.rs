//! Checksums, large frames and much data on a network device.
//!
//! The peer is the kernel: on the guest's TAP itself, or in another network namespace behind a wire that the test holds. There the
//! kernel routes between the guest's TAP and one without offloads, so that it must complete what the guest left to it; each frame
//! is looked at on its way.

use super::net::{MAC, round_trip, wait_for_echo};
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use ukvm_tests::files::noise;
use ukvm_tests::network::{self, TAP_FLAGS, in_namespace};
use ukvm_tests::routing;
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::{Need, in_rig, patience};

ukvm_tests::tests! {
    much_data_arrives_unchanged .needs(&[Need::Network]) .alone();
    much_data_arrives_unchanged_without_offloads .needs(&[Need::Network]) .alone();
    a_guest_with_little_memory_takes_no_large_frames .needs(&[Need::Network]);
    frames_are_whole_on_a_wire .needs(&[Need::Network]);
    frames_are_whole_on_a_wire_without_offloads .needs(&[Need::Network]);
    what_a_wire_changes_is_dropped .needs(&[Need::Network]);
    a_guest_that_does_not_read_holds_back_its_peer .needs(&[Need::Network]);
    a_tap_goes_down_and_up_under_load .needs(&[Need::Network]);
    headers_that_lie_do_no_harm .needs(&[Need::Network]);
    an_idle_guest_uses_no_processor .needs(&[Need::Network]) .alone();
}

/// What the guest `bulk` sends and wants, again and again.
const PATTERN: usize = 1_000_003;
/// Where the guest takes data, where it sends some, and where it takes it only after a datagram.
const TAKES: u16 = 1;
pub(crate) const SENDS: u16 = 2;
const TAKES_LATER: u16 = 3;
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(crate) const ADDRESSES: [&str; 4] = ["--ip", "10.0.0.2/24", "--ip", "fd00::2/64"];

/// The guest on `tap0`, which is there, by its device `device`.
pub(crate) fn bulk(device: &str, arguments: &[&str]) -> Running {
    let option = format!("{device}=tap0,mac=02:00:00:00:00:09");
    let run = Run::guest("bulk").option("--net", option).args(arguments);
    let guest = run.deadline(patience(Duration::from_secs(300))).start();
    // All, or none: see the crate `ukvm-abi`.
    guest.wait_for(if device == "lan" { "serving with 0x300001983\n" } else { "serving with 0x0\n" });
    guest
}

/// Ends the guest; how many frames it found broken.
pub(crate) fn broken(guest: Running) -> u64 {
    guest.signal(Signal::SIGTERM);
    let text = guest.wait().status(3).text();
    let number = text.split("broken: ").nth(1).and_then(|rest| rest.split(',').next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no counters in {text}"))
}

/// The pattern twice, so that a piece from anywhere is in one piece.
pub(crate) fn pattern() -> Vec<u8> {
    noise(1, PATTERN).repeat(2)
}

pub(crate) fn connect(address: &str, port: u16) -> TcpStream {
    let address = SocketAddr::new(address.parse().expect("an address"), port);
    let time = patience(Duration::from_secs(20));
    let stream = TcpStream::connect_timeout(&address, time).expect("a connection");
    stream.set_read_timeout(Some(time)).expect("a time limit");
    stream.set_write_timeout(Some(time)).expect("a time limit");
    stream
}

/// Writes `length` bytes of the pattern.
fn write(stream: &mut TcpStream, pattern: &[u8], length: u64) -> std::io::Result<()> {
    let mut total = 0;
    while total < length {
        let piece = (length - total).min(256 << 10) as usize;
        stream.write_all(&pattern[total as usize % PATTERN..][..piece])?;
        total += piece as u64;
    }
    stream.shutdown(Shutdown::Write)
}

/// Sends the guest `length` bytes, which it compares.
pub(crate) fn give(address: &str, pattern: &[u8], length: u64) {
    let mut stream = connect(address, TAKES);
    write(&mut stream, pattern, length).expect("a guest that takes all");
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).expect("the guest finds all equal");
    assert_eq!(u64::from_le_bytes(answer), length);
}

/// Has the guest send `length` bytes, and compares.
pub(crate) fn take(address: &str, pattern: &[u8], length: u64) {
    let mut stream = connect(address, SENDS);
    stream.write_all(&length.to_le_bytes()).expect("a guest that listens");
    expect(&mut stream, pattern, length);
}

/// Reads `length` bytes to the end, and compares.
pub(crate) fn expect(stream: &mut TcpStream, pattern: &[u8], length: u64) {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        let count = stream.read(&mut buffer).expect("the guest's data");
        if count == 0 {
            break;
        }
        let equal = buffer[..count] == pattern[total as usize % PATTERN..][..count];
        assert!(equal, "the data differs between {total} and {}", total + count as u64);
        total += count as u64;
    }
    assert_eq!(total, length);
}

/// How many bytes "much" is: `UKVM_TEST_BULK` MiB, by default enough for a second or two.
fn much() -> u64 {
    let mib = std::env::var("UKVM_TEST_BULK").ok().and_then(|text| text.parse().ok());
    mib.unwrap_or(if in_rig() { 8 } else { 512 }) << 20
}

fn much_data_arrives_unchanged() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let guest = bulk("lan", &ADDRESSES);
        let pattern = pattern();
        give("10.0.0.2", &pattern, much());
        take("10.0.0.2", &pattern, much());
        give("fd00::2", &pattern, much() / 4);
        take("fd00::2", &pattern, much() / 4);
        // 64 KiB in a frame, and not 1,448 bytes: the host has counted them.
        let frames = routing::received_frames("tap0");
        assert!(frames < much() * 5 / 4 / 1448, "{frames} frames from the guest");
        assert_eq!(broken(guest), 0);
    });
}

fn much_data_arrives_unchanged_without_offloads() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let guest = bulk("plain", &ADDRESSES);
        let pattern = pattern();
        give("10.0.0.2", &pattern, much() / 8);
        take("10.0.0.2", &pattern, much() / 8);
        give("fd00::2", &pattern, much() / 16);
        take("fd00::2", &pattern, much() / 16);
        assert_eq!(broken(guest), 0);
    });
}

fn a_guest_with_little_memory_takes_no_large_frames() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let run = Run::guest("bulk").option("--net", "lan=tap0").option("--mem", "16M").args(ADDRESSES);
        let guest = run.deadline(patience(Duration::from_secs(60))).start();
        guest.wait_for("serving with 0x300001803\n");
        let pattern = pattern();
        give("10.0.0.2", &pattern, 8 << 20);
        take("10.0.0.2", &pattern, 8 << 20);
        assert_eq!(broken(guest), 0);
    });
}

/// A cable between two TAPs' ends, on which each frame is looked at. `change` may change one.
fn carry(ends: [&File; 2], ended: &AtomicBool, change: &(dyn Fn(&mut [u8]) + Sync)) {
    std::thread::scope(|scope| {
        for (mut from, mut to) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            scope.spawn(move || {
                let mut frame = vec![0; 70_000];
                while !ended.load(Ordering::Relaxed) {
                    let length = match from.read(&mut frame) {
                        Ok(length) => length,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            std::thread::sleep(Duration::from_micros(50));
                            continue;
                        }
                        Err(error) => panic!("the wire cannot be read: {error}"),
                    };
                    let frame = &mut frame[..length];
                    check(frame);
                    change(&mut frame[HEADER..]);
                    // Nobody has vouched for what comes from a wire.
                    frame[..HEADER].fill(0);
                    let _ = to.write(frame);
                }
            });
        }
    });
}

/// Bytes of the virtio-net header in front of a frame.
const HEADER: usize = 10;

/// Checks that a frame is one that could be on a real wire: no longer than the MTU, nothing left to be done, checksums right.
fn check(packet: &[u8]) {
    let (header, frame) = packet.split_at(HEADER);
    assert_eq!((header[0] & 1, header[1]), (0, 0), "something was left to do: {header:?}");
    assert!(frame.len() <= 1514, "a frame of {} bytes", frame.len());
    if frame[12..14] != [8, 0] {
        return;
    }
    assert_eq!(frame[14], 0x45);
    assert_eq!(sum(&[&frame[14..34]]), 0xffff, "IPv4's checksum");
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let (protocol, payload) = (frame[23], &frame[34..14 + total]);
    let pseudo = [&frame[26..34], &[0, protocol], &(payload.len() as u16).to_be_bytes()].concat();
    match protocol {
        // It may be left out in a datagram, but nobody here does.
        6 | 17 => assert_eq!(sum(&[&pseudo, payload]), 0xffff, "the checksum of protocol {protocol}"),
        1 => assert_eq!(sum(&[payload]), 0xffff, "ICMP's checksum"),
        // What the kernel says to groups.
        _ => {}
    }
}

/// The ones' complement sum of RFC 1071.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Runs `client` in a namespace that reaches the guest's, which has the device `device`, by a wire. How many frames the guest found
/// broken.
pub(crate) fn over_a_wire(
    device: &str,
    change: &(dyn Fn(&mut [u8]) + Sync),
    client: impl FnOnce() + Send,
) -> u64 {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let near = network::attach_tap("wire", TAP_FLAGS | libc::IFF_TUN_EXCL).expect("a TAP");
        network::give_address("wire", Ipv4Addr::new(10, 1, 0, 1));
        network::set_up("wire", true);
        routing::forward();
        let guest = bulk(device, &["--ip", "10.0.0.2/24", "--gateway", "10.0.0.1"]);
        in_namespace(|| {
            let far = network::attach_tap("wire", TAP_FLAGS).expect("a TAP");
            network::give_address("wire", Ipv4Addr::new(10, 1, 0, 2));
            network::set_up("wire", true);
            routing::add_default_route(Ipv4Addr::new(10, 1, 0, 1));
            for end in [&near, &far] {
                routing::set_nonblocking(end);
            }
            let ended = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| carry([&near, &far], &ended, change));
                // Also where it panics.
                let _end = EndOnDrop(&ended);
                client();
            });
        });
        broken(guest)
    })
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Data both ways, and datagrams of all lengths.
fn talk() {
    let length = if in_rig() { 1 << 20 } else { 16 << 20 };
    let pattern = pattern();
    take("10.0.0.2", &pattern, length);
    give("10.0.0.2", &pattern, length);
    let socket = echo_socket();
    for length in 1..200 {
        assert!(round_trip(&socket, &noise(length, length as usize * 7)), "a datagram of {length} times 7");
    }
}

pub(crate) fn echo_socket() -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect((GUEST, 7)).expect("a route");
    socket.set_read_timeout(Some(patience(Duration::from_millis(500)))).expect("a time limit");
    wait_for_echo(&socket);
    socket
}

fn frames_are_whole_on_a_wire() {
    assert_eq!(over_a_wire("lan", &|_| (), talk), 0);
}

fn frames_are_whole_on_a_wire_without_offloads() {
    assert_eq!(over_a_wire("plain", &|_| (), talk), 0);
}

fn what_a_wire_changes_is_dropped() {
    let (seen, changed) = (AtomicU64::new(0), AtomicU64::new(0));
    let change = |frame: &mut [u8]| {
        // One bit of the last byte of one in fifty that carry data to the guest.
        if frame.len() > 1000 && frame[12..14] == [8, 0] && frame[30..34] == GUEST.octets() {
            let number = seen.fetch_add(1, Ordering::Relaxed);
            if number % 50 == 7 {
                changed.fetch_add(1, Ordering::Relaxed);
                *frame.last_mut().expect("a byte") ^= 1 << (number % 8);
            }
        }
    };
    let broken = over_a_wire("lan", &change, || give("10.0.0.2", &pattern(), 2 << 20));
    assert!(broken > 5, "{broken}");
    assert_eq!(broken, changed.load(Ordering::Relaxed));
}

fn a_guest_that_does_not_read_holds_back_its_peer() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let guest = bulk("lan", &ADDRESSES);
        let memory = || resident(&guest);
        let pattern = pattern();
        let mut stream = connect("10.0.0.2", TAKES_LATER);
        stream.set_nonblocking(true).expect("a socket");
        // All buffers on the way fill up, and that is all: what is more than 32 MiB would be a queue without a bound.
        let (mut total, mut last) = (0, Instant::now());
        while last.elapsed() < patience(Duration::from_secs(1)) {
            match stream.write(&pattern[total % PATTERN..][..PATTERN]) {
                Ok(count) => (total, last) = (total + count, Instant::now()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
            assert!(total < 32 << 20, "the guest has taken {total} bytes that nobody has read");
        }
        assert!(total > 1 << 20, "{total} bytes fit nowhere");
        let before = memory();
        std::thread::sleep(Duration::from_millis(200));
        assert!(memory() < before + (1 << 20), "the monitor grows");
        // The others are served, and nothing was lost.
        let _ = echo_socket();
        stream.set_nonblocking(false).expect("a socket");
        let rest = 3 * PATTERN - total % PATTERN;
        stream.write_all(&pattern.repeat(2)[total % PATTERN..][..rest]).expect("a guest that reads");
        stream.shutdown(Shutdown::Write).expect("a connection");
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).expect("the guest finds all equal");
        assert_eq!(u64::from_le_bytes(answer), (total + rest) as u64);
        assert_eq!(broken(guest), 0);
    });
}

/// The resident memory of the monitor, in bytes.
pub(crate) fn resident(guest: &Running) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/statm", guest.pid())).expect("a process");
    let pages: u64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a number");
    pages * 4096
}

fn a_tap_goes_down_and_up_under_load() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        network::add_neighbour("tap0", GUEST, MAC);
        let guest = bulk("lan", &ADDRESSES[..2]);
        let pattern = pattern();
        let done = AtomicBool::new(false);
        let length = if in_rig() { 4 << 20 } else { 128 << 20 };
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let _end = EndOnDrop(&done);
                give("10.0.0.2", &pattern, length);
                take("10.0.0.2", &pattern, length);
            });
            for _ in 0..4 {
                std::thread::sleep(Duration::from_millis(30));
                network::set_up("tap0", false);
                std::thread::sleep(Duration::from_millis(30));
                network::set_up("tap0", true);
                // Gone with the interface.
                network::add_neighbour("tap0", GUEST, MAC);
            }
            load.join().expect("all data arrives");
        });
        assert_eq!(broken(guest), 0);
    });
}

fn headers_that_lie_do_no_harm() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let socket = UdpSocket::bind("10.0.0.1:9").expect("a socket");
        socket.set_read_timeout(Some(patience(Duration::from_secs(5)))).expect("a time limit");
        let ended = Run::guest("odd-frames").option("--net", "tap0").finish().status(0);
        let text = ended.text();
        let refused = text.strip_prefix("refused ").and_then(|rest| rest.trim().parse::<u32>().ok());
        assert!(refused.is_some_and(|refused| refused > 100), "{text}");
        // The host still takes what is honest.
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).expect("the last datagram");
        assert_eq!(buffer[..length], *b"xxxxx");
    });
}

fn an_idle_guest_uses_no_processor() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let guest = bulk("lan", &ADDRESSES);
        // After traffic, in which the monitor looks for more before it sleeps, and when the guest has told its link of its addresses.
        let _ = echo_socket();
        std::thread::sleep(Duration::from_secs(3));
        let before = processor_time(&guest);
        std::thread::sleep(Duration::from_secs(1));
        let used = processor_time(&guest) - before;
        assert!(used < patience(Duration::from_millis(5)), "an idle guest used {used:?} in a second");
        assert_eq!(broken(guest), 0);
    });
}

/// The processor time that the monitor's first thread has used.
fn processor_time(guest: &Running) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{}/schedstat", guest.pid())).expect("a process");
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    Duration::from_nanos(nanoseconds)
}
