//! The host's end of a TAP, as bytes: a packet socket (`packet(7)`).

use crate::suite::patience;
use nix::net::if_::if_nametoindex;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// How long [`Wire::receive`] waits for a frame.
const WAIT: Duration = Duration::from_secs(5);

/// Sees and sends the frames of one Ethernet type on an interface of this thread's namespace.
#[derive(Debug)]
pub struct Wire(OwnedFd);

impl Wire {
    /// On the interface `name`, from now on.
    ///
    /// # Panics
    ///
    /// Where the kernel does not let it.
    #[must_use]
    pub fn new(name: &str, ethernet_type: u16) -> Self {
        // SAFETY: the call has no preconditions. Without a protocol it takes no frame until it is bound.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0, "a packet socket: {}", io::Error::last_os_error());
        // SAFETY: a new descriptor that nobody else knows.
        let wire = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        // SAFETY: all fields of the structure are numbers.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ethernet_type.to_be();
        address.sll_ifindex = if_nametoindex(name).expect("an interface").cast_signed();
        let size = size_of_val(&address) as u32;
        // SAFETY: the address is valid and of that size.
        let bound = unsafe { libc::bind(fd, (&raw const address).cast(), size) };
        assert_eq!(bound, 0, "{name}: {}", io::Error::last_os_error());
        wire
    }

    /// Sends a whole frame.
    ///
    /// # Panics
    ///
    /// Where the kernel does not take it.
    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the bytes are valid for reads.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "a frame: {}", io::Error::last_os_error());
    }

    /// The next frame that came from the other end: not one that this host sent.
    ///
    /// # Panics
    ///
    /// Where none comes.
    #[must_use]
    pub fn receive(&self) -> Vec<u8> {
        loop {
            let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            let wait = patience(WAIT).as_millis() as libc::c_int;
            // SAFETY: one valid entry.
            let ready = unsafe { libc::poll(&raw mut poll, 1, wait) };
            assert_eq!(ready, 1, "no frame came");
            let mut bytes = vec![0; 70_000];
            // SAFETY: all fields of the structure are numbers.
            let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            let mut size = size_of_val(&from) as u32;
            // SAFETY: bytes and address are valid for writes of the sizes given.
            let got = unsafe {
                libc::recvfrom(
                    self.0.as_raw_fd(),
                    bytes.as_mut_ptr().cast(),
                    bytes.len(),
                    0,
                    (&raw mut from).cast(),
                    &raw mut size,
                )
            };
            bytes.truncate(usize::try_from(got).expect("a frame that is ready"));
            if from.sll_pkttype != libc::PACKET_OUTGOING {
                return bytes;
            }
        }
    }
}
