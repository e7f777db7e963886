//! The network: TCP and UDP sockets on a network device.
//!
//! ```ignore
//! let stack = net::Stack::open("service", config)?;
//! let listener = stack.listen(80, net::TcpOptions::default())?;
//! loop {
//!     let (stream, peer) = listener.accept().await;
//!     task::spawn(serve(stream, peer));
//! }
//! ```
//!
//! The protocols are smoltcp's, the sockets those of the crate `ukvm-net-stack`; here they are joined to a device. Streams are
//! `embedded_io_async` readers and writers. [`Options`] takes addresses and ports from a program's arguments.
//!
//! Where an address comes from a DHCP server, programs need not wait for it: they listen on all addresses there will be. Who wants to
//! connect to others awaits [`configured`](ukvm_net_stack::Stack::configured) first.

mod device;
mod dial;
mod endpoint;
mod watch;

pub use endpoint::Endpoint;
pub use ukvm_net_stack::{
    Accept, BindError, Config, ConfigError, Configuration, Conflict, ConnectError, Counters, IpAddress,
    IpCidr, IpEndpoint, Ipv4Address, Ipv4Cidr, Ipv6Address, Lease, LeaseRoute, MAX_ADDRESSES, Options,
    OptionsError, ReadHalf, ResolveError, TcpError, TcpListener, TcpOptions, TcpStream, UdpError,
    UdpMetadata, UdpOptions, UdpSocket, WriteHalf,
};

use crate::abi::exit_status;
use crate::local::Local;
use crate::{entropy, time};
use core::fmt;
use core::ops::Deref;
use ukvm_abi::manifest::DeviceKind;

/// The devices that have a stack, a bit for each handle; a program has 64 devices at most.
static OPENED: Local<u64> = Local::new(0);

/// The network stack of a device; clones are the same one. It is used as the [`ukvm_net_stack::Stack`] that it
/// holds.
#[derive(Clone, Debug)]
pub struct Stack {
    stack: ukvm_net_stack::Stack,
    mac: [u8; 6],
    mtu: u16,
}

/// Why [`Stack::open`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// There is no such device.
    Device(crate::device::OpenError),
    /// The device has a stack already.
    InUse,
    /// The addresses cannot be used.
    Config(ConfigError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::InUse => f.write_str("the network device has a stack already, use a clone of that"),
            Self::Config(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for OpenError {}

impl Stack {
    /// A stack on the device that the program declared as `net NAME;`. A task of its own drives it from now on. Each
    /// device can have one. Leases that come and go are logged, as are addresses that somebody else has.
    ///
    /// # Errors
    ///
    /// An [`OpenError`].
    pub fn open(name: &str, mut config: Config) -> Result<Self, OpenError> {
        let (handle, info) = crate::device::find(DeviceKind::Net, name).map_err(OpenError::Device)?;
        let bit = 1 << (handle - 1);
        if OPENED.with(|opened| *opened & bit != 0) {
            return Err(OpenError::InUse);
        }
        let heap = heap_size();
        let buffers = device::Buffers::new(&info, heap);
        config.buffer_memory.get_or_insert_with(|| {
            // The rest is for what the program does with its connections.
            heap.saturating_sub(buffers.memory()) / 4 * 3
        });
        let mut seed = [0; 32];
        entropy::fill(&mut seed);
        let link = buffers.link(&info);
        let (stack, wire) =
            ukvm_net_stack::Stack::new(&link, &config, seed, time::monotonic).map_err(OpenError::Config)?;
        OPENED.with(|opened| *opened |= bit);
        let tells_link = info.features & ukvm_abi::net::LINK_STATE != 0;
        device::drive(handle, &buffers, tells_link, wire);
        drop(crate::task::spawn(watch::log_changes(stack.clone())));
        Ok(Self { stack, mac: info.mac, mtu: info.mtu })
    }

    /// Calls `use_it` with each address that comes into use, first with those that already are. Never ends: to be spawned.
    pub async fn for_each_address(&self, use_it: impl FnMut(IpAddress)) {
        watch::for_each_address(&self.stack, use_it).await;
    }

    /// The device's hardware address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The most bytes of a frame's payload behind its Ethernet header.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }
}

impl Deref for Stack {
    type Target = ukvm_net_stack::Stack;

    fn deref(&self) -> &Self::Target {
        &self.stack
    }
}

/// Bytes of the heap beside what a stack on the device `name` takes for frames on their way.
///
/// # Errors
///
/// Where there is no such device.
pub fn spare_memory(name: &str) -> Result<usize, crate::device::OpenError> {
    let (_, info) = crate::device::find(DeviceKind::Net, name)?;
    let heap = heap_size();
    Ok(heap.saturating_sub(device::Buffers::new(&info, heap).memory()))
}

fn heap_size() -> usize {
    crate::boot_info().heap_size() as usize
}

/// What the program's arguments say of the network, for programs that take no others. Where they cannot be understood,
/// says why and ends the guest with [`USAGE`](exit_status::USAGE).
pub fn options() -> Options {
    Options::parse_all(crate::args()).unwrap_or_else(|error| {
        crate::println!("error: {error}");
        crate::exit(exit_status::USAGE)
    })
}
