//! What the kernel does with packets in this thread's network namespace.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

/// Has the kernel pass packets on from one interface to another.
pub fn forward() {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("a kernel that forwards");
}

/// Has packets to all other networks go to `gateway`.
pub fn add_default_route(gateway: Ipv4Addr) {
    // SAFETY: a route is plain data, for which all zeroes are a value.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_gateway = address(gateway);
    route.rt_dst = address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = address(Ipv4Addr::UNSPECIFIED);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // SAFETY: SIOCADDRT reads a route, and a device's name where its pointer is not null.
    let added = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT, &raw const route) };
    assert_eq!(added, 0, "{}", io::Error::last_os_error());
}

/// The frames that an interface has received: for a TAP those that its user has sent, a large one counted once.
#[must_use]
pub fn received_frames(name: &str) -> u64 {
    counter(name, 1)
}

/// The frames that an interface should have sent and has dropped: for a TAP those for which its user left no room in its queue.
#[must_use]
pub fn dropped_frames(name: &str) -> u64 {
    counter(name, 11)
}

/// A column of the table of interfaces, see `proc_net(5)`.
fn counter(name: &str, column: usize) -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/dev").expect("the table of interfaces");
    let line = table.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    let frames = line.and_then(|line| line.split_whitespace().nth(column)?.parse().ok());
    frames.expect("the counters of an interface")
}

/// Has reads from `file` and writes to it not wait.
pub fn set_nonblocking(file: &File) {
    let on: libc::c_int = 1;
    // SAFETY: FIONBIO reads an int.
    let set = unsafe { libc::ioctl(file.as_raw_fd(), libc::FIONBIO, &raw const on) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

fn address(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    // Behind the port, in network order: `struct sockaddr_in`.
    for (to, from) in data[2..].iter_mut().zip(address.octets()) {
        *to = from.cast_signed();
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data }
}
