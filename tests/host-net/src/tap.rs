//! TAP interfaces, by the kernel's oldest interface to them, ioctl: it is there on every Linux and needs no tool.

use anyhow::{Context, Result};
use libc::{c_short, c_ulong, ifreq};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

/// Attaches to the TAP interface `name` of this process' network namespace, with a virtio-net header before each frame; makes
/// it, for as long as it is open, where there is none.
///
/// # Errors
///
/// What the kernel says: `EBUSY` where another program is attached, `EPERM` without the right to make one.
pub fn attach(name: &str) -> io::Result<File> {
    let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut request = request(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as c_short;
    ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &mut request)?;
    // An interface that stays keeps what the program before has set.
    set_offload(&tun, 0)?;
    Ok(tun)
}

/// Has the interface hand over frames whose checksum is not completed, and segments of TCP that are not cut.
///
/// # Errors
///
/// Where the kernel cannot.
pub fn receive_offloaded(tap: &File) -> io::Result<()> {
    set_offload(tap, libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6)
}

fn set_offload(tap: &File, flags: u32) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes a number, no pointer.
    let result = unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETOFFLOAD as _, c_ulong::from(flags)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Creates the TAP interface `name`, which stays until the network namespace goes, with an address, and brings it up.
///
/// # Errors
///
/// Where this process may not, or the kernel has no TAP interfaces.
pub fn create(name: &str, address: Ipv4Addr, prefix: u8) -> Result<()> {
    let tun = attach(name)
        .with_context(|| format!("the TAP interface {name} cannot be created; run this as root"))?;
    // SAFETY: TUNSETPERSIST takes a number, no pointer.
    let persist = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST as _, 1 as c_ulong) };
    if persist < 0 {
        let error = io::Error::last_os_error();
        return Err(error).with_context(|| format!("the TAP interface {name} cannot be made to stay"));
    }
    let socket = socket()?;
    let configure = |request: &mut ifreq, code| {
        ioctl(socket.as_raw_fd(), code, request)
            .with_context(|| format!("the TAP interface {name} cannot be set up"))
    };
    let mut request = request(name)?;
    request.ifr_ifru.ifru_addr = internet_address(address);
    configure(&mut request, libc::SIOCSIFADDR)?;
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    request.ifr_ifru.ifru_netmask = internet_address(mask.into());
    configure(&mut request, libc::SIOCSIFNETMASK)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as c_short;
    configure(&mut request, libc::SIOCSIFFLAGS)
}

/// Gives the interface `name` an address of IPv6, for use at once: nobody else can have it on a link that was just made.
///
/// # Errors
///
/// Where this process may not, or the kernel has no IPv6.
pub fn add_address_v6(name: &str, address: Ipv6Addr, prefix: u8) -> io::Result<()> {
    /// `struct in6_ifreq` of `linux/ipv6.h`.
    #[repr(C)]
    struct Request {
        address: [u8; 16],
        prefix: u32,
        index: i32,
    }
    // Without IPv6 in the kernel there is no such file, and what follows fails.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_dad"), "0");
    let index = index(name)?;
    let request = Request { address: address.octets(), prefix: prefix.into(), index };
    let socket = UdpSocket::bind("[::]:0")?;
    // SAFETY: on a socket of IPv6, SIOCSIFADDR reads an `in6_ifreq`, which `request` is.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR as _, &raw const request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Brings the interface `name` up, such as `lo` of a new network namespace, without which nothing local can be reached.
///
/// # Errors
///
/// Where this process may not, or there is none.
pub fn bring_up(name: &str) -> Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as c_short;
    ioctl(socket()?.as_raw_fd(), libc::SIOCSIFFLAGS, &mut request)
        .with_context(|| format!("the interface {name} cannot be brought up"))
}

/// Tells the kernel the hardware address that `address` has behind the interface `name`, so that it never asks.
///
/// # Errors
///
/// Where this process may not.
pub fn add_neighbour(name: &str, address: Ipv4Addr, mac: [u8; 6]) -> Result<()> {
    let mut hardware = libc::sockaddr { sa_family: libc::ARPHRD_ETHER, sa_data: [0; 14] };
    for (to, from) in hardware.sa_data.iter_mut().zip(mac) {
        *to = from as _;
    }
    let neighbour = libc::arpreq {
        arp_pa: internet_address(address),
        arp_ha: hardware,
        arp_flags: libc::ATF_COM | libc::ATF_PERM,
        arp_netmask: internet_address(Ipv4Addr::UNSPECIFIED),
        arp_dev: request(name)?.ifr_name,
    };
    // SAFETY: SIOCSARP reads an `arpreq`, which `neighbour` is.
    let result = unsafe { libc::ioctl(socket()?.as_raw_fd(), libc::SIOCSARP as _, &raw const neighbour) };
    if result < 0 {
        let error = io::Error::last_os_error();
        return Err(error).with_context(|| format!("{address} cannot be made known behind {name}"));
    }
    Ok(())
}

/// The number by which the kernel knows the interface `name`.
fn index(name: &str) -> io::Result<i32> {
    let mut request = request(name)?;
    ioctl(socket()?.as_raw_fd(), libc::SIOCGIFINDEX, &mut request)?;
    // SAFETY: SIOCGIFINDEX has filled in this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

/// The MTU of the interface `name`, in bytes.
///
/// # Errors
///
/// Where there is no such interface.
pub fn mtu(name: &str) -> io::Result<u16> {
    let mut request = request(name)?;
    ioctl(socket()?.as_raw_fd(), libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: SIOCGIFMTU has filled in this member of the union.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    u16::try_from(mtu).map_err(io::Error::other)
}

/// Whether a program is attached to the TAP interface. What is sent before is lost, and with it the second that the kernel
/// takes to ask again for the guest's hardware address.
///
/// The interface's `IFF_RUNNING` does not tell: the kernel sets it later than the link changes, and for a new interface
/// before there is a link.
///
/// # Errors
///
/// Where there is no such interface.
pub fn has_link(name: &str) -> Result<bool> {
    let mut link = EthtoolValue { command: ETHTOOL_GLINK, data: 0 };
    let mut request = request(name)?;
    request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut link).cast();
    ioctl(socket()?.as_raw_fd(), SIOCETHTOOL, &mut request)
        .with_context(|| format!("whether {name} has a link cannot be read"))?;
    Ok(link.data != 0)
}

/// `struct ethtool_value` of `linux/ethtool.h`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Asks for the link; from `linux/ethtool.h`.
const ETHTOOL_GLINK: u32 = 10;
/// The request that carries an [`EthtoolValue`]; from `linux/sockios.h`.
const SIOCETHTOOL: c_ulong = 0x8946;

/// Any socket of the Internet family will do to ask about interfaces.
fn socket() -> io::Result<UdpSocket> {
    UdpSocket::bind("0.0.0.0:0")
}

/// A request about the interface `name`, otherwise zero.
fn request(name: &str) -> io::Result<ifreq> {
    // SAFETY: all fields of `ifreq`, those of its union included, are valid when they are zero.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    // One byte stays zero: the name ends with a NUL.
    if name.len() >= request.ifr_name.len() {
        let reason = format!("{name} is too long for the name of an interface");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as _;
    }
    Ok(request)
}

/// An IPv4 address without a port as the kernel takes it.
fn internet_address(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    // Behind the port's two bytes.
    for (to, from) in data.iter_mut().skip(2).zip(address.octets()) {
        *to = from as _;
    }
    libc::sockaddr { sa_family: libc::AF_INET as _, sa_data: data }
}

/// Makes a request that takes, and may fill, an `ifreq`. `code` must be one of those, and what the request points to must be
/// what the code takes.
fn ioctl(descriptor: RawFd, code: c_ulong, request: &mut ifreq) -> io::Result<()> {
    // SAFETY: the codes passed here all take a pointer to an `ifreq`, which is valid for the time of the call; the one that
    // follows a pointer in it, SIOCETHTOOL, finds an `EthtoolValue` that lives as long.
    let result = unsafe { libc::ioctl(descriptor, code as _, std::ptr::from_mut(request)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
