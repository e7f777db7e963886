//! Whether frames can pass an interface, and when that changes, by the messages of rtnetlink(7).

use super::interface::Request;
use crate::syscall::uninterrupted;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Bytes that are taken of a message. What it says does not matter: the state is asked for then.
const PIECE: usize = 16;
/// The most messages that are taken at once: a host where interfaces come and go all the time must not hold up the guest.
const MOST_AT_ONCE: usize = 64;

/// The state of an interface of this network namespace.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    name: String,
}

impl Link {
    /// Has the kernel tell of all changes from now on.
    pub(super) fn watch(name: &str) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: the call has no preconditions.
        let socket = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `socket` is a new descriptor that nobody else knows.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        // SAFETY: the address is plain data, for which all zeroes are a value.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = libc::RTMGRP_LINK as u32;
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the address is a `sockaddr_nl` of this length.
        if unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { socket, name: name.into() })
    }

    /// The descriptor that becomes readable at a change of any interface.
    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Takes the messages that have come, without waiting. Whether there were any, or some were lost.
    pub(super) fn take_messages(&self) -> bool {
        let mut any = false;
        for _ in 0..MOST_AT_ONCE {
            let mut piece = [0_u8; PIECE];
            // SAFETY: the buffer is ours and has this length; the kernel throws the rest of the message away.
            let taken =
                uninterrupted(|| unsafe { libc::read(self.fd(), piece.as_mut_ptr().cast(), piece.len()) });
            match taken {
                Ok(_) => any = true,
                // More came than the kernel keeps.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => any = true,
                Err(_) => break,
            }
        }
        any
    }

    /// Whether the interface is up and has a carrier; not if it is gone.
    pub(super) fn is_up(&self) -> bool {
        let mut request = Request::new(&self.name);
        // SAFETY: the ioctl takes an `ifreq` and writes the flags to it; every kind of socket knows it.
        let asked = unsafe { request.make(self.fd(), libc::SIOCGIFFLAGS) };
        let both = libc::IFF_UP | libc::IFF_RUNNING;
        asked.is_ok() && request.flags() & both == both
    }
}
