//! What the host says of its network interfaces, asked by name with the ioctls of netdevice(7).

use crate::syscall::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Bytes of a name, the NUL at its end included (`IFNAMSIZ`).
const NAME_SIZE: usize = 16;
/// From linux/ethtool.h: what drives the interface.
const ETHTOOL_GDRVINFO: u32 = 3;

/// `struct ifreq`: an interface's name, and room for what is asked or told.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Request {
    name: [u8; NAME_SIZE],
    value: [u64; 3],
}

const _: () =
    assert!(size_of::<Request>() == size_of::<libc::ifreq>(), "the kernel reads and writes an ifreq");

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    rest: [u8; 64],
}

const _: () = assert!(size_of::<DriverInfo>() == 196, "the kernel writes an ethtool_drvinfo");

/// Whether the kernel would take `name` as that of an interface. It takes `%d` for a number, which is not what anybody means here.
pub(super) fn is_valid_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"/:%".contains(&byte);
    (1..NAME_SIZE).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(allowed)
}

impl Request {
    /// About the interface `name`; of a longer name than there can be, the part that fits.
    pub(super) fn new(name: &str) -> Self {
        let mut request = Self::default();
        for (to, from) in request.name.iter_mut().zip(name.bytes().take(NAME_SIZE - 1)) {
            *to = from;
        }
        request
    }

    /// The same with flags.
    pub(super) fn with_flags(mut self, flags: libc::c_int) -> Self {
        self.value[0] = u64::from(flags as u16);
        self
    }

    /// About the interface with this index.
    pub(super) fn of_index(index: libc::c_int) -> Self {
        let mut request = Self::default();
        request.value[0] = u64::from(index.cast_unsigned());
        request
    }

    /// Makes the ioctl `number` on `fd`.
    ///
    /// # Safety
    ///
    /// The ioctl takes an `ifreq`, and makes of it nothing but a number, or follows an address that was put there for it.
    pub(super) unsafe fn make(&mut self, fd: RawFd, number: libc::c_ulong) -> io::Result<()> {
        // SAFETY: the caller says that the ioctl reads and writes an `ifreq`, which `self` has the size of.
        check(unsafe { libc::ioctl(fd, number, std::ptr::from_mut(self)) })?;
        Ok(())
    }

    /// The name.
    pub(super) fn name(&self) -> String {
        until_nul(&self.name)
    }

    /// The flags, if these were asked for.
    pub(super) fn flags(&self) -> libc::c_int {
        libc::c_int::from(self.value[0] as u16)
    }

    /// The index, if that was asked for.
    pub(super) fn index(&self) -> libc::c_int {
        self.value[0] as libc::c_int
    }

    fn hardware_address(&self) -> [u8; 6] {
        // A sockaddr: two bytes of address family first.
        let [_, _, a, b, c, d, e, f] = self.value[0].to_ne_bytes();
        [a, b, c, d, e, f]
    }
}

fn until_nul(bytes: &[u8]) -> String {
    bytes.iter().take_while(|&&byte| byte != 0).map(|&byte| char::from(byte)).collect()
}

/// The interfaces of this network namespace.
#[derive(Debug)]
pub(super) struct Interfaces {
    socket: OwnedFd,
}

impl Interfaces {
    /// Opens the way to ask.
    pub(super) fn open() -> io::Result<Self> {
        // Any kind of socket serves.
        // SAFETY: the call has no preconditions.
        let socket = check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: `socket` is a new descriptor that nobody else knows.
        Ok(Self { socket: unsafe { OwnedFd::from_raw_fd(socket) } })
    }

    /// The descriptor that takes the ioctls.
    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Its flags (`IFF_UP` and so on); `None` where there is no such interface.
    pub(super) fn flags(&self, name: &str) -> io::Result<Option<libc::c_int>> {
        let mut request = Request::new(name);
        // SAFETY: the ioctl takes an `ifreq` and writes the flags to it.
        match unsafe { request.make(self.fd(), libc::SIOCGIFFLAGS) } {
            Ok(()) => Ok(Some(request.flags())),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets its flags.
    pub(super) fn set_flags(&self, name: &str, flags: libc::c_int) -> io::Result<()> {
        let mut request = Request::new(name).with_flags(flags);
        // SAFETY: the ioctl takes an `ifreq` and reads the flags in it.
        unsafe { request.make(self.fd(), libc::SIOCSIFFLAGS) }
    }

    /// The most bytes behind a frame's Ethernet header.
    pub(super) fn mtu(&self, name: &str) -> io::Result<u32> {
        let mut request = Request::new(name);
        // SAFETY: the ioctl takes an `ifreq` and writes an int to it.
        unsafe { request.make(self.fd(), libc::SIOCGIFMTU) }?;
        Ok(request.value[0] as u32)
    }

    /// Whether the TAP behind descriptor `tap` is the interface of that name here, and not one of that name in another namespace.
    pub(super) fn is_here(&self, name: &str, tap: RawFd) -> bool {
        let (mut by_name, mut by_descriptor) = (Request::new(name), Request::new(name));
        // SAFETY: the ioctl takes an `ifreq` and writes a `sockaddr` to it.
        let found = unsafe { by_name.make(self.fd(), libc::SIOCGIFHWADDR) };
        // SAFETY: as above; TAP descriptors know this ioctl as well.
        let own = unsafe { by_descriptor.make(tap, libc::SIOCGIFHWADDR) };
        found.is_ok() && own.is_ok() && by_name.hardware_address() == by_descriptor.hardware_address()
    }

    /// Its driver and the bus that it is on: for TAPs, `tun` and `tap`.
    pub(super) fn driver(&self, name: &str) -> io::Result<(String, String)> {
        let mut info = DriverInfo {
            command: ETHTOOL_GDRVINFO,
            driver: [0; 32],
            version: [0; 32],
            firmware: [0; 32],
            bus: [0; 32],
            rest: [0; 64],
        };
        let mut request = Request::new(name);
        request.value[0] = (&raw mut info) as u64;
        // SAFETY: the ioctl takes an `ifreq` with the address of an `ethtool_drvinfo`, which `info` is and which outlives the call.
        unsafe { request.make(self.fd(), libc::SIOCETHTOOL) }?;
        Ok((until_nul(&info.driver), until_nul(&info.bus)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["tap0", "a", "br-0.12", "fifteen-chars-1"] {
            assert!(is_valid_name(name), "{name}");
        }
        for name in ["", ".", "..", "a b", "a/b", "tap%d", "eth0:1", "sixteen-chars-12", "a\n", "tap\u{e9}"] {
            assert!(!is_valid_name(name), "{name}");
        }
    }

    #[test]
    fn what_is_known_of_the_loopback_interface() {
        let interfaces = Interfaces::open().unwrap();
        assert!(interfaces.flags("lo").unwrap().unwrap() & libc::IFF_LOOPBACK != 0);
        assert!(interfaces.mtu("lo").unwrap() >= 1280);
        assert_eq!(interfaces.flags("no-such-one").unwrap(), None);
    }
}
