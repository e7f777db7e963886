//! Which interfaces and descriptors a network device attaches to.

use super::super::testing::{Rig, flags, pipe};
use super::testing::*;
use super::*;
use std::fs::File;
use std::os::fd::AsRawFd;

#[test]
fn interfaces_that_are_refused() {
    in_namespace("attach_tests::interfaces_that_are_refused", || {
        use ErrorKind::{BadConfig, NoPermission, Usage};
        assert_eq!(refused(&config("a/b")).0, Usage);
        assert_eq!(
            refused(&config("lo")),
            (
                BadConfig,
                "network interface `lo` is no TAP interface: \
                 name one, or one that does not exist and is then made"
                    .into()
            )
        );
        persist(&attach("tun0", libc::IFF_TUN));
        assert!(refused(&config("tun0")).1.starts_with("network interface `tun0` is a TUN interface"));
        persist(&attach("many", libc::IFF_TAP | libc::IFF_MULTI_QUEUE));
        let (kind, message) = refused(&config("many"));
        assert_eq!(kind, BadConfig);
        assert!(message.starts_with("network interface `many` was made with multi_queue: "), "{message}");
        let first = open("tap0");
        assert_eq!(
            refused(&config("tap0")),
            (
                BadConfig,
                "network interface `tap0` is in use already: end what uses it, or name another interface"
                    .into()
            )
        );
        drop(first);
        let group = NetConfig { mac: Some([1, 0, 0x5e, 0, 0, 1]), ..config("tap0") };
        assert_eq!(
            refused(&group),
            (
                BadConfig,
                "hardware address 01:00:5e:00:00:01 can't be that of one device: \
                 use one that begins with 02"
                    .into()
            )
        );
        let own = NetConfig { mac: Some([2, 0, 0, 0, 0, 7]), ..config("tap0") };
        assert_eq!(Net::open(&own, 0).unwrap().mac(), [2, 0, 0, 0, 0, 7]);

        // One that belongs to somebody else, and then none at all, without privileges.
        let other = attach("others", libc::IFF_TAP);
        // SAFETY: the ioctl takes a user's number by value.
        let owned = unsafe { libc::ioctl(other.as_raw_fd(), libc::TUNSETOWNER, 0x7fff_u64) } == 0;
        assert!(owned || is_inside(), "a user namespace knows no other users");
        persist(&other);
        drop(other);
        let anybodys = attach("anybodys", libc::IFF_TAP);
        persist(&anybodys);
        drop(anybodys);
        drop_capabilities();
        if owned {
            let (kind, message) = refused(&config("others"));
            assert_eq!(kind, NoPermission);
            assert!(message.starts_with("network interface `others` belongs to another user: "), "{message}");
        }
        let (kind, message) = refused(&config("tap9"));
        assert_eq!(kind, NoPermission);
        assert!(message.contains("`ip tuntap add dev tap9 mode tap user "), "{message}");
        assert!(message.ends_with(" and `ip link set tap9 up`"), "{message}");
        assert!(open("anybodys").device.warning().is_some());
    });
}

/// This thread's, for good.
fn drop_capabilities() {
    // From linux/capability.h: version 3, this thread, three sets of 64 bits.
    let header = [0x2008_0522_u32, 0];
    let none = [0_u32; 6];
    // SAFETY: the call reads both arrays, which are as long as it expects.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    assert_eq!(result, 0);
}

fn of_descriptor(fd: RawFd) -> NetConfig {
    NetConfig { name: None, source: NetSource::Fd(fd), mac: None }
}

#[test]
fn a_descriptor_of_a_tap() {
    in_namespace("attach_tests::a_descriptor_of_a_tap", || {
        let tap = attach("tap0", libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR);
        let size = 12_i32;
        // SAFETY: the ioctl reads one int.
        assert_eq!(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const size) }, 0);
        set_up("tap0", true);
        let before = flags(tap.as_raw_fd());
        assert_eq!(before & libc::O_NONBLOCK, 0);
        let mut rig = Rig::new(Net::open(&of_descriptor(tap.as_raw_fd()), 0).unwrap());
        assert_eq!((rig.device.mtu(), rig.device.tap_name(), rig.device.warning()), (1500, "tap0", None));
        assert_eq!(rig.device.mac(), Net::open(&of_descriptor(tap.as_raw_fd()), 0).unwrap().mac());
        assert_eq!(flags(tap.as_raw_fd()), before);
        let peer = Peer::new("tap0");
        // The description waits, we do not.
        let buffer = rig.buffer(0, 2048);
        rig.submit(Opcode::NetReceive, 1, buffer, 0);
        rig.advance();
        assert_eq!(rig.taken(), []);
        peer.send(&frame(1, 60));
        assert_eq!(rig.completions(1), [(1, Ok(84))]);
        let send = rig.put(SEND, &with_header(&frame(2, 60)));
        rig.submit(Opcode::NetSend, 2, send, 0);
        assert_eq!(rig.taken(), [(2, Ok(84))]);
        assert_eq!(peer.receive(), Some(frame(2, 60)));
        drop(rig);
        assert!(is_there("tap0"), "it is the caller's");

        // From another namespace, with an interface of the same name here.
        // SAFETY: the call has no preconditions.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 {
            let net = Net::open(&of_descriptor(tap.as_raw_fd()), 0).unwrap();
            assert_eq!(net.mtu(), 1500);
            assert!(net.warning().unwrap().contains("in another network namespace"));
        }
    });
}

#[test]
fn a_descriptor_of_a_tap_without_a_header() {
    in_namespace("attach_tests::a_descriptor_of_a_tap_without_a_header", || {
        for (name, flags) in [("tap0", 0), ("tap1", libc::IFF_VNET_HDR)] {
            let tap = attach(name, libc::IFF_TAP | libc::IFF_NO_PI | flags);
            set_up(name, true);
            let net = Net::open_without_header(&of_descriptor(tap.as_raw_fd())).unwrap();
            let mut rig = Rig::new(net);
            let peer = Peer::new(name);
            let buffer = rig.put(SEND, &frame(2, 60));
            rig.device.send_frame(buffer, &rig.memory).unwrap();
            assert_eq!(peer.receive(), Some(frame(2, 60)), "{name}");
            peer.send(&frame(1, 60));
            let buffer = rig.buffer(0, 2048);
            assert_eq!(rig.device.receive_frame(buffer, &rig.memory), Ok(74), "{name}");
            assert_eq!(rig.bytes(0, 74), frame(1, 60), "{name}");
            assert_eq!(
                rig.device.receive_frame(buffer, &rig.memory),
                Ok(0),
                "nothing is left, and nobody waits"
            );
        }
        for flags in [libc::IFF_TAP, libc::IFF_TAP | libc::IFF_VNET_HDR, libc::IFF_TUN | libc::IFF_NO_PI] {
            let tap = attach("tap%d", flags);
            let error = Net::open_without_header(&of_descriptor(tap.as_raw_fd())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadConfig);
            assert!(error.to_string().ends_with("attach it with the flags IFF_TAP and IFF_NO_PI"), "{error}");
        }
    });
}

#[test]
fn descriptors_that_do_not_serve() {
    in_namespace("attach_tests::descriptors_that_do_not_serve", || {
        let bad = |fd| {
            let (kind, message) = refused(&of_descriptor(fd));
            assert_eq!(kind, ErrorKind::BadConfig);
            message
        };
        assert!(bad(1000).starts_with("network descriptor fd:1000 is not open: "));
        let (end, _other) = pipe();
        assert!(bad(end.as_raw_fd()).contains("is not attached to a TAP interface: "));
        let driver = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
        assert!(bad(driver.as_raw_fd()).contains("is not attached to a TAP interface: "));
        for flags in [libc::IFF_TAP | libc::IFF_NO_PI, libc::IFF_TAP | libc::IFF_VNET_HDR, libc::IFF_TUN] {
            let tap = attach("tap%d", flags);
            assert!(bad(tap.as_raw_fd()).contains("IFF_TAP, IFF_NO_PI and IFF_VNET_HDR"));
        }
    });
}
