//! Network devices.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use ukvm_tests::network::{self, TAP_FLAGS, in_namespace};
use ukvm_tests::run::{Run, Running, SOON};
use ukvm_tests::suite::{Need, patience};
use ukvm_tests::user::{Devices, NOBODY, in_private_mounts};

ukvm_tests::tests! {
    frames_go_both_ways .needs(&[Need::Network]);
    large_packets_are_one_frame .needs(&[Need::Network]);
    a_tap_that_exists_is_attached_and_stays .needs(&[Need::Network]);
    a_tap_that_does_not_exist_is_created_and_vanishes .needs(&[Need::Network]);
    a_tap_by_descriptor .needs(&[Need::Network]);
    a_tap_that_is_down_is_a_warning_and_works_once_it_is_up .needs(&[Need::Network]);
    a_tap_that_goes_down_and_up_again .needs(&[Need::Network]);
    a_tap_with_other_flags .needs(&[Need::Network]);
    a_tap_that_is_busy .needs(&[Need::Network]);
    an_interface_that_is_no_tap .needs(&[Need::Network]);
    a_tap_of_ones_own_needs_no_root .needs(&[Need::Network, Need::Root]);
    a_missing_tap_tells_an_ordinary_user_the_command .needs(&[Need::Network, Need::Root]);
    a_tap_of_somebody_else .needs(&[Need::Network, Need::Root]);
    a_closed_tun_device .needs(&[Need::Network, Need::Root]);
    hardware_addresses .needs(&[Need::Network]);
    the_mtu_is_the_taps .needs(&[Need::Network]);
}

pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
/// The option that gives the guest `tap0` and [`MAC`].
pub(crate) const NET: &str = "tap0,mac=02:00:00:00:00:09";

/// A socket whose packets come back from the mirror behind the interface `name`.
pub(crate) fn socket_to_mirror(name: &str) -> UdpSocket {
    network::add_neighbour(name, GUEST, MAC);
    let socket = UdpSocket::bind("10.0.0.1:0").expect("a socket");
    socket.connect((GUEST, 7)).expect("a route");
    socket.set_read_timeout(Some(patience(Duration::from_millis(500)))).expect("a time limit");
    socket
}

/// One round trip of `packet`; whether it came back as it was.
pub(crate) fn round_trip(socket: &UdpSocket, packet: &[u8]) -> bool {
    let mut answer = vec![0; 65536];
    if socket.send(packet).is_err() {
        return false;
    }
    // Late answers to earlier packets may come first.
    while let Ok(length) = socket.recv(&mut answer) {
        if answer[..length] == *packet {
            return true;
        }
    }
    false
}

/// Round trips until one succeeds: the first packets may come before the guest has given out its buffers.
pub(crate) fn wait_for_echo(socket: &UdpSocket) {
    let deadline = Instant::now() + patience(SOON);
    while !round_trip(socket, b"hello") {
        assert!(Instant::now() < deadline, "no packet came back");
    }
}

fn round_trips(socket: &UdpSocket) {
    wait_for_echo(socket);
    for number in 0..100_u32 {
        let packet = vec![number as u8; 1 + number as usize * 14];
        assert!(round_trip(socket, &packet), "packet {number} did not come back");
    }
}

fn end(guest: Running) {
    guest.signal(nix::sys::signal::Signal::SIGTERM);
    let _ = guest.wait().status(3).prints("mirroring\n");
}

fn frames_go_both_ways() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let guest = Run::guest("mirror").option("--net", NET).start();
        guest.wait_for("mirroring\n");
        round_trips(&socket_to_mirror("tap0"));
        end(guest);
    });
}

fn large_packets_are_one_frame() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        network::set_mtu("tap0", 9000);
        let guest = Run::guest("mirror").option("--net", NET).start();
        let socket = socket_to_mirror("tap0");
        wait_for_echo(&socket);
        // 8,972 bytes and the headers of UDP and IP are 9,000.
        for length in [1473, 4096, 8972] {
            let packet = ukvm_tests::files::noise(length as u64, length);
            assert!(round_trip(&socket, &packet), "a packet of {length} bytes did not come back");
        }
        end(guest);
    });
}

fn a_tap_that_exists_is_attached_and_stays() {
    in_namespace(|| {
        // With and without the virtio-net header in the flags that it was made with.
        for (name, flags) in [("tap0", TAP_FLAGS), ("tap1", TAP_FLAGS & !libc::IFF_VNET_HDR)] {
            network::make_tap(name, flags, None);
            network::give_address(name, Ipv4Addr::new(10, 0, 0, 1));
            network::set_up(name, true);
            let option = format!("lan={name},mac=02:00:00:00:00:09");
            let guest = Run::guest("mirror").option("--net", option).start();
            round_trips(&socket_to_mirror(name));
            end(guest);
            assert!(network::exists(name) && network::is_up(name));
            network::set_up(name, false);
        }
    });
}

fn a_tap_that_does_not_exist_is_created_and_vanishes() {
    in_namespace(|| {
        let guest = Run::guest("mirror").option("--net", NET).start();
        guest.wait_for("mirroring\n");
        assert!(network::exists("tap0") && network::is_up("tap0"));
        network::give_address("tap0", Ipv4Addr::new(10, 0, 0, 1));
        round_trips(&socket_to_mirror("tap0"));
        end(guest);
        assert!(!network::exists("tap0"), "{:?}", network::interfaces());
        // Also if there is nobody left to clean up.
        let guest = Run::guest("mirror").option("--net", NET).start();
        guest.wait_for("mirroring\n");
        drop(guest);
        assert!(!network::exists("tap0"), "{:?}", network::interfaces());
    });
}

fn a_tap_by_descriptor() {
    in_namespace(|| {
        let tap = network::attach_tap("tap0", TAP_FLAGS).expect("a TAP");
        network::give_address("tap0", Ipv4Addr::new(10, 0, 0, 1));
        network::set_up("tap0", true);
        let inherited = nix::unistd::dup(&tap).expect("a descriptor that children inherit");
        let option = format!("fd:{},mac=02:00:00:00:00:09", inherited.as_raw_fd());
        let guest = Run::guest("mirror").option("--net", option).start();
        round_trips(&socket_to_mirror("tap0"));
        end(guest);
        // What is no TAP is refused.
        let null = std::fs::File::open("/dev/null").expect("/dev/null");
        let inherited = nix::unistd::dup(&null).expect("a descriptor that children inherit");
        let option = format!("fd:{}", inherited.as_raw_fd());
        let _ = Run::guest("mirror").option("--net", &option).finish().refuses(78, &[&option, "TAP"]);
        let _ = Run::guest("mirror").option("--net", "fd:987").finish().refuses(66, &["fd:987"]);
    });
}

fn a_tap_that_is_down_is_a_warning_and_works_once_it_is_up() {
    in_namespace(|| {
        network::make_tap("tap0", TAP_FLAGS, None);
        let guest = Run::guest("mirror").option("--net", NET).start();
        guest.wait_for("mirroring\n");
        guest.wait_for_error("ip link set tap0 up");
        network::give_address("tap0", Ipv4Addr::new(10, 0, 0, 1));
        network::set_up("tap0", true);
        round_trips(&socket_to_mirror("tap0"));
        end(guest);
    });
}

fn a_tap_that_goes_down_and_up_again() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let guest = Run::guest("mirror").option("--net", NET).start();
        round_trips(&socket_to_mirror("tap0"));
        for _ in 0..3 {
            network::set_up("tap0", false);
            std::thread::sleep(Duration::from_millis(50));
            network::set_up("tap0", true);
            round_trips(&socket_to_mirror("tap0"));
        }
        end(guest);
    });
}

fn a_tap_with_other_flags() {
    in_namespace(|| {
        network::make_tap("tap0", TAP_FLAGS | libc::IFF_MULTI_QUEUE, None);
        let _ = Run::guest("mirror").option("--net", NET).finish().refuses(78, &["tap0", "multi_queue"]);
        network::make_tap("tun0", libc::IFF_TUN | libc::IFF_NO_PI, None);
        let _ = Run::guest("mirror").option("--net", "tun0").finish().refuses(78, &["tun0", "TAP"]);
    });
}

fn a_tap_that_is_busy() {
    in_namespace(|| {
        let _holder = network::attach_tap("tap0", TAP_FLAGS).expect("a TAP");
        let _ = Run::guest("mirror").option("--net", NET).finish().refuses(78, &["tap0", "use"]);
    });
}

fn an_interface_that_is_no_tap() {
    in_namespace(|| {
        let _ = Run::guest("mirror").option("--net", "lo").finish().refuses(78, &["lo", "TAP"]);
        assert!(network::is_up("lo"));
    });
}

fn a_tap_of_ones_own_needs_no_root() {
    in_private_mounts(Devices::Open, |mounts| {
        network::make_tap("tap0", TAP_FLAGS, Some(NOBODY));
        network::give_address("tap0", Ipv4Addr::new(10, 0, 0, 1));
        network::set_up("tap0", true);
        let run = Run::elf(mounts.guest("mirror")).monitor(&mounts.monitor).user(NOBODY);
        let guest = run.option("--net", NET).start();
        round_trips(&socket_to_mirror("tap0"));
        end(guest);
    });
}

fn a_missing_tap_tells_an_ordinary_user_the_command() {
    in_private_mounts(Devices::Open, |mounts| {
        let run = Run::elf(mounts.guest("mirror")).monitor(&mounts.monitor).user(NOBODY);
        let run = run.option("--net", "tap9");
        let _ = run.finish().refuses(77, &["tap9", "ip tuntap add", "mode tap user"]);
    });
}

fn a_tap_of_somebody_else() {
    in_private_mounts(Devices::Open, |mounts| {
        network::make_tap("tap0", TAP_FLAGS, Some(1234));
        let run = Run::elf(mounts.guest("mirror")).monitor(&mounts.monitor).user(NOBODY);
        let _ = run.option("--net", "tap0").finish().refuses(77, &["tap0"]);
    });
}

fn a_closed_tun_device() {
    in_private_mounts(Devices::Open, |mounts| {
        ukvm_tests::user::set_mode(std::path::Path::new("/dev/net/tun"), 0o600);
        let run = Run::elf(mounts.guest("mirror")).monitor(&mounts.monitor).user(NOBODY);
        let _ = run.option("--net", "tap0").finish().refuses(77, &["/dev/net/tun"]);
    });
}

/// The line of the boot guest on its device `name`.
fn device(options: &[&str], name: &str) -> String {
    let text = Run::guest("boot").options(options).finish().status(0).text();
    let start = format!("device {name} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn hardware_addresses() {
    in_namespace(|| {
        let mac = |line: &str| line.split(' ').nth(3).unwrap_or_default().to_owned();
        let lan = device(&["--net", "tap0"], "lan");
        assert!(lan.starts_with("flags 1 "), "{lan}");
        let first = u8::from_str_radix(&mac(&lan)[..2], 16).expect("a hexadecimal number");
        assert_eq!(first & 3, 2, "{lan}: not a local address of one station");
        // Stable for a TAP, and another one for each.
        assert_eq!(device(&["--net", "tap0"], "lan"), lan);
        assert_ne!(mac(&device(&["--net", "tap1"], "lan")), mac(&lan));
        let both = ["--net", "tap0", "--net", "wan=tap1,mac=02:aa:bb:cc:dd:ee"];
        assert_eq!(device(&both, "lan"), lan);
        assert_eq!(mac(&device(&both, "wan")), "02:aa:bb:cc:dd:ee");
        assert!(device(&[], "lan").starts_with("flags 0 "));
    });
}

fn the_mtu_is_the_taps() {
    in_namespace(|| {
        network::make_tap("tap0", TAP_FLAGS, None);
        for mtu in [68, 1500, 9000] {
            network::set_mtu("tap0", mtu);
            let line = device(&["--net", "tap0"], "lan");
            assert!(line.ends_with(&format!(" mtu {mtu}")), "{line}");
        }
    });
}
