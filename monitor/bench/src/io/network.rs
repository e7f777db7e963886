//! The network of the measurement: a namespace of this process' own with a TAP interface, which goes with it.

use crate::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use ukvm_host_net::{namespace, tap};

/// The TAP interface.
pub(crate) const TAP: &str = "tap0";
/// The host's address on it, which the peer has.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The address of the guest, or of the floor in its place.
pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The hardware address of both, which the peer knows: those who send frames back understand no ARP.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The port of everything.
pub(crate) const PORT: u16 = 7;

/// Moves this process into its own network. It must have one thread.
pub(crate) fn enter() -> Result<(), Error> {
    let enter = || {
        namespace::check_device(Path::new("/dev/net/tun"), "TAP interfaces")?;
        namespace::enter()?;
        tap::create(TAP, HOST, 24)?;
        tap::add_neighbour(TAP, GUEST, MAC)
    };
    enter().map_err(|error| Error::unavailable(format!("{error:#}")))
}

/// The same, and what listens on [`HOST`] can be reached.
pub(crate) fn enter_with_loopback() -> Result<(), Error> {
    enter()?;
    tap::bring_up("lo").map_err(|error| Error::unavailable(format!("{error:#}")))
}

/// The option of `ukvm-run` for the guest's network device `name`.
pub(crate) fn option(name: &str) -> [String; 2] {
    let mac = MAC.map(|byte| format!("{byte:02x}")).join(":");
    ["--net".to_owned(), format!("{name}={TAP},mac={mac}")]
}
