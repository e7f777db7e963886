//! Addresses from router advertisements, with radvd as the router.

use super::names::dnsmasq;
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;
use ukvm_tests::daemon::Daemon;
use ukvm_tests::files::{self, call};
use ukvm_tests::network::{self, TAP_FLAGS, in_namespace};
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::{Need, patience};

ukvm_tests::tests! {
    an_address_a_router_and_a_new_prefix .needs(&[Need::Network, Need::Program("radvd"), Need::Program("ip")]);
    servers_of_names_are_advertised
        .needs(&[Need::Network, Need::Program("radvd"), Need::Program("dnsmasq"), Need::Program("ip")]);
    an_address_that_another_host_has_is_not_used .needs(&[Need::Network, Need::Program("ip")]);
}

/// The hardware address of the guest, with which its addresses end: ff:fe00:9.
const NET: &str = "tap0,mac=02:00:00:00:00:09";

/// A TAP whose host is a router: on the link it has the addresses that are given, behind it 2001:db8:ffff::1.
fn make_router(addresses: &[&str]) {
    network::make_tap("tap0", TAP_FLAGS, None);
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("a kernel that forwards");
    for address in addresses {
        let _ = call("ip", &["address", "add", address, "dev", "tap0", "nodad"]);
    }
    let _ = call("ip", &["address", "add", "2001:db8:ffff::1/128", "dev", "lo", "nodad"]);
    network::set_up("tap0", true);
}

fn configure(directory: &Path, options: &str) {
    // The shortest intervals that there may be.
    let text = format!(
        "interface tap0 {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultLifetime 60;\n{options} }};\n"
    );
    let _ = files::file(directory, "radvd.conf", text.as_bytes());
}

fn radvd(directory: &Path, options: &str) -> Daemon {
    configure(directory, options);
    let arguments = ["-n", "-u", "root", "-C", "radvd.conf", "-p", "radvd.pid", "-m", "stderr", "-d", "3"];
    let router = Daemon::start("radvd", &arguments, directory);
    router.wait_for("syntax ok");
    router
}

fn echo(arguments: &[&str]) -> Running {
    let guest = Run::guest("echo").option("--net", NET).args(arguments);
    guest.deadline(Duration::from_secs(90)).start()
}

/// A round trip over UDP, between these two.
fn talk(own: &str, peer: &str) {
    let socket = UdpSocket::bind(own).expect("a socket");
    socket.connect(peer).expect("a route");
    socket.set_read_timeout(Some(patience(Duration::from_secs(10)))).expect("a time limit");
    let _ = socket.send(b"hello").expect("a datagram sent");
    let mut answer = [0; 10];
    let length = socket.recv(&mut answer).expect("an answer");
    assert_eq!(&answer[..length], b"hello");
}

fn end(guest: Running) -> String {
    guest.signal(Signal::SIGTERM);
    guest.wait().status(0).text()
}

fn an_address_a_router_and_a_new_prefix() {
    in_namespace(|| {
        make_router(&["2001:db8:1::1/64", "2001:db8:2::1/64"]);
        let directory = files::directory();
        // The guest is there first, so that it is its own question that the router answers, or the next round.
        let guest = echo(&["--ip", "slaac"]);
        guest.wait_for("port 7 of fe80::");
        let router = radvd(
            directory.path(),
            "prefix 2001:db8:1::/64 { AdvValidLifetime 100; AdvPreferredLifetime 50; };",
        );
        guest.wait_for("port 7 of 2001:db8:1::ff:fe00:9");
        let mut stream = TcpStream::connect("[2001:db8:1::ff:fe00:9]:7").expect("a connection");
        stream.write_all(b"hello").expect("a stream that takes it");
        stream.read_exact(&mut [0; 5]).expect("an answer");
        // What is beyond the link is reached by the router.
        talk("[2001:db8:ffff::1]:0", "[2001:db8:1::ff:fe00:9]:7");
        // The network gets a new number. The guest takes it up while the old one still holds.
        configure(
            directory.path(),
            "prefix 2001:db8:2::/64 { }; prefix 2001:db8:1::/64 { AdvValidLifetime 100; AdvPreferredLifetime 0; };",
        );
        router.signal(Signal::SIGHUP);
        guest.wait_for("port 7 of 2001:db8:2::ff:fe00:9");
        talk("[2001:db8:ffff::1]:0", "[2001:db8:2::ff:fe00:9]:7");
        talk("[2001:db8:ffff::1]:0", "[2001:db8:1::ff:fe00:9]:7");
        let _ = end(guest);
    });
}

fn servers_of_names_are_advertised() {
    in_namespace(|| {
        make_router(&["2001:db8:1::1/64"]);
        let directory = files::directory();
        let _server = dnsmasq(directory.path(), "2001:db8:ffff::1", &["--address=/one.example/2001:db8::7"]);
        let _router = radvd(directory.path(), "prefix 2001:db8:1::/64 { }; RDNSS 2001:db8:ffff::1 { };");
        let run = Run::guest("resolve").option("--net", NET).args(["--ip", "slaac", "one.example"]);
        let text = run.deadline(Duration::from_secs(60)).finish().status(0).text();
        assert_eq!(text, "servers: 2001:db8:ffff::1\none.example: 2001:db8::7\n");
    });
}

fn an_address_that_another_host_has_is_not_used() {
    in_namespace(|| {
        make_router(&["fd00::1/64", "fd00::2/64"]);
        let guest = echo(&["--ip", "fd00::2/64", "--ip", "fd00::3/64"]);
        guest.wait_for("fd00::2 is in use by");
        talk("[fd00::1]:0", "[fd00::3]:7");
        let text = end(guest);
        assert_eq!(text.matches("is in use by").count(), 1, "{text}");
    });
}
