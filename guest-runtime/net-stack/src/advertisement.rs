//! Router advertisements (RFC 4861, section 4.2), as strictly as hosts must read them.
//!
//! smoltcp's reader keeps one prefix of several and knows neither preferences nor DNS servers, so only its view of single options
//! is used.

use alloc::vec::Vec;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetFrame, Icmpv6Packet, IpProtocol, Ipv6Address, Ipv6Packet, NdiscOption, NdiscOptionType,
    NdiscPrefixInfoFlags,
};

/// The bytes before the options.
const HEADER_SIZE: usize = 16;
/// The most options of a kind that are looked at.
const MOST: usize = 16;
/// The option that names DNS servers (RFC 8106, section 5.1).
const DNS_SERVERS: u8 = 25;
/// Where the addresses of DNS servers begin in their option.
const DNS_ADDRESSES: usize = 8;

/// How long something is good for, in seconds; all ones: for ever (RFC 4861, section 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lifetime(pub(crate) u32);

impl Lifetime {
    pub(crate) const INFINITE: Self = Self(u32::MAX);

    /// When it is over.
    pub(crate) fn end(self, now: Instant) -> Instant {
        match self {
            Self::INFINITE => FOREVER,
            Self(seconds) => now + Duration::from_secs(seconds.into()),
        }
    }
}

/// The end of what has none.
pub(crate) const FOREVER: Instant = Instant::from_micros_const(i64::MAX);

/// What a router says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advertisement {
    /// Its link-local address.
    pub(crate) router: Ipv6Address,
    /// From -1 to 1, more is better (RFC 4191, section 2.1).
    pub(crate) preference: i8,
    /// For how many seconds it is a default router, if for any.
    pub(crate) lifetime: u16,
    /// The MTU that all on the link are to use.
    pub(crate) mtu: Option<u32>,
    pub(crate) prefixes: Vec<Prefix>,
    /// DNS servers, each with how long it is good for.
    pub(crate) dns_servers: Vec<(Ipv6Address, Lifetime)>,
}

/// A prefix from which hosts make addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) address: Ipv6Address,
    pub(crate) length: u8,
    /// All of its addresses are on the link.
    pub(crate) on_link: bool,
    /// Hosts are to make an address of it.
    pub(crate) autonomous: bool,
    pub(crate) valid: Lifetime,
    pub(crate) preferred: Lifetime,
}

impl Advertisement {
    /// Reads a frame. `None` where it holds no advertisement, or one that hosts must discard (RFC 4861, section 6.1.2).
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
        let (router, destination) = (packet.src_addr(), packet.dst_addr());
        let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
        // What has passed a router has a lower limit.
        let is_from_link = packet.hop_limit() == 255
            && packet.next_header() == IpProtocol::Icmpv6
            && router.is_unicast_link_local();
        if !is_from_link || message.msg_code() != 0 || !message.verify_checksum(&router, &destination) {
            return None;
        }
        let (header, mut options) = packet.payload().split_first_chunk::<HEADER_SIZE>()?;
        let mut advertisement = Self {
            router,
            preference: match header[5] >> 3 & 0b11 {
                0b01 => 1,
                0b11 => -1,
                _ => 0,
            },
            lifetime: u16::from_be_bytes([header[6], header[7]]),
            mtu: None,
            prefixes: Vec::new(),
            dns_servers: Vec::new(),
        };
        while !options.is_empty() {
            // Its length is not 0 and it does not lead out of the packet.
            let option = NdiscOption::new_checked(options).ok()?;
            let (bytes, rest) = options.split_at(usize::from(option.data_len()) * 8);
            advertisement.take(&NdiscOption::new_unchecked(bytes));
            options = rest;
        }
        Some(advertisement)
    }

    fn take(&mut self, option: &NdiscOption<&[u8]>) {
        match option.option_type() {
            NdiscOptionType::Mtu => self.mtu = Some(option.mtu()),
            NdiscOptionType::PrefixInformation if self.prefixes.len() < MOST => {
                let flags = option.prefix_flags();
                let seconds = |lifetime: Duration| Lifetime(lifetime.secs() as u32);
                self.prefixes.push(Prefix {
                    address: option.prefix(),
                    length: option.prefix_len(),
                    on_link: flags.contains(NdiscPrefixInfoFlags::ON_LINK),
                    autonomous: flags.contains(NdiscPrefixInfoFlags::ADDRCONF),
                    valid: seconds(option.valid_lifetime()),
                    preferred: seconds(option.preferred_lifetime()),
                });
            }
            NdiscOptionType::Unknown(DNS_SERVERS) => {
                // `data` leaves out the option's type and length.
                let Some((head, addresses)) = option.data().split_at_checked(DNS_ADDRESSES - 2) else {
                    return;
                };
                let lifetime = Lifetime(u32::from_be_bytes([head[2], head[3], head[4], head[5]]));
                let (addresses, _) = addresses.as_chunks::<16>();
                let room = MOST.saturating_sub(self.dns_servers.len());
                self.dns_servers
                    .extend(addresses.iter().take(room).map(|&octets| (Ipv6Address::from(octets), lifetime)));
            }
            _ => {}
        }
    }
}
