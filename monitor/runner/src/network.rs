//! A network of a guest's own, in a namespace that goes with it.

use crate::host_failed;
use std::net::Ipv4Addr;
use std::path::Path;
use ukvm::error::{Error, ErrorKind};
use ukvm_host_net::link::{Link, PREFIX, PREFIX_V6};
use ukvm_host_net::{namespace, tap};

/// A link for each network device of a guest.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// By device name.
    links: Vec<(String, Link)>,
    /// Whether the guest is told its addresses.
    tells_address: bool,
}

impl Network {
    /// One for the devices with these names. With `tells_address` the guest is told its addresses.
    pub(crate) fn new(devices: Vec<String>, tells_address: bool) -> Self {
        // A program has 64 devices at most.
        let links = devices.into_iter().zip((0..=u8::MAX).map(Link::new)).collect();
        Self { links, tells_address }
    }

    /// Sees to it that this process, which must have one thread, may make networks.
    ///
    /// # Errors
    ///
    /// Where the host permits it in no way, with what would.
    pub(crate) fn permit() -> Result<(), Error> {
        let refused = |error| Error::new(ErrorKind::NoPermission, format!("{error:#}"));
        namespace::check_device(Path::new("/dev/net/tun"), "TAP interfaces").map_err(refused)?;
        namespace::permit().map_err(refused)
    }

    /// Moves this thread to a new network namespace with all links.
    ///
    /// # Errors
    ///
    /// Where the host does not make them.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        let make = || {
            namespace::enter_another()?;
            tap::bring_up("lo")?;
            self.links.iter().try_for_each(|(_, link)| link.create())
        };
        make().map_err(|error| host_failed(format_args!("{error:#}")))
    }

    /// The options of `ukvm-run` for it.
    pub(crate) fn options(&self) -> impl Iterator<Item = String> + '_ {
        self.links.iter().flat_map(|(name, link)| ["--net".into(), format!("{name}={}", link.tap())])
    }

    /// The arguments that tell the guest its addresses.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = String> + '_ {
        let told = self.links.iter().filter(|_| self.tells_address);
        told.flat_map(|(_, link)| {
            let addresses =
                [format!("{}/{PREFIX}", link.guest()), format!("{}/{PREFIX_V6}", link.guest_v6())];
            addresses.into_iter().flat_map(|address| ["--ip".into(), address])
        })
    }

    /// The address of the guest's first device.
    pub(crate) fn guest(&self) -> Ipv4Addr {
        self.links.first().map_or(Link::new(0), |(_, link)| *link).guest()
    }
}
