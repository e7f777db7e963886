//! The addresses on a link between the host and one guest: those of the demo and of `ukvm-runner`.

use crate::tap;
use anyhow::Result;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The bits of the network in both ends' addresses.
pub const PREFIX: u8 = 24;
/// The same of IPv6.
pub const PREFIX_V6: u8 = 64;

/// A link, one of several in a network namespace: a TAP interface, and an address of each kind at each end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link(u8);

impl Link {
    /// The link with this number.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// The name of the interface.
    #[must_use]
    pub fn tap(self) -> String {
        format!("tap{}", self.0)
    }

    /// The host's address on it.
    #[must_use]
    pub const fn host(self) -> Ipv4Addr {
        self.address(1)
    }

    /// The address that is meant for the guest.
    #[must_use]
    pub const fn guest(self) -> Ipv4Addr {
        self.address(2)
    }

    /// The host's address of IPv6.
    #[must_use]
    pub const fn host_v6(self) -> Ipv6Addr {
        self.address_v6(1)
    }

    /// The address of IPv6 that is meant for the guest.
    #[must_use]
    pub const fn guest_v6(self) -> Ipv6Addr {
        self.address_v6(2)
    }

    const fn address(self, end: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.0, end)
    }

    const fn address_v6(self, end: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0, 0, self.0 as u16, 0, 0, 0, end)
    }

    /// Makes the interface in this thread's network namespace, where it stays until that goes, with the host's addresses. On a kernel
    /// without IPv6 it has none of that.
    ///
    /// # Errors
    ///
    /// Where this process may not, or the kernel has no TAP interfaces.
    pub fn create(self) -> Result<()> {
        tap::create(&self.tap(), self.host(), PREFIX)?;
        let _ = tap::add_address_v6(&self.tap(), self.host_v6(), PREFIX_V6);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_networks_of_their_own() {
        let (first, second) = (Link::new(0), Link::new(1));
        assert_eq!((first.tap().as_str(), second.tap().as_str()), ("tap0", "tap1"));
        assert_eq!([first.host(), first.guest()].map(|a| a.to_string()), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!([first.host_v6(), first.guest_v6()].map(|a| a.to_string()), ["fd00::1", "fd00::2"]);
        assert_eq!([second.host(), second.guest()].map(|a| a.to_string()), ["10.0.1.1", "10.0.1.2"]);
        assert_eq!(second.guest_v6().to_string(), "fd00:0:0:1::2");
    }
}
