//! The networks of the documentation, each made by its script: from another host's curl to the guest's answer.

use nix::sys::signal::Signal;
use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use ukvm_tests::daemon::Daemon;
use ukvm_tests::files::{self, call};
use ukvm_tests::network::{self, TAP_FLAGS, in_namespace};
use ukvm_tests::peer::Peer;
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::{Need, patience};

/// What all the set-ups need.
const NEEDS: &[Need] = &[
    Need::Network,
    Need::Program("ip"),
    Need::Program("nft"),
    Need::Program("unshare"),
    Need::Program("nsenter"),
    Need::Program("curl"),
    Need::Program("dnsmasq"),
    Need::Program("mkfs.vfat"),
    Need::Program("mcopy"),
];
/// Why they are left out in the emulated machine.
const NO_SOURCES: &str = "the sources are not there";

ukvm_tests::tests! {
    a_bridge .needs(NEEDS) .not_in_rig(NO_SOURCES);
    a_routed_network .needs(NEEDS) .not_in_rig(NO_SOURCES);
    a_network_behind_the_hosts_address .needs(NEEDS) .not_in_rig(NO_SOURCES);
    a_script_without_a_word_says_how_it_is_used .not_in_rig(NO_SOURCES);
    two_networks_and_two_disks_in_one_guest .needs(&[Need::Network]);
    the_program_with_two_of_each_is_that_of_the_page .not_in_rig(NO_SOURCES);
}

/// Runs a script of the documentation on this namespace's `uplink`.
fn script(name: &str, word: &str) {
    let script = xtask::cargo::root().join("docs/network").join(name);
    let output = Command::new("sh").arg(&script).arg(word).env("UPLINK", "uplink").output().expect("a shell");
    assert!(output.status.success(), "{name} {word}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{name} {word}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A host at 192.168.9.1 on a network with a peer at 192.168.9.2, which is also its way to all others.
fn network() -> Peer {
    let peer = Peer::behind("uplink");
    let _ = call("ip", &["address", "add", "192.168.9.1/24", "broadcast", "+", "dev", "uplink"]);
    let _ = call("ip", &["route", "add", "default", "via", "192.168.9.2"]);
    peer.call("ip", &["address", "add", "192.168.9.2/24", "dev", "eth0"]);
    peer
}

/// What there is of interfaces, addresses, routes and rules.
fn state() -> String {
    let shown = [
        call("ip", &["-oneline", "-family", "inet", "address", "show"]),
        call("ip", &["route", "show"]),
        call("nft", &["list", "ruleset"]),
    ];
    let mut text: String = shown.iter().map(|output| String::from_utf8_lossy(&output.stdout)).collect();
    text += &std::fs::read_to_string("/proc/sys/net/ipv4/conf/uplink/forwarding").expect("a switch");
    text
}

/// The example service, on the TAP that the script has made.
fn service(arguments: &[&str]) -> (Running, TempDir) {
    let directory = files::directory();
    let image = files::fat_image(directory.path(), 4 << 20, &[("alice", b"wonderland")]);
    let guest = Run::guest("auth-service")
        .option("--net", "tap0")
        .option("--disk", image)
        .args(arguments)
        .deadline(Duration::from_secs(60))
        .start();
    guest.wait_for(" port 80, ");
    (guest, directory)
}

fn end(guest: Running) {
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(0).quietly();
}

/// The other host's curl gets the right answer from `place`.
fn curl(peer: &Peer, place: &str) {
    let url = format!("http://{place}/?user=alice&password=wonderland");
    let output = peer.call("curl", &["--silent", "--show-error", "--max-time", "20", &url]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello alice!");
}

fn a_bridge() {
    in_namespace(|| {
        let peer = network();
        let before = state();
        script("bridge.sh", "up");
        let (guest, _directory) = service(&["--ip", "192.168.9.3/24"]);
        curl(&peer, "192.168.9.3");
        // The host is where it was, for the other and for the guest.
        let _ = peer.call("ping", &["-c", "1", "-W", "10", "192.168.9.1"]);
        let _ = call("curl", &["--silent", "--max-time", "20", "http://192.168.9.3/"]);
        end(guest);
        script("bridge.sh", "down");
        assert_eq!(state(), before);
        // Once more does nothing.
        script("bridge.sh", "down");
        assert_eq!(state(), before);
        assert!(!network::exists("tap0") && !network::exists("br0"));
    });
}

fn a_routed_network() {
    in_namespace(|| {
        let peer = network();
        let before = state();
        script("routed.sh", "up");
        let (guest, _directory) = service(&["--ip", "10.0.0.2/24", "--gateway", "10.0.0.1"]);
        peer.call("ip", &["route", "add", "10.0.0.0/24", "via", "192.168.9.1"]);
        curl(&peer, "10.0.0.2");
        end(guest);
        script("routed.sh", "down");
        assert_eq!(state(), before);
        // Once more does nothing.
        script("routed.sh", "down");
        assert_eq!(state(), before);
        assert!(!network::exists("tap0"));
    });
}

fn a_network_behind_the_hosts_address() {
    in_namespace(|| {
        let peer = network();
        let before = state();
        script("nat.sh", "up");
        let (guest, directory) = service(&["--ip", "10.0.0.2/24", "--gateway", "10.0.0.1"]);
        // The other knows the host alone, and has no way to the guest's network.
        curl(&peer, "192.168.9.1:8080");
        end(guest);
        // And the other way round: the guest asks a server of names out there.
        let mut server = peer.command("dnsmasq");
        server.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--user=",
        ]);
        server.args(["--pid-file=", "--log-facility=-", "--address=/one.example/192.0.2.7"]);
        let server = Daemon::of(server, "dnsmasq", directory.path());
        server.wait_for("started");
        let run = Run::guest("resolve").option("--net", "tap0");
        let run =
            run.args(["--ip", "10.0.0.2/24", "--gateway", "10.0.0.1", "--dns", "192.168.9.2", "one.example"]);
        let _ = run.finish().status(0).prints("servers: 192.168.9.2\none.example: 192.0.2.7\n");
        script("nat.sh", "down");
        assert_eq!(state(), before);
        // Once more does nothing.
        script("nat.sh", "down");
        assert_eq!(state(), before);
        assert!(!network::exists("tap0"));
    });
}

fn a_script_without_a_word_says_how_it_is_used() {
    for name in ["bridge.sh", "routed.sh", "nat.sh"] {
        let script = xtask::cargo::root().join("docs/network").join(name);
        let output = Command::new("sh").arg(&script).output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert_eq!(said, format!("usage: UPLINK=eth0 {} up|down\n", script.display()));
    }
}

fn two_networks_and_two_disks_in_one_guest() {
    in_namespace(|| {
        for (name, last) in [("tap0", 0), ("tap1", 1)] {
            network::make_tap(name, TAP_FLAGS, None);
            network::give_address(name, std::net::Ipv4Addr::new(10, 0, last, 1));
            network::set_up(name, true);
        }
        let directory = files::directory();
        let disk =
            |name: &str| files::file(directory.path(), name, name.repeat(512).as_bytes()[..512].as_ref());
        let (public, private) = (disk("for all"), disk("for some"));
        let named = |name: &str, path: &std::path::Path| format!("{name}={},ro", path.display());
        // In another order than the program has them: what counts is the name.
        let guest = Run::guest("two-of-each")
            .options(["--disk", &named("private", &private), "--net", "back=tap1"])
            .options(["--disk", &named("public", &public), "--net", "front=tap0"])
            .args(["--front=10.0.0.2/24", "--back=10.0.1.2/24"])
            .start();
        guest.wait_for("back: 10.0.1.2/24");
        for (address, expected) in [("10.0.0.2:7", "for allfor all"), ("10.0.1.2:7", "for somefor some")] {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.set_read_timeout(Some(patience(Duration::from_secs(10)))).expect("a time limit");
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text).expect("a sector");
            assert!(text.starts_with(expected) && text.len() == 512, "{address}: {text}");
        }
        guest.signal(Signal::SIGTERM);
        let _ = guest.wait().status(0).quietly();
        // Without names the options are taken in the order of the declarations.
        let inspected = Run::guest("two-of-each").options(["--inspect"]).finish().status(0).text();
        for name in ["front", "back", "public", "private"] {
            assert!(inspected.contains(name), "{inspected}");
        }
    });
}

fn the_program_with_two_of_each_is_that_of_the_page() {
    let read = |name: &str| std::fs::read_to_string(xtask::cargo::root().join(name)).expect("a file");
    let page = read("docs/network.md");
    let shown = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program");
    let built = read("tests/guests/src/bin/two-of-each.rs");
    assert!(built.ends_with(shown), "docs/network.md and two-of-each.rs differ:\n{shown}");
}
