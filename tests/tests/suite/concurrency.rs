//! A slow disk and a reader that never reads hold up nothing else.

use super::net::{NET, round_trip, socket_to_mirror, wait_for_echo};
use nix::sys::signal::Signal;
use std::io::PipeReader;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use ukvm_tests::files;
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::{Need, patience};

ukvm_tests::tests! {
    packets_pass_while_the_disk_hangs_and_nobody_reads .needs(&[Need::Network]);
    a_shutdown_is_obeyed_while_the_disk_hangs_and_nobody_reads .needs(&[Need::Network]);
    a_deaf_guest_ends_at_once_while_the_disk_hangs_and_nobody_reads .needs(&[Need::Network]);
    timeout_acts_while_the_disk_hangs_and_nobody_reads .needs(&[Need::Network]);
    the_runtimes_sockets_work_while_its_disk_hangs .needs(&[Need::Network]);
    the_runtimes_sockets_work_while_nobody_reads .needs(&[Need::Network]);
    the_hanging_disk_does_hang;
}

/// A mirror that always has a read of a disk under way that hangs for a second, and a write to a pipe that is full.
struct Stuck {
    guest: Running,
    socket: UdpSocket,
    _reader: PipeReader,
    _directory: tempfile::TempDir,
}

fn stuck(options: &[&str], words: &[&str]) -> Stuck {
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 1 << 20);
    network::make_tap_with_address("tap0");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let guest = Run::guest("mirror")
        .odd("slow-disk")
        .option("--net", NET)
        .option("--disk", &image)
        .options(options)
        .args(words)
        .stdout(writer)
        .start();
    let socket = socket_to_mirror("tap0");
    wait_for_echo(&socket);
    Stuck { guest, socket, _reader: reader, _directory: directory }
}

fn packets_pass_while_the_disk_hangs_and_nobody_reads() {
    in_namespace(|| {
        let stuck = stuck(&["--grace", "200ms"], &["disk", "flood"]);
        hundred_round_trips(&stuck.socket);
        end(stuck, Signal::SIGTERM, 3);
    });
}

fn end(stuck: Stuck, signal: Signal, status: i32) {
    let asked = Instant::now();
    stuck.guest.signal(signal);
    let ended = stuck.guest.wait().status(status);
    let took = asked.elapsed();
    assert!(took < patience(Duration::from_millis(500)), "{ended:?} took {took:?} after the signal");
}

fn a_shutdown_is_obeyed_while_the_disk_hangs_and_nobody_reads() {
    // It exits at once, and its last output has the rest of the grace to find a reader.
    in_namespace(|| end(stuck(&["--grace", "200ms"], &["disk", "flood"]), Signal::SIGINT, 3));
}

fn a_deaf_guest_ends_at_once_while_the_disk_hangs_and_nobody_reads() {
    in_namespace(|| end(stuck(&["--grace", "1h"], &["disk", "flood", "deaf"]), Signal::SIGTERM, 143));
}

fn timeout_acts_while_the_disk_hangs_and_nobody_reads() {
    in_namespace(|| {
        let time = patience(Duration::from_millis(1500));
        let option = format!("{}ms", time.as_millis());
        let ended = stuck(&["--timeout", &option], &["disk", "flood"]).guest.wait().status(124);
        assert!(ended.took >= time && ended.took < time + patience(Duration::from_millis(500)), "{ended:?}");
    });
}

/// A service made of the runtime's sockets, disk and console, with a client.
fn busy_service(words: &[&str]) -> Stuck {
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 1 << 20);
    network::make_tap_with_address("tap0");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let guest = Run::guest("busy-service")
        .odd("slow-disk")
        .option("--net", "tap0")
        .option("--disk", &image)
        .option("--grace", "100ms")
        .args(["--ip", "10.0.0.2/24"])
        .args(words)
        .stdout(writer)
        .start();
    let socket = UdpSocket::bind("10.0.0.1:0").expect("a socket");
    socket.connect("10.0.0.2:7").expect("a route");
    socket.set_read_timeout(Some(patience(Duration::from_millis(500)))).expect("a time limit");
    wait_for_echo(&socket);
    Stuck { guest, socket, _reader: reader, _directory: directory }
}

fn hundred_round_trips(socket: &UdpSocket) {
    let start = Instant::now();
    for number in 0..100_u32 {
        assert!(round_trip(socket, &number.to_le_bytes()), "packet {number} did not come back");
    }
    // Well before the first of the disk's requests is done.
    let took = start.elapsed();
    assert!(took < patience(Duration::from_millis(500)), "100 round trips took {took:?}");
}

fn the_runtimes_sockets_work_while_its_disk_hangs() {
    in_namespace(|| {
        let service = busy_service(&[]);
        hundred_round_trips(&service.socket);
        end(service, Signal::SIGTERM, 3);
    });
}

fn the_runtimes_sockets_work_while_nobody_reads() {
    in_namespace(|| {
        let service = busy_service(&["flood"]);
        hundred_round_trips(&service.socket);
        // It obeys, but first wants its output to be taken: the grace ends that.
        end(service, Signal::SIGTERM, 143);
    });
}

/// What the other tests rely on.
fn the_hanging_disk_does_hang() {
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 1 << 20);
    let run = Run::guest("disk").odd("slow-disk").option("--disk", &image);
    let ended = run.args(["1:read:0:512", "1:read:0:512"]).finish().status(0);
    assert!(ended.took >= Duration::from_secs(2), "{:?}", ended.took);
}
