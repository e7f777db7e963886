use super::super::testing::{Rig, flags, pipe, skip};
use super::interface::{Interfaces, Request};
use super::*;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use ukvm_abi::request::NET_HEADER_SIZE;

const MOMENT: Duration = Duration::from_millis(30);
/// Receive buffers and frames lie apart in guest memory.
const SEND: u64 = 1 << 20;
/// An Ethernet type for experiments (IEEE 802), which no kernel answers.
const TYPE: [u8; 2] = [0x88, 0xb5];

/// Runs `body` in a network namespace of its own; `test` is its path. Who may not have one in a thread gets one in a process.
fn in_namespace(test: &str, body: impl FnOnce() + Send + 'static) {
    if let Err(error) = File::options().read(true).write(true).open("/dev/net/tun") {
        return skip(&format!("/dev/net/tun can't be opened: {error}"));
    }
    let inside = is_inside();
    let thread = std::thread::spawn(move || {
        // SAFETY: the call has no preconditions; namespaces are per thread.
        if !inside && unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0 {
            return false;
        }
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        body();
        true
    });
    if !thread.join().unwrap() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", &format!("device::net::tests::{test}"), "--nocapture"]);
        again.env("UKVM_TEST_INSIDE", "1");
        // SAFETY: the call has no preconditions.
        let map = format!("0 {} 1", unsafe { libc::getuid() });
        let leave = move || {
            // SAFETY: the call has no preconditions; the new process has one thread.
            if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) } < 0 {
                return Err(io::Error::last_os_error());
            }
            // As root in there, so that the settings below /proc/sys are ours.
            std::fs::write("/proc/self/uid_map", &map)
        };
        // SAFETY: the closure only makes system calls, which is allowed between fork and exec.
        unsafe { again.pre_exec(leave) };
        match again.status() {
            Ok(status) => assert!(status.success()),
            Err(error) => skip(&format!("no network namespace: {error}")),
        }
    }
}

/// Whether this process was started in a namespace for the test.
fn is_inside() -> bool {
    std::env::var_os("UKVM_TEST_INSIDE").is_some()
}

fn config(name: &str) -> NetConfig {
    NetConfig { name: None, source: NetSource::Tap(name.into()), mac: None }
}

fn open(name: &str) -> Rig<Net> {
    Rig::new(Net::open(&config(name), 0).unwrap())
}

fn refused(config: &NetConfig) -> (ErrorKind, String) {
    let error = Net::open(config, 0).unwrap_err();
    (error.kind(), error.to_string())
}

/// Gives an interface that is down another name.
fn rename(name: &str, new: &str) {
    // SAFETY: an ifreq of zeroes is a valid value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the member is of plain bytes, which any value fits.
    for (to, from) in unsafe { &mut request.ifr_ifru.ifru_newname }.iter_mut().zip(new.bytes()) {
        *to = from as libc::c_char;
    }
    let interfaces = Interfaces::open().unwrap();
    // SAFETY: the ioctl takes an ifreq with two names.
    assert_eq!(unsafe { libc::ioctl(interfaces.fd(), libc::SIOCSIFNAME, &raw const request) }, 0);
}

fn set_up(name: &str, up: bool) {
    let interfaces = Interfaces::open().unwrap();
    let flags = interfaces.flags(name).unwrap().unwrap();
    interfaces.set_flags(name, if up { flags | libc::IFF_UP } else { flags & !libc::IFF_UP }).unwrap();
}

fn exists(name: &str) -> bool {
    Interfaces::open().unwrap().flags(name).unwrap().is_some()
}

/// A descriptor attached to the interface `name` with `flags`, as another program would have it.
fn attach(name: &str, flags: libc::c_int) -> File {
    let tun = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
    let mut request = Request::new(name).with_flags(flags);
    // SAFETY: the ioctl takes an `ifreq`.
    unsafe { request.make(tun.as_raw_fd(), libc::TUNSETIFF) }.unwrap();
    tun
}

fn persist(tun: &File) {
    // SAFETY: the ioctl takes its flag by value.
    assert_eq!(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST, 1_u64) }, 0);
}

fn index(name: &str) -> u32 {
    let name = std::ffi::CString::new(name).unwrap();
    // SAFETY: the name is a valid C string.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// Deletes an interface, by an RTM_DELLINK message of rtnetlink(7).
fn delete(name: &str) {
    // SAFETY: the call has no preconditions.
    let socket = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE) };
    assert!(socket >= 0);
    // SAFETY: a new descriptor that nobody else knows.
    let mut socket = unsafe { File::from_raw_fd(socket) };
    let mut message = [0_u32; 8];
    message[0] = 32;
    message[1] = u32::from(libc::RTM_DELLINK) | ((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u32) << 16;
    message[5] = index(name);
    let bytes: Vec<u8> = message.iter().flat_map(|word| word.to_ne_bytes()).collect();
    io::Write::write_all(&mut socket, &bytes).unwrap();
    let mut answer = [0; 256];
    io::Read::read(&mut socket, &mut answer).unwrap();
    assert_eq!(answer[16..20], [0; 4], "the error in the answer");
}

/// The host's end of a TAP: a packet socket on it.
struct Peer(OwnedFd);

impl Peer {
    fn new(name: &str) -> Self {
        let protocol = u16::from_ne_bytes(TYPE);
        // SAFETY: the call has no preconditions.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(protocol)) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: a new descriptor that nobody else knows.
        let peer = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        // SAFETY: all fields of the structure are numbers.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        address.sll_ifindex = index(name) as i32;
        let size = size_of_val(&address) as u32;
        // SAFETY: the address is valid and of that size.
        assert_eq!(unsafe { libc::bind(fd, (&raw const address).cast(), size) }, 0);
        peer
    }

    fn send(&self, frame: &[u8]) {
        // SAFETY: the bytes are valid for reads.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
    }

    /// The next frame, or `None` if there is none.
    fn receive(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 70_000];
        let flags = libc::MSG_DONTWAIT;
        // SAFETY: the bytes are valid for writes.
        let got = unsafe { libc::recv(self.0.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), flags) };
        bytes.truncate(usize::try_from(got).ok()?);
        Some(bytes)
    }
}

/// A broadcast frame with `length` bytes behind its header.
fn frame(fill: u8, length: usize) -> Vec<u8> {
    [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &TYPE, &vec![fill; length]].concat()
}

/// A frame behind an empty virtio-net header.
fn with_header(frame: &[u8]) -> Vec<u8> {
    [&[0; NET_HEADER_SIZE], frame].concat()
}

#[test]
fn an_interface_is_made_and_vanishes() {
    in_namespace("an_interface_is_made_and_vanishes", || {
        let mut rig = open("tap0");
        assert_eq!((rig.device.mtu(), rig.device.tap_name(), rig.device.warning()), (1500, "tap0", None));
        assert_eq!(rig.device.mac()[0] & 3, 2);
        let peer = Peer::new("tap0");

        // Out.
        let sent = with_header(&frame(7, 100));
        let buffer = rig.put(SEND, &sent);
        for user_data in 0..200 {
            rig.submit(Opcode::NetSend, user_data, buffer, 0);
        }
        let ended = rig.taken();
        assert_eq!(ended.len(), 200);
        assert!(ended.iter().enumerate().all(|(i, end)| *end == (i as u64, Ok(124))));
        for _ in 0..200 {
            assert_eq!(peer.receive().as_deref(), Some(&frame(7, 100)[..]));
        }
        assert!(rig.wanted().is_empty());

        // In: nothing is read before there is a buffer, then in their order.
        for fill in 1..=3 {
            peer.send(&frame(fill, 60));
        }
        rig.advance();
        assert_eq!(rig.taken(), []);
        let buffers: Vec<_> = (0..4).map(|i| rig.buffer(i * 2048, SHORTEST + 1500)).collect();
        for (i, buffer) in buffers.iter().enumerate() {
            rig.submit(Opcode::NetReceive, 300 + i as u64, *buffer, 0);
        }
        assert_eq!(rig.completions(3), [(300, Ok(84)), (301, Ok(84)), (302, Ok(84))]);
        for i in 0..3 {
            assert_eq!(rig.bytes(i * 2048, 84), with_header(&frame(i as u8 + 1, 60)));
        }
        assert!(!rig.wait(MOMENT));
        peer.send(&frame(4, 1500));
        assert_eq!(rig.completions(1), [(303, Ok(1524))]);
        let counters = rig.device.counters();
        assert_eq!((counters.requests_out, counters.bytes_out), (200, 200 * 124));
        assert_eq!((counters.requests_in, counters.bytes_in), (4, 3 * 84 + 1524));
        assert_eq!((counters.dropped, counters.errors), (0, 0));

        drop(rig);
        assert!(!exists("tap0"));
    });
}

#[test]
fn frames_that_cannot_be() {
    in_namespace("frames_that_cannot_be", || {
        let mut rig = open("tap0");
        let peer = Peer::new("tap0");
        let whole = with_header(&frame(1, 46));
        let short = rig.put(SEND, &whole[..SHORTEST - 1]);
        rig.submit(Opcode::NetSend, 1, short, 0);
        let long = rig.buffer(SEND, LONGEST + 1);
        rig.submit(Opcode::NetSend, 2, long, 0);
        // A checksum to be made behind the frame's end, and an unknown kind of segmentation.
        let mut bytes = whole.clone();
        bytes[..10].copy_from_slice(&[1, 0, 0, 0, 0, 0, 0xff, 0xff, 2, 0]);
        let checksum = rig.put(SEND, &bytes);
        rig.submit(Opcode::NetSend, 3, checksum, 0);
        bytes[..10].copy_from_slice(&[0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0]);
        let segments = rig.put(SEND, &bytes);
        rig.submit(Opcode::NetSend, 4, segments, 0);
        let small = rig.buffer(0, SHORTEST + 1499);
        rig.submit(Opcode::NetReceive, 5, small, 0);
        rig.submit(Opcode::ConsoleWrite, 6, small, 0);
        let bad: Vec<_> = (1..6).map(|user_data| (user_data, Err(Status::Invalid))).collect();
        let mut ended = rig.taken();
        assert_eq!(ended.pop(), Some((6, Err(Status::BadDevice))));
        assert_eq!(ended, bad);
        assert!(peer.receive().is_none());
        // The largest that a guest may send, to be cut into segments by the host: here, the host drops or passes it.
        let largest = rig.put(SEND, &with_header(&frame(1, LONGEST - SHORTEST)));
        rig.submit(Opcode::NetSend, 7, largest, 0);
        assert_eq!(rig.taken().len(), 1);
        let good = rig.put(SEND, &whole);
        rig.submit(Opcode::NetSend, 8, good, 0);
        assert_eq!(rig.taken(), [(8, Ok(70))]);
    });
}

#[test]
fn an_interface_that_is_down_drops_and_works_again() {
    in_namespace("an_interface_that_is_down_drops_and_works_again", || {
        persist(&attach("tap1", libc::IFF_TAP | libc::IFF_NO_PI));
        let mut rig = open("tap1");
        assert_eq!(
            rig.device.warning(),
            Some("network interface `tap1` is down, so that no frame passes: run `ip link set tap1 up`")
        );
        let receive = rig.buffer(0, 2048);
        rig.submit(Opcode::NetReceive, 1, receive, 0);
        let send = rig.put(SEND, &with_header(&frame(9, 50)));
        for round in 1..=3 {
            rig.submit(Opcode::NetSend, 2, send, 0);
            rig.advance();
            assert_eq!(rig.taken(), [(2, Ok(74))]);
            assert_eq!(rig.device.counters().dropped, round);
            // It does not poll as ready, so that nobody runs in circles.
            assert!(!rig.wait(MOMENT));

            set_up("tap1", true);
            let peer = Peer::new("tap1");
            assert!(!rig.wait(MOMENT));
            rig.submit(Opcode::NetSend, 3, send, 0);
            assert_eq!(rig.taken(), [(3, Ok(74))]);
            assert_eq!(peer.receive(), Some(frame(9, 50)));
            peer.send(&frame(5, 50));
            assert_eq!(rig.completions(1), [(1, Ok(74))]);
            rig.submit(Opcode::NetReceive, 1, receive, 0);
            set_up("tap1", false);
        }
        drop(rig);
        assert!(exists("tap1"));
    });
}

#[test]
fn an_interface_that_is_deleted_leaves_the_guest_alone() {
    in_namespace("an_interface_that_is_deleted_leaves_the_guest_alone", || {
        let mut rig = open("tap0");
        let receive = rig.buffer(0, 2048);
        rig.submit(Opcode::NetReceive, 1, receive, 0);
        rig.advance();
        delete("tap0");
        assert!(rig.wait(MOMENT));
        rig.advance();
        assert!(rig.wanted().is_empty());
        let send = rig.put(SEND, &with_header(&frame(9, 50)));
        rig.submit(Opcode::NetSend, 2, send, 0);
        rig.submit(Opcode::NetReceive, 3, receive, 0);
        rig.advance();
        assert_eq!(rig.taken(), [(2, Ok(74))]);
        assert!(rig.wanted().is_empty());
        assert_eq!(rig.device.counters().dropped, 1);
    });
}

#[test]
fn a_guest_that_asks_learns_of_the_link() {
    in_namespace("a_guest_that_asks_learns_of_the_link", || {
        let none = GuestBuffer::default();
        let mut rig = open("tap0");
        rig.submit(Opcode::NetLink, 1, none, 1);
        assert_eq!(rig.taken(), [(1, Err(Status::NotSupported))], "it was not offered");
        drop(rig);
        let mut rig = Rig::new(Net::open(&config("tap0"), net::LINK_STATE).unwrap());
        assert_eq!(rig.device.features(), net::LINK_STATE);
        assert!(rig.wanted().is_empty());
        rig.submit(Opcode::NetLink, 2, none, 2);
        rig.submit_length(Opcode::NetLink, 3, none, 1, 1);
        assert_eq!(rig.taken(), [(2, Err(Status::Invalid)), (3, Err(Status::BadFlags))]);
        rig.submit(Opcode::NetLink, 4, none, 0);
        assert_eq!(rig.completions(1), [(4, Ok(1))], "it is up");
        rig.submit(Opcode::NetLink, 5, none, 1);
        rig.submit(Opcode::NetLink, 6, none, 1);
        assert_eq!(rig.taken(), [(6, Err(Status::Invalid))], "one at a time");
        // Another interface says nothing of this one.
        set_up("lo", true);
        rig.wait(MOMENT);
        rig.advance();
        assert_eq!(rig.taken(), []);
        set_up("tap0", false);
        assert_eq!(rig.completions(1), [(5, Ok(0))]);
        rig.submit(Opcode::NetLink, 7, none, 0);
        rig.advance();
        assert_eq!(rig.taken(), []);
        set_up("tap0", true);
        assert_eq!(rig.completions(1), [(7, Ok(1))]);
        assert!(rig.wanted().is_empty());
        // What was down for a moment may have become another link.
        rig.submit(Opcode::NetLink, 8, none, 1);
        set_up("tap0", false);
        set_up("tap0", true);
        assert_eq!(rig.completions(1), [(8, Ok(0))]);
        rig.submit(Opcode::NetLink, 9, none, 0);
        assert_eq!(rig.completions(1), [(9, Ok(1))]);
        // It is the same link by another name.
        rig.submit(Opcode::NetLink, 10, none, 1);
        set_up("tap0", false);
        rename("tap0", "tap1");
        assert_eq!(rig.completions(1), [(10, Ok(0))]);
        rig.submit(Opcode::NetLink, 11, none, 0);
        set_up("tap1", true);
        assert_eq!(rig.completions(1), [(11, Ok(1))]);
        rig.submit(Opcode::NetLink, 12, none, 1);
        rig.advance();
        assert_eq!(rig.taken(), []);
        delete("tap1");
        assert_eq!(rig.completions(1), [(12, Ok(0))]);
    });
}

#[test]
fn a_batch_has_all_frames_that_have_come() {
    in_namespace("a_batch_has_all_frames_that_have_come", || {
        let mut rig = Rig::new(Net::open(&config("tap0"), net::BATCHED_RECEIVE).unwrap());
        let least = net::least_receive_buffer(net::BATCHED_RECEIVE, 1500);
        let short = rig.buffer(0, least - 1);
        rig.submit(Opcode::NetReceive, 1, short, 0);
        assert_eq!(rig.taken(), [(1, Err(Status::Invalid))]);
        let peer = Peer::new("tap0");
        let frames = [frame(1, 1500), frame(2, 46), frame(3, 47), frame(4, 1500)];
        for frame in &frames {
            peer.send(frame);
        }
        let size = 4 * least;
        for (number, place) in [(2, 0), (3, 1 << 18), (4, 2 << 18)] {
            let buffer = rig.buffer(place, size);
            rig.submit(Opcode::NetReceive, number, buffer, 0);
        }
        let records = |frames: &[Vec<u8>]| -> Vec<u8> {
            let record = |frame: &Vec<u8>| {
                let packet = with_header(frame);
                let mut record = [&(packet.len() as u64).to_le_bytes()[..], &packet].concat();
                record.resize(net::record_size(packet.len()), 0);
                record
            };
            frames.iter().flat_map(record).collect()
        };
        let all = records(&frames);
        assert_eq!(rig.completions(1), [(2, Ok(all.len() as u64))]);
        assert_eq!(rig.bytes(0, all.len()), all);
        // What comes later has a buffer of its own.
        peer.send(&frames[1]);
        assert_eq!(rig.completions(1), [(3, Ok(net::record_size(70) as u64))]);
        assert_eq!(rig.bytes(1 << 18, net::record_size(70)), records(&frames[1..2]));
        let tagged = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 0x81, 0, 0, 5], &TYPE, &[7; 1500]].concat();
        peer.send(&tagged);
        let all = records(&[tagged]);
        assert_eq!(rig.completions(1), [(4, Ok(all.len() as u64))]);
        assert_eq!(rig.bytes(2 << 18, all.len()), all);
        assert_eq!(rig.device.counters().requests_in, 6);
    });
}

#[test]
fn a_batch_ends_where_the_next_frame_may_not_fit() {
    in_namespace("a_batch_ends_where_the_next_frame_may_not_fit", || {
        let mut rig = Rig::new(Net::open(&config("tap0"), net::BATCHED_RECEIVE).unwrap());
        let least = net::least_receive_buffer(net::BATCHED_RECEIVE, 1500);
        let peer = Peer::new("tap0");
        for number in 0..3 {
            peer.send(&frame(number, 1000));
        }
        let one = net::record_size(SHORTEST + 1000);
        for (number, length) in [(1, least + one), (2, least + one - 1)] {
            let buffer = rig.buffer(number << 18, length);
            rig.submit(Opcode::NetReceive, number, buffer, 0);
        }
        assert_eq!(rig.completions(2), [(1, Ok(2 * one as u64)), (2, Ok(one as u64))]);
        assert_eq!(rig.bytes((2 << 18) + 8, SHORTEST + 1000), with_header(&frame(2, 1000)));
    });
}

#[test]
fn a_frame_that_does_not_fit_is_dropped() {
    in_namespace("a_frame_that_does_not_fit_is_dropped", || {
        let mut rig = open("tap0");
        let interfaces = Interfaces::open().unwrap();
        let buffer = rig.buffer(0, SHORTEST + 1500);
        rig.submit(Opcode::NetReceive, 1, buffer, 0);
        // The user raises the MTU behind the guest's back.
        let mut request = Request::new("tap0").with_flags(4000);
        // SAFETY: the ioctl takes an `ifreq` and reads a number from it.
        unsafe { request.make(interfaces.fd(), libc::SIOCSIFMTU) }.unwrap();
        assert_eq!(interfaces.mtu("tap0").unwrap(), 4000);
        let peer = Peer::new("tap0");
        peer.send(&frame(1, 1501));
        peer.send(&frame(2, 4000));
        peer.send(&frame(3, 1500));
        assert_eq!(rig.completions(1), [(1, Ok(1524))]);
        assert_eq!(rig.bytes(0, 1524), with_header(&frame(3, 1500)));
        assert_eq!(rig.device.counters().dropped, 2);
        assert_eq!(rig.device.mtu(), 1500);
        // Whoever comes now sees it.
        drop(rig);
        persist(&attach("tap1", libc::IFF_TAP));
        let mut request = Request::new("tap1").with_flags(9000);
        // SAFETY: as above.
        unsafe { request.make(interfaces.fd(), libc::SIOCSIFMTU) }.unwrap();
        assert_eq!(open("tap1").device.mtu(), 9000);
    });
}

#[test]
fn interfaces_that_are_refused() {
    in_namespace("interfaces_that_are_refused", || {
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
    in_namespace("a_descriptor_of_a_tap", || {
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
        assert!(exists("tap0"), "it is the caller's");

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
    in_namespace("a_descriptor_of_a_tap_without_a_header", || {
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
    in_namespace("descriptors_that_do_not_serve", || {
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
