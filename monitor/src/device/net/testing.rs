//! What the tests of network devices share: a namespace, interfaces in it, and the host's end of their cables.

use super::super::testing::{Rig, skip};
use super::interface::{Interfaces, Request};
use super::*;
use crate::syscall::check;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use ukvm_abi::request::NET_HEADER_SIZE;

/// Receive buffers and frames lie apart in guest memory.
pub(super) const SEND: u64 = 1 << 20;
/// An Ethernet type for experiments (IEEE 802), which no kernel answers.
pub(super) const TYPE: [u8; 2] = [0x88, 0xb5];

/// Runs `body` in a network namespace of its own; `test` is its path in `device::net`. Who may not have one in a thread gets one in a process.
pub(super) fn in_namespace(test: &str, body: impl FnOnce() + Send + 'static) {
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
        again.args(["--exact", &format!("device::net::{test}"), "--nocapture"]);
        again.env("UKVM_TEST_INSIDE", "1");
        // SAFETY: the call has no preconditions.
        let map = format!("0 {} 1", unsafe { libc::getuid() });
        let leave = move || {
            // SAFETY: the call has no preconditions; the new process has one thread.
            check(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) })?;
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
pub(super) fn is_inside() -> bool {
    std::env::var_os("UKVM_TEST_INSIDE").is_some()
}

pub(super) fn config(name: &str) -> NetConfig {
    NetConfig { name: None, source: NetSource::Tap(name.into()), mac: None }
}

pub(super) fn open(name: &str) -> Rig<Net> {
    Rig::new(Net::open(&config(name), 0).unwrap())
}

pub(super) fn refused(config: &NetConfig) -> (ErrorKind, String) {
    let error = Net::open(config, 0).unwrap_err();
    (error.kind(), error.to_string())
}

/// Gives an interface that is down another name.
pub(super) fn rename(name: &str, new: &str) {
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

pub(super) fn set_up(name: &str, up: bool) {
    let interfaces = Interfaces::open().unwrap();
    let flags = interfaces.flags(name).unwrap().unwrap();
    interfaces.set_flags(name, if up { flags | libc::IFF_UP } else { flags & !libc::IFF_UP }).unwrap();
}

pub(super) fn is_there(name: &str) -> bool {
    Interfaces::open().unwrap().flags(name).unwrap().is_some()
}

/// A descriptor attached to the interface `name` with `flags`, as another program would have it.
pub(super) fn attach(name: &str, flags: libc::c_int) -> File {
    let tun = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
    let mut request = Request::new(name).with_flags(flags);
    // SAFETY: the ioctl takes an `ifreq`.
    unsafe { request.make(tun.as_raw_fd(), libc::TUNSETIFF) }.unwrap();
    tun
}

pub(super) fn persist(tun: &File) {
    // SAFETY: the ioctl takes its flag by value.
    assert_eq!(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST, 1_u64) }, 0);
}

pub(super) fn index(name: &str) -> u32 {
    let name = std::ffi::CString::new(name).unwrap();
    // SAFETY: the name is a valid C string.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// Deletes an interface, by an RTM_DELLINK message of rtnetlink(7).
pub(super) fn delete(name: &str) {
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
pub(super) struct Peer(pub(super) OwnedFd);

impl Peer {
    pub(super) fn new(name: &str) -> Self {
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

    pub(super) fn send(&self, frame: &[u8]) {
        // SAFETY: the bytes are valid for reads.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
    }

    /// The next frame, or `None` if there is none.
    pub(super) fn receive(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 70_000];
        let flags = libc::MSG_DONTWAIT;
        // SAFETY: the bytes are valid for writes.
        let got = unsafe { libc::recv(self.0.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), flags) };
        bytes.truncate(usize::try_from(got).ok()?);
        Some(bytes)
    }
}

/// A broadcast frame with `length` bytes behind its header.
pub(super) fn frame(fill: u8, length: usize) -> Vec<u8> {
    [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &TYPE, &vec![fill; length]].concat()
}

/// A frame behind an empty virtio-net header.
pub(super) fn with_header(frame: &[u8]) -> Vec<u8> {
    [&[0; NET_HEADER_SIZE], frame].concat()
}
