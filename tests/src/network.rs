//! Network namespaces and TAP devices, made by the tests themselves.

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;
use ukvm_host_net::tap;

/// Runs `body` on a thread in a network namespace of its own, with `lo` up. Processes that it starts are in it too.
pub fn in_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            set_up("lo", true);
            body()
        });
        thread.join()
    });
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Flags of a TAP as the monitor wants it: `IFF_TAP | IFF_NO_PI | IFF_VNET_HDR`.
pub const TAP_FLAGS: i32 = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;

/// Attaches to the TAP `name` of this thread's namespace, and creates it where it does not exist.
///
/// # Errors
///
/// What the kernel says, `EBUSY` where somebody else is attached.
pub fn attach_tap(name: &str, flags: i32) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes an ifreq, which `request` is.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    Ok(file)
}

/// Makes a persistent TAP, which goes with its namespace.
pub fn make_tap(name: &str, flags: i32, owner: Option<u32>) {
    let file = attach_tap(name, flags).expect("a new TAP");
    if let Some(owner) = owner {
        // SAFETY: TUNSETOWNER takes its argument by value.
        check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOWNER, libc::c_ulong::from(owner)) })
            .expect("a TAP's owner");
    }
    // SAFETY: TUNSETPERSIST takes its argument by value.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETPERSIST, 1 as libc::c_ulong) })
        .expect("a persistent TAP");
    drop(file);
    // A process that another test starts at this moment has the descriptor too, until it executes its program.
    while tap::has_link(name).expect("a TAP's link") {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Makes a persistent TAP with the address 10.0.0.1/24 (and fd00::1/64) that is up.
pub fn make_tap_with_address(name: &str) {
    make_tap(name, TAP_FLAGS, None);
    give_address(name, Ipv4Addr::new(10, 0, 0, 1));
    give_address_v6(name, Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
    set_up(name, true);
}

/// Whether this thread's namespace has the interface `name`.
#[must_use]
pub fn exists(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

/// The names of all interfaces in this thread's namespace.
#[must_use]
pub fn interfaces() -> Vec<String> {
    let all = nix::net::if_::if_nameindex().expect("the list of interfaces");
    all.iter().map(|interface| interface.name().to_string_lossy().into_owned()).collect()
}

/// Whether the interface is administratively up.
#[must_use]
pub fn is_up(name: &str) -> bool {
    flags(name) & libc::IFF_UP != 0
}

/// Waits until the kernel sends on an interface whose other end somebody has taken: a moment later, and until then frames are lost.
pub fn wait_for_link(name: &str) {
    let deadline = std::time::Instant::now() + crate::suite::patience(Duration::from_secs(10));
    while flags(name) & libc::IFF_RUNNING == 0 {
        assert!(std::time::Instant::now() < deadline, "{name} has no link");
        std::thread::sleep(Duration::from_millis(5));
    }
    // It says so just before its queue is ready.
    std::thread::sleep(Duration::from_millis(50));
}

fn flags(name: &str) -> i32 {
    let request = configure(libc::SIOCGIFFLAGS, request(name)).expect("an interface's flags");
    // SAFETY: SIOCGIFFLAGS has filled in this member of the union.
    i32::from(unsafe { request.ifr_ifru.ifru_flags })
}

/// Sets the interface up or down.
pub fn set_up(name: &str, up: bool) {
    let flags = if up { flags(name) | libc::IFF_UP } else { flags(name) & !libc::IFF_UP };
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    configure(libc::SIOCSIFFLAGS, request).expect("an interface set up or down");
}

/// Sets the interface's MTU in bytes.
pub fn set_mtu(name: &str, mtu: u16) {
    let mut request = request(name);
    request.ifr_ifru.ifru_mtu = i32::from(mtu);
    configure(libc::SIOCSIFMTU, request).expect("an interface's MTU");
}

/// Gives the interface `address` in a network of 24 bits.
pub fn give_address(name: &str, address: Ipv4Addr) {
    for (code, address) in
        [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, Ipv4Addr::new(255, 255, 255, 0))]
    {
        let mut request = request(name);
        request.ifr_ifru.ifru_addr = socket_address(address);
        configure(code, request).expect("an interface's address");
    }
}

/// Tells the kernel that `address` has the hardware address `mac`, so that it needs no ARP.
pub fn add_neighbour(name: &str, address: Ipv4Addr, mac: [u8; 6]) {
    tap::add_neighbour(name, address, mac).expect("a neighbour's hardware address");
}

/// Gives the interface `address` in a network of 64 bits, without the wait for duplicates.
pub fn give_address_v6(name: &str, address: Ipv6Addr) {
    tap::add_address_v6(name, address, 64).expect("an interface's IPv6 address");
}

fn configure(code: libc::c_ulong, mut request: libc::ifreq) -> io::Result<libc::ifreq> {
    let socket = control_socket();
    // SAFETY: the codes passed here are interface ioctls, which read and write an ifreq.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), code, &raw mut request) })?;
    Ok(request)
}

fn control_socket() -> OwnedFd {
    socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).expect("a socket")
}

fn request(name: &str) -> libc::ifreq {
    libc::ifreq { ifr_name: name_field(name), ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 } }
}

fn name_field(name: &str) -> [libc::c_char; libc::IFNAMSIZ] {
    assert!(name.len() < libc::IFNAMSIZ, "{name} is too long for an interface");
    let mut field = [0; libc::IFNAMSIZ];
    for (to, from) in field.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    field
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let mut bytes = [0; 14];
    // Behind the port, in network order: `struct sockaddr_in`.
    for (to, from) in bytes[2..].iter_mut().zip(address.octets()) {
        *to = from.cast_signed();
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: bytes }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
