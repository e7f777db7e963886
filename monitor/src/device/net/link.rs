//! Whether frames can pass an interface, and when that changes, by the messages of rtnetlink(7).

use super::interface::Request;
use crate::syscall::{check, uninterrupted};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Bytes that are taken of a message: `struct nlmsghdr` and `struct ifinfomsg`.
const PIECE: usize = 32;
/// Where they have the type of the message, the interface's index and its flags.
const TYPE: usize = 4;
const INDEX: usize = 20;
const FLAGS: usize = 24;
/// With these flags frames pass.
const PASSES: libc::c_int = libc::IFF_UP | libc::IFF_RUNNING;
/// The most messages that are taken at once: a host where interfaces come and go all the time must not hold up the guest.
const MOST_AT_ONCE: usize = 64;

/// The state of an interface of this network namespace.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    index: libc::c_int,
}

impl Link {
    /// Has the kernel tell of all changes from now on.
    pub(super) fn watch(name: &str) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: the call has no preconditions.
        let socket = check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
        // SAFETY: `socket` is a new descriptor that nobody else knows.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        // SAFETY: the address is plain data, for which all zeroes are a value.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = libc::RTMGRP_LINK as u32;
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the address is a `sockaddr_nl` of this length.
        check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
        let mut request = Request::new(name);
        // SAFETY: the ioctl takes an `ifreq` and writes the index to it; every kind of socket knows it.
        unsafe { request.make(socket.as_raw_fd(), libc::SIOCGIFINDEX) }?;
        Ok(Self { socket, index: request.index() })
    }

    /// The descriptor that becomes readable at a change of any interface.
    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Takes the messages that have come, without waiting. Whether the state is another than `known`, or was for a moment.
    pub(super) fn is_other_than(&self, known: bool) -> bool {
        let mut is_other = false;
        for _ in 0..MOST_AT_ONCE {
            let mut piece = [0_u8; PIECE];
            // SAFETY: the buffer is ours and has this length; the kernel throws the rest of the message away.
            let taken =
                uninterrupted(|| unsafe { libc::read(self.fd(), piece.as_mut_ptr().cast(), piece.len()) });
            match taken {
                Ok(_) => is_other |= self.state_in(&piece).is_some_and(|state| state != known),
                // More came than the kernel keeps.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    is_other |= self.is_up() != known
                }
                Err(_) => break,
            }
        }
        is_other
    }

    /// What a message says of this interface, if it does.
    fn state_in(&self, message: &[u8; PIECE]) -> Option<bool> {
        let word = |place: usize| Some(libc::c_int::from_ne_bytes(*message.get(place..)?.first_chunk()?));
        if word(INDEX)? != self.index {
            return None;
        }
        match word(TYPE)? as u16 {
            libc::RTM_NEWLINK => Some(word(FLAGS)? & PASSES == PASSES),
            libc::RTM_DELLINK => Some(false),
            _ => None,
        }
    }

    /// Whether the interface is up and has a carrier; not if it is gone.
    pub(super) fn is_up(&self) -> bool {
        // It may have another name by now.
        let mut request = Request::of_index(self.index);
        // SAFETY: the ioctl takes an `ifreq` with an index and writes the name to it; every kind of socket knows it.
        let named = unsafe { request.make(self.fd(), libc::SIOCGIFNAME) };
        // SAFETY: the ioctl takes an `ifreq` with a name and writes the flags to it.
        let asked = named.and_then(|()| unsafe { request.make(self.fd(), libc::SIOCGIFFLAGS) });
        asked.is_ok() && request.flags() & PASSES == PASSES
    }
}
