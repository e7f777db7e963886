//! A slow disk and a reader that never reads hold up nothing else.

use super::net::{NET, round_trip, socket_to_mirror};
use nix::sys::signal::Signal;
use std::io::PipeReader;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use ukvm_tests::artifacts::artifacts;
use ukvm_tests::files;
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::{Run, Running, SOON};
use ukvm_tests::suite::{Need, patience};

ukvm_tests::tests! {
    packets_pass_while_the_disk_hangs_and_nobody_reads .needs(&[Need::Network]);
    a_shutdown_is_obeyed_while_the_disk_hangs_and_nobody_reads .needs(&[Need::Network]);
    a_deaf_guest_ends_at_once_while_the_disk_hangs_and_nobody_reads .needs(&[Need::Network]);
    timeout_acts_while_the_disk_hangs_and_nobody_reads .needs(&[Need::Network]);
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
        .monitor(&artifacts().slow_disk_monitor)
        .option("--net", NET)
        .option("--disk", &image)
        .options(options)
        .args(words)
        .stdout(writer)
        .start();
    let socket = socket_to_mirror("tap0");
    let deadline = Instant::now() + patience(SOON);
    while !round_trip(&socket, b"hello") {
        assert!(Instant::now() < deadline, "no packet came back");
    }
    Stuck { guest, socket, _reader: reader, _directory: directory }
}

fn packets_pass_while_the_disk_hangs_and_nobody_reads() {
    in_namespace(|| {
        let stuck = stuck(&[], &["disk", "flood"]);
        let start = Instant::now();
        for number in 0..100_u32 {
            assert!(round_trip(&stuck.socket, &number.to_le_bytes()), "packet {number} did not come back");
        }
        // Well before the first of the disk's requests is done.
        let took = start.elapsed();
        assert!(took < patience(Duration::from_millis(500)), "100 round trips took {took:?}");
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
    in_namespace(|| end(stuck(&["--grace", "1h"], &["disk", "flood"]), Signal::SIGINT, 3));
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

/// What the other tests rely on.
fn the_hanging_disk_does_hang() {
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 1 << 20);
    let run = Run::guest("disk").monitor(&artifacts().slow_disk_monitor).option("--disk", &image);
    let ended = run.args(["1:read:0:512", "1:read:0:512"]).finish().status(0);
    assert!(ended.took >= Duration::from_secs(2), "{:?}", ended.took);
}
