//! A TAP interface: found, or made; asked for frames with a virtio-net header.

use super::interface::{Interfaces, Request, is_valid_name};
use crate::device::nowait;
use crate::error::{Error, ErrorKind};
use crate::syscall::{check, uninterrupted};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use ukvm_abi::net::{GUEST_CSUM, GUEST_TSO4, GUEST_TSO6};
use ukvm_abi::request::NET_HEADER_SIZE;
use vm_memory::VolatileSlice;

/// Bytes of an Ethernet header, the least that a TAP takes as a frame.
const ETHERNET_HEADER: usize = 14;
const DEVICE: &str = "/dev/net/tun";
/// Whole Ethernet frames, nothing of the driver's own before them, a virtio-net header instead.
const FLAGS: libc::c_int = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
/// What Linux's TAPs can have as MTU: 65535 less an Ethernet header; below 68, IPv4 does not work (RFC 791).
const MTU: std::ops::RangeInclusive<u32> = 68..=65521;
/// The MTU of an interface that can't be asked.
const USUAL_MTU: u16 = 1500;

/// What may be in front of a frame on a descriptor that is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A virtio-net header.
    Header,
    /// That, or nothing.
    Any,
}

/// An open TAP interface.
#[derive(Debug)]
pub(super) struct Tap {
    fd: OwnedFd,
    /// Whether a virtio-net header is in front of each frame.
    has_header: bool,
    name: String,
    mtu: u16,
    warning: Option<String>,
    is_here: bool,
    /// What keeps `preadv2` and `pwritev2` from waiting where the description itself does not.
    io_flags: libc::c_int,
}

impl Tap {
    /// Attaches the interface `name`, or makes it, brings it up, and has it vanish with this value.
    pub(super) fn open(name: &str) -> Result<Self, Error> {
        if !is_valid_name(name) {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "`{name}` can't be the name of a network interface: use 1 to 15 of A-Z, a-z, 0-9, `-`, `_` and `.`"
                ),
            ));
        }
        let tun = open_driver()?;
        let failed = |error: io::Error| cannot_use(name, &error);
        let interfaces = Interfaces::open().map_err(failed)?;
        let found = interfaces.flags(name).map_err(failed)?;
        let exclusive = if found.is_none() { libc::IFF_TUN_EXCL } else { 0 };
        let mut request = Request::new(name).with_flags(FLAGS | exclusive);
        // SAFETY: the ioctl takes an `ifreq` and reads and writes name and flags.
        unsafe { request.make(tun.as_raw_fd(), libc::TUNSETIFF) }
            .map_err(|error| cannot_attach(name, found.is_some(), &interfaces, &error))?;
        set_header(&tun).map_err(failed)?;
        let warning = match found {
            None => {
                let made = interfaces.flags(name).map_err(failed)?.unwrap_or(0);
                interfaces.set_flags(name, made | libc::IFF_UP).map_err(failed)?;
                None
            }
            Some(flags) => warning_of_state(name, flags),
        };
        let mtu = interfaces.mtu(name).map_err(failed)?;
        Ok(Self {
            fd: tun,
            has_header: true,
            name: name.into(),
            mtu: clamp(mtu),
            warning,
            is_here: true,
            io_flags: 0,
        })
    }

    /// Uses the TAP that descriptor `fd` is attached to. The descriptor stays the caller's.
    pub(super) fn of_descriptor(fd: RawFd, framing: Framing) -> Result<Self, Error> {
        let bad = |what: &str, remedy: &str| {
            Error::new(ErrorKind::BadConfig, format!("network descriptor fd:{fd} {what}: {remedy}"))
        };
        // SAFETY: the call has no preconditions.
        let own = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
        if own < 0 {
            return Err(bad("is not open", "open it before and let it be inherited"));
        }
        // SAFETY: `own` is a new descriptor that nobody else knows.
        let tap = unsafe { OwnedFd::from_raw_fd(own) };
        let mut request = Request::default();
        // SAFETY: the ioctl takes an `ifreq` and writes name and flags to it; other kinds of files do not know its number.
        unsafe { request.make(tap.as_raw_fd(), libc::TUNGETIFF) }.map_err(|_| {
            bad("is not attached to a TAP interface", "attach it by TUNSETIFF, or give a name")
        })?;
        let (name, flags) = (request.name(), request.flags());
        let other = || {
            bad(
                "is attached in another way than this needs",
                match framing {
                    Framing::Header => "attach it with the flags IFF_TAP, IFF_NO_PI and IFF_VNET_HDR",
                    Framing::Any => "attach it with the flags IFF_TAP and IFF_NO_PI",
                },
            )
        };
        let has_header = flags & libc::IFF_VNET_HDR != 0;
        if flags & libc::IFF_TAP == 0 || (framing == Framing::Header && !has_header) {
            return Err(other());
        }
        if has_header {
            set_header(&tap).map_err(|error| cannot_use(&name, &error))?;
        }
        let io_flags =
            nowait_flags(&tap, has_header).map_err(|error| cannot_use(&name, &error))?.ok_or_else(other)?;
        let interfaces = Interfaces::open().map_err(|error| cannot_use(&name, &error))?;
        let is_here = interfaces.is_here(&name, tap.as_raw_fd());
        let (mtu, warning) = if is_here {
            let flags = interfaces.flags(&name).ok().flatten().unwrap_or(libc::IFF_UP);
            let mtu = interfaces.mtu(&name).map_err(|error| cannot_use(&name, &error))?;
            (clamp(mtu), warning_of_state(&name, flags))
        } else {
            let warning = format!(
                "network interface `{name}` is in another network namespace: taking {USUAL_MTU} as its MTU"
            );
            (USUAL_MTU, Some(warning))
        };
        Ok(Self { fd: tap, has_header, name, mtu, warning, is_here, io_flags })
    }

    /// Has the driver leave to the guest what it takes, by its [features](ukvm_abi::net) to receive. Those that are now in use: where
    /// the driver refuses some, it does their work itself, as before.
    pub(super) fn set_offloads(&self, wanted: u64) -> u64 {
        accepted(wanted, |offloads| {
            // SAFETY: the ioctl takes its flags by value.
            unsafe { libc::ioctl(self.fd(), libc::TUNSETOFFLOAD, offloads) == 0 }
        })
    }

    /// The interface's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The most bytes behind a frame's Ethernet header, 68 to 65521, when it was opened.
    pub(super) fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Whether the interface is in this network namespace.
    pub(super) fn is_here(&self) -> bool {
        self.is_here
    }

    /// What the user should know.
    pub(super) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The descriptor to `poll`.
    pub(super) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Writes a header and a frame, or says `WouldBlock`.
    pub(super) fn write(&self, from: &VolatileSlice<'_>) -> io::Result<usize> {
        let iovec = nowait::as_iovec(from);
        if self.io_flags == 0 {
            // The plain call costs the least.
            // SAFETY: the slice is valid for reads of its length as long as it is borrowed.
            return uninterrupted(|| unsafe { libc::write(self.fd(), iovec.iov_base, iovec.iov_len) });
        }
        // SAFETY: as above.
        uninterrupted(|| unsafe { libc::pwritev2(self.fd(), &raw const iovec, 1, -1, self.io_flags) })
    }

    /// Reads a header and a frame into more room than it should need, or says `WouldBlock`. The slice's length: the frame was longer
    /// all the same, and is lost.
    pub(super) fn read_with_room(&self, into: &VolatileSlice<'_>) -> io::Result<usize> {
        let iovec = nowait::as_iovec(into);
        if self.io_flags == 0 {
            // SAFETY: the slice is valid for writes of its length as long as it is borrowed, and nobody holds a reference into it.
            return uninterrupted(|| unsafe { libc::read(self.fd(), iovec.iov_base, iovec.iov_len) });
        }
        // SAFETY: as above.
        uninterrupted(|| unsafe { libc::preadv2(self.fd(), &raw const iovec, 1, -1, self.io_flags) })
    }

    /// Writes a frame, behind a header of zeroes if the interface wants one, or says `WouldBlock`.
    pub(super) fn write_frame(&self, from: &VolatileSlice<'_>) -> io::Result<usize> {
        let mut header = [0; NET_HEADER_SIZE];
        let iovecs = self.frame_iovecs(&mut header, from);
        // SAFETY: the header is ours, and the slice is valid for reads of its length as long as it is borrowed.
        uninterrupted(|| unsafe { libc::pwritev2(self.fd(), iovecs.as_ptr(), 2, -1, self.io_flags) })
    }

    /// Reads a frame without its header, or says `WouldBlock`. What does not fit is cut off.
    pub(super) fn read_frame(&self, into: &VolatileSlice<'_>) -> io::Result<usize> {
        let mut header = [0; NET_HEADER_SIZE];
        let iovecs = self.frame_iovecs(&mut header, into);
        // SAFETY: the header is ours, and the slice is valid for writes of its length as long as it is borrowed, and nobody holds a
        // reference into it.
        let read =
            uninterrupted(|| unsafe { libc::preadv2(self.fd(), iovecs.as_ptr(), 2, -1, self.io_flags) })?;
        Ok(read.saturating_sub(iovecs.first().map_or(0, |header| header.iov_len)))
    }

    /// The header, of no bytes where there is none, and the frame.
    fn frame_iovecs(
        &self,
        header: &mut [u8; NET_HEADER_SIZE],
        frame: &VolatileSlice<'_>,
    ) -> [libc::iovec; 2] {
        let length = if self.has_header { header.len() } else { 0 };
        [libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: length }, nowait::as_iovec(frame)]
    }

    /// Reads a header and a frame, or says `WouldBlock`. A value above the slice's length: the frame was longer, and is lost.
    pub(super) fn read(&self, into: &VolatileSlice<'_>) -> io::Result<usize> {
        // The driver cuts a frame without a word, so a byte more than fits is asked for.
        let mut excess = [0_u8; 1];
        let iovecs = [
            nowait::as_iovec(into),
            libc::iovec { iov_base: excess.as_mut_ptr().cast(), iov_len: excess.len() },
        ];
        // SAFETY: the slice is valid for writes of its length as long as it is borrowed, and nobody holds a reference into it;
        // `excess` is ours.
        uninterrupted(|| unsafe { libc::preadv2(self.fd(), iovecs.as_ptr(), 2, -1, self.io_flags) })
    }
}

/// The most of `wanted` for which `set` takes the driver's flags.
fn accepted(wanted: u64, mut set: impl FnMut(libc::c_ulong) -> bool) -> u64 {
    let flags =
        [(GUEST_CSUM, libc::TUN_F_CSUM), (GUEST_TSO4, libc::TUN_F_TSO4), (GUEST_TSO6, libc::TUN_F_TSO6)];
    for features in [wanted, wanted & GUEST_CSUM] {
        let wanted = flags.iter().filter(|(feature, _)| features & feature != 0);
        let offloads = wanted.fold(0, |offloads, (_, flag)| offloads | libc::c_ulong::from(*flag));
        if offloads != 0 && set(offloads) {
            return features;
        }
    }
    0
}

fn open_driver() -> Result<OwnedFd, Error> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE);
    opened.map(OwnedFd::from).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Error::new(
            ErrorKind::MissingFile,
            format!("{DEVICE} does not exist here: load its driver with `modprobe tun`, or pass it into the container"),
        ),
        Some(libc::EACCES | libc::EPERM) => Error::new(
            ErrorKind::NoPermission,
            format!("no permission to open {DEVICE}: have root run `chmod 666 {DEVICE}`, its usual mode"),
        ),
        _ => Error::new(ErrorKind::HostIo, format!("cannot open {DEVICE}: {error}")),
    })
}

/// Sets what the descriptor's frames look like: the ABI's header, and for now no work left for the guest to do on frames that come in.
fn set_header(tap: &OwnedFd) -> io::Result<()> {
    let size = NET_HEADER_SIZE as libc::c_int;
    // SAFETY: the ioctl reads one int.
    check(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const size) })?;
    // SAFETY: the ioctl takes its flags by value.
    check(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETOFFLOAD, 0_u64) })?;
    Ok(())
}

/// The flags with which an inherited descriptor does not wait. Where the kernel has none, it is made non-blocking: all that use a
/// TAP at a time are one, so that nobody else sees it. `None`: its frames begin with `struct tun_pi`.
fn nowait_flags(tap: &OwnedFd, has_header: bool) -> io::Result<Option<libc::c_int>> {
    let mut io_flags = libc::RWF_NOWAIT;
    let mut answer = write_nonsense(tap, has_header, io_flags);
    if answer == Some(libc::EOPNOTSUPP) {
        io_flags = 0;
        // SAFETY: the call has no preconditions.
        let flags = check(unsafe { libc::fcntl(tap.as_raw_fd(), libc::F_GETFL) })?;
        // SAFETY: the call has no preconditions.
        check(unsafe { libc::fcntl(tap.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
        answer = write_nonsense(tap, has_header, io_flags);
    }
    let (without_information, with_information) =
        if has_header { (libc::EINVAL, libc::EFAULT) } else { (libc::EFAULT, libc::EINVAL) };
    match answer {
        Some(error) if error == without_information => Ok(Some(io_flags)),
        Some(error) if error == with_information => Ok(None),
        Some(other) => Err(io::Error::from_raw_os_error(other)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The error with which the driver refuses what is no frame. It reads a `struct tun_pi` of 4 bytes, if the descriptor has such, then
/// the header of 10, and refuses that with EINVAL. A descriptor with both makes it go beyond the 10 bytes that are there: EFAULT.
/// Without the header, 14 bytes are the shortest frame, of which 4 are not there: EFAULT, or EINVAL where the first 4 are no part of it.
/// TUNGETIFF can't be asked, as its bit for IFF_NO_PI is also that for IFF_NOFILTER.
fn write_nonsense(tap: &OwnedFd, has_header: bool, io_flags: libc::c_int) -> Option<libc::c_int> {
    // The third and fourth byte: the length of the frame's own headers, more than the frame has.
    let header: [u8; NET_HEADER_SIZE] = [0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0];
    let missing = if has_header { 64 } else { ETHERNET_HEADER - header.len() };
    let iovecs = [
        libc::iovec { iov_base: header.as_ptr().cast_mut().cast(), iov_len: header.len() },
        libc::iovec { iov_base: std::ptr::null_mut(), iov_len: missing },
    ];
    // SAFETY: the header is only read; null is no memory, which the kernel answers with EFAULT.
    let written = unsafe { libc::pwritev2(tap.as_raw_fd(), iovecs.as_ptr(), 2, -1, io_flags) };
    if written < 0 { io::Error::last_os_error().raw_os_error() } else { None }
}

fn clamp(mtu: u32) -> u16 {
    mtu.clamp(*MTU.start(), *MTU.end()) as u16
}

fn warning_of_state(name: &str, flags: libc::c_int) -> Option<String> {
    (flags & libc::IFF_UP == 0).then(|| {
        format!("network interface `{name}` is down, so that no frame passes: run `ip link set {name} up`")
    })
}

fn cannot_use(name: &str, error: &io::Error) -> Error {
    Error::new(ErrorKind::HostIo, format!("cannot use network interface `{name}`: {error}"))
}

/// Why TUNSETIFF failed.
fn cannot_attach(name: &str, exists: bool, interfaces: &Interfaces, error: &io::Error) -> Error {
    let bad = |message: String| Error::new(ErrorKind::BadConfig, message);
    let denied = |message: String| Error::new(ErrorKind::NoPermission, message);
    let commands =
        || format!("`ip tuntap add dev {name} mode tap user {}` and `ip link set {name} up`", user());
    match error.raw_os_error() {
        Some(libc::EPERM) if exists => denied(format!(
            "network interface `{name}` belongs to another user: have root run `ip link del {name}`, then {}",
            commands()
        )),
        Some(libc::EPERM) => denied(format!(
            "network interface `{name}` does not exist, and only root may make it: have root run {}",
            commands()
        )),
        Some(libc::EBUSY) => bad(format!(
            "network interface `{name}` is in use already: end what uses it, or name another interface"
        )),
        Some(libc::EINVAL) if exists => match interfaces.driver(name).unwrap_or_default() {
            (driver, bus) if driver == "tun" && bus == "tap" => bad(format!(
                "network interface `{name}` was made with multi_queue: make it without, by `ip link del {name}` and {}",
                commands()
            )),
            (driver, _) if driver == "tun" => bad(format!(
                "network interface `{name}` is a TUN interface, which has no Ethernet frames: \
                 make it a TAP, by `ip link del {name}` and {}",
                commands()
            )),
            _ => bad(format!(
                "network interface `{name}` is no TAP interface: name one, or one that does not exist and is then made"
            )),
        },
        _ => cannot_use(name, error),
    }
}

/// The name of the user that runs this, or the number where it has none.
fn user() -> String {
    // SAFETY: the call has no preconditions.
    let uid = unsafe { libc::getuid() }.to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
    });
    name.unwrap_or(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_refuses_is_not_in_use() {
        let all = GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6;
        let asked = |wanted, takes: &[libc::c_uint]| {
            let mut asked = Vec::new();
            let features = accepted(wanted, |flags| {
                asked.push(flags as libc::c_uint);
                takes.contains(&(flags as libc::c_uint))
            });
            (features, asked)
        };
        assert_eq!(asked(all, &[7, 1]), (all, vec![7]));
        assert_eq!(asked(all, &[1]), (GUEST_CSUM, vec![7, 1]));
        assert_eq!(asked(all, &[]), (0, vec![7, 1]));
        assert_eq!(asked(GUEST_CSUM | GUEST_TSO6, &[5]), (GUEST_CSUM | GUEST_TSO6, vec![5]));
        assert_eq!(asked(0, &[0, 7, 1]), (0, vec![]), "the driver is left as it is");
    }
}
