//! Addresses from DHCP servers that others have written, and addresses that somebody else has.

use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;
use ukvm_tests::dhcp::{Kind, Pool, Server};
use ukvm_tests::files::{self, call};
use ukvm_tests::network::{self, TAP_FLAGS, in_namespace};
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::{Need, patience};

ukvm_tests::tests! {
    a_lease_of_dnsmasq_is_held .needs(&[Need::Network, Need::Program("dnsmasq")]);
    a_lease_of_udhcpd_is_held .needs(&[Need::Network, Need::Program("udhcpd")]);
    a_lease_of_kea_is_held .needs(&[Need::Network, Need::Program("kea-dhcp4")]);
    a_pool_that_moved_means_another_address .needs(&[Need::Network, Need::Program("dnsmasq")]);
    a_link_that_comes_back_means_another_look .needs(&[Need::Network, Need::Program("dnsmasq")]);
    a_server_that_comes_late_is_found .needs(&[Need::Network, Need::Program("dnsmasq")]);
    addresses_of_others_are_not_used
        .needs(&[Need::Network, Need::Program("dnsmasq"), Need::Program("ip")]) .not_in_rig("its kernel has no bridges");
    logins_on_a_leased_address
        .needs(&[Need::Network, Need::Program("dnsmasq"), Need::Program("curl"), Need::Program("mkfs.vfat"), Need::Program("mcopy")]);
}

/// Few addresses, asked for again after a few seconds.
const BRIEF: Pool = Pool { hosts: (50, 59), renewal: Some((3, 6)) };
/// The same, asked for again after a minute.
const LONG: Pool = Pool { renewal: None, ..BRIEF };
/// Other addresses.
const MOVED: Pool = Pool { hosts: (150, 159), renewal: Some((3, 6)) };

/// A guest that echoes on the TAP, with these arguments.
fn echo(tap: &str, arguments: &[&str]) -> Running {
    Run::guest("echo").option("--net", tap).args(arguments).deadline(Duration::from_secs(90)).start()
}

fn leased(tap: &str) -> Running {
    echo(tap, &["--ip", "dhcp", "--hostname", "guest-1"])
}

fn end(guest: Running) {
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(0).quietly();
}

/// Waits until the guest has an address of the pool; which one.
fn address(guest: &Running, pool: Pool) -> Ipv4Addr {
    // The byte before the last one's first digits tell the pools apart.
    let start = format!("port 7 of 10.0.0.{}", pool.hosts.0 / 10);
    guest.wait_for(&start);
    let hosts = pool.hosts.0..=pool.hosts.1;
    let place = "port 7 of 10.0.0.";
    let end = std::time::Instant::now() + patience(Duration::from_secs(5));
    loop {
        let text = String::from_utf8_lossy(&guest.output_so_far()).into_owned();
        let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let host = complete.rsplit(place).find_map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok().filter(|host: &u8| hosts.contains(host))
        });
        if let Some(host) = host {
            return Ipv4Addr::new(10, 0, 0, host);
        }
        assert!(std::time::Instant::now() < end, "no address in {text}");
    }
}

/// A connection whose other end sends back what it gets.
struct Echo(TcpStream);

impl Echo {
    fn new(address: Ipv4Addr) -> Self {
        let time = patience(Duration::from_secs(10));
        let stream =
            TcpStream::connect_timeout(&SocketAddr::new(address.into(), 7), time).expect("a connection");
        stream.set_read_timeout(Some(time)).expect("a time limit");
        let mut echo = Self(stream);
        echo.check();
        echo
    }

    fn check(&mut self) {
        self.0.write_all(b"still there?").expect("the peer takes it");
        let mut answer = [0; 12];
        self.0.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"still there?");
    }
}

/// A lease is had, renewed twice, and lives on while its server does not.
fn is_held(kind: Kind) {
    in_namespace(|| {
        let directory = files::directory();
        network::make_tap_with_address("tap0");
        // First, as kea leaves interfaces alone that nobody has attached to.
        let guest = leased("tap0");
        guest.wait_for("port 7 of fe80::");
        let server = Server::start(kind, directory.path(), "tap0", BRIEF);
        let own = address(&guest, BRIEF);
        let mut connection = Echo::new(own);
        // The first, and two renewals.
        server.wait_for_grants(3);
        connection.check();
        drop(server);
        // The next renewal is due when there is no server.
        std::thread::sleep(Duration::from_millis(3200));
        connection.check();
        let server = Server::start(kind, directory.path(), "tap0", BRIEF);
        server.wait_for_grants(2);
        connection.check();
        let output = String::from_utf8_lossy(&guest.output_so_far()).into_owned();
        assert_eq!(output.matches("is leased from").count(), 1, "{output}");
        assert!(
            output.contains(&format!("{own}/24 is leased from 10.0.0.1 for 120 s, gateway 10.0.0.1")),
            "{output}"
        );
        assert!(!output.contains("has ended"), "{output}");
        end(guest);
    });
}

fn a_lease_of_dnsmasq_is_held() {
    is_held(Kind::Dnsmasq);
}

fn a_lease_of_udhcpd_is_held() {
    is_held(Kind::Udhcpd);
}

fn a_lease_of_kea_is_held() {
    is_held(Kind::Kea);
}

fn a_pool_that_moved_means_another_address() {
    in_namespace(|| {
        let directory = files::directory();
        network::make_tap_with_address("tap0");
        let server = Server::start(Kind::Dnsmasq, directory.path(), "tap0", BRIEF);
        let guest = leased("tap0");
        let old = address(&guest, BRIEF);
        // The server knows it by its name.
        server.wait_for("guest-1", 1);
        drop(server);
        std::fs::remove_file(directory.path().join("leases")).expect("what it has given");
        let server = Server::start(Kind::Dnsmasq, directory.path(), "tap0", MOVED);
        server.wait_for("DHCPNAK(", 1);
        let _ = Echo::new(address(&guest, MOVED));
        guest.wait_for(&format!("the lease of {old} has ended"));
        let gone = TcpStream::connect_timeout(&SocketAddr::new(old.into(), 7), Duration::from_millis(500));
        assert!(gone.is_err(), "{old} is still in use");
        end(guest);
    });
}

fn a_link_that_comes_back_means_another_look() {
    in_namespace(|| {
        let directory = files::directory();
        network::make_tap_with_address("tap0");
        let server = Server::start(Kind::Dnsmasq, directory.path(), "tap0", LONG);
        let guest = leased("tap0");
        let own = address(&guest, LONG);
        drop(Echo::new(own));
        // The same network: the lease is confirmed, long before its time.
        network::set_up("tap0", false);
        network::set_up("tap0", true);
        server.wait_for_grants(2);
        drop(Echo::new(own));
        // As if the interface had been moved to another.
        network::set_up("tap0", false);
        drop(server);
        std::fs::remove_file(directory.path().join("leases")).expect("what it has given");
        network::set_up("tap0", true);
        let server = Server::start(Kind::Dnsmasq, directory.path(), "tap0", MOVED);
        server.wait_for("DHCPNAK(", 1);
        drop(Echo::new(address(&guest, MOVED)));
        guest.signal(Signal::SIGTERM);
        // Whether it sent something meanwhile, which is lost with a warning, is a matter of moments.
        let _ = guest.wait().status(0);
    });
}

fn a_server_that_comes_late_is_found() {
    in_namespace(|| {
        let directory = files::directory();
        network::make_tap_with_address("tap0");
        let guest = leased("tap0");
        guest.wait_for("port 7 of fe80::");
        std::thread::sleep(Duration::from_secs(2));
        let _server = Server::start(Kind::Dnsmasq, directory.path(), "tap0", LONG);
        drop(Echo::new(address(&guest, LONG)));
        end(guest);
    });
}

/// Two guests on a bridge: the second is offered the address of the first, which is static, and so is the third's.
fn addresses_of_others_are_not_used() {
    in_namespace(|| {
        let directory = files::directory();
        let ip = |line: &str| drop(call("ip", &line.split(' ').collect::<Vec<_>>()));
        ip("link add br0 type bridge");
        network::give_address("br0", Ipv4Addr::new(10, 0, 0, 1));
        for tap in ["tap0", "tap1", "tap2"] {
            network::make_tap(tap, TAP_FLAGS, None);
            ip(&format!("link set {tap} master br0"));
            network::set_up(tap, true);
        }
        network::set_up("br0", true);
        let first = echo("tap0", &["--ip", "10.0.0.50/24"]);
        let own = Ipv4Addr::new(10, 0, 0, 50);
        let mut connection = Echo::new(own);
        let server = Server::start(Kind::Dnsmasq, directory.path(), "br0", LONG);
        let second = leased("tap1");
        server.wait_for("DHCPDECLINE(", 1);
        let other = address(&second, LONG);
        assert_ne!(other, own);
        drop(Echo::new(other));
        let third = echo("tap2", &["--ip", "10.0.0.50/24", "--ip", "fd00::3/64"]);
        third.wait_for("10.0.0.50 is in use by ");
        third.wait_for("so it is not used here: give one of the two another address");
        // Neither takes the packets of the one that was there first.
        connection.check();
        drop(Echo::new(own));
        end(third);
        end(second);
        end(first);
    });
}

fn logins_on_a_leased_address() {
    in_namespace(|| {
        let directory = files::directory();
        let image = files::fat_image(directory.path(), 8 << 20, &[("alice", b"wonderland")]);
        network::make_tap_with_address("tap0");
        let _server =
            Server::start(Kind::Dnsmasq, directory.path(), "tap0", Pool { hosts: (50, 50), ..LONG });
        let guest = Run::guest("auth-service")
            .option("--net", "tap0")
            .option("--disk", format!("{},ro", image.display()))
            .args(["--ip", "dhcp"])
            .deadline(Duration::from_secs(60))
            .start();
        guest.wait_for("auth-service: at 10.0.0.50 port 80");
        let output = call(
            "curl",
            &["--silent", "--max-time", "20", "http://10.0.0.50/?user=alice&password=wonderland"],
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello alice!");
        end(guest);
    });
}
