//! Whether another host on the link has an IPv6 address of ours (RFC 4862, section 5.4), and what other hosts ask to find that out.
//!
//! Addresses serve at once, before it is known (RFC 4429): a guest that has started within a millisecond would otherwise wait a
//! second. Other than there, questions from an address that is not verified name the hardware address; an address that is a duplicate
//! is most often so because the hardware address is, and then no answer would find its way at all.
//!
//! smoltcp drops the questions of hosts that verify their address, as they come from the unspecified one, so they are answered here.

use crate::engine::Engine;
use crate::icmp::{group, solicited_node};
use crate::lease::Conflict;
use alloc::vec::Vec;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IPV6_LINK_LOCAL_ALL_NODES, Icmpv6Packet, Icmpv6Repr,
    IpProtocol, Ipv6Address, Ipv6Cidr, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};

/// How long another host has to say that the address is its own (RFC 4861, section 10).
const PATIENCE: Duration = Duration::from_secs(1);
/// When to ask again about an address that another host has.
const RETRY: Duration = Duration::from_secs(60);

/// The addresses that are not verified.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<Check>);

#[derive(Clone, Copy, Debug)]
struct Check {
    cidr: Ipv6Cidr,
    stage: Stage,
    /// Who has it, for all that is known; the interface has not, then.
    other: Option<EthernetAddress>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The question is yet to be asked, at this time.
    Waiting(Instant),
    /// It was asked, and who does not object until this time agrees.
    Asked(Instant),
}

impl Checks {
    pub(crate) fn add(&mut self, cidr: Ipv6Cidr) {
        self.remove(cidr.address());
        self.0.push(Check { cidr, stage: Stage::Waiting(Instant::ZERO), other: None });
    }

    pub(crate) fn remove(&mut self, address: Ipv6Address) {
        self.0.retain(|check| check.cidr.address() != address);
    }

    fn find(&self, address: Ipv6Address) -> Option<usize> {
        self.0.iter().position(|check| check.cidr.address() == address)
    }

    pub(crate) fn has(&self, address: Ipv6Address) -> bool {
        self.find(address).is_some()
    }

    /// When to ask, or when a wait is over.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let times = self.0.iter().map(|check| match check.stage {
            Stage::Waiting(when) | Stage::Asked(when) => when,
        });
        times.min().map(|when| when.max(now))
    }

    /// The addresses that others have.
    pub(crate) fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        let conflict =
            |check: &Check| Some(Conflict { address: check.cidr.address().into(), other: check.other?.0 });
        self.0.iter().filter_map(conflict)
    }

    /// All are to be asked about anew: the link may be another one.
    pub(crate) fn restart(&mut self, addresses: impl Iterator<Item = Ipv6Cidr>) {
        self.0.iter_mut().for_each(|check| check.stage = Stage::Waiting(Instant::ZERO));
        for cidr in addresses {
            if !self.has(cidr.address()) {
                self.add(cidr);
            }
        }
    }
}

impl Engine {
    /// Asks about the addresses that are new, and is content with those about which nobody has said anything.
    pub(crate) fn poll_checks(&mut self) {
        let now = self.now;
        for index in (0..self.checks.0.len()).rev() {
            if !self.transmit.has_room() {
                return;
            }
            let Check { cidr, stage, other } = self.checks.0[index];
            let address = cidr.address();
            match stage {
                Stage::Waiting(when) if when <= now => {
                    self.checks.0[index].stage = Stage::Asked(now + PATIENCE);
                    let question = NdiscRepr::NeighborSolicit { target_addr: address, lladdr: None };
                    self.discover(Ipv6Address::UNSPECIFIED, solicited_node(address), question);
                }
                Stage::Asked(until) if until <= now => {
                    self.checks.0.swap_remove(index);
                    if other.is_some() {
                        self.interface.update_ip_addrs(|addresses| {
                            // Nothing else takes its place meanwhile.
                            let _ = addresses.push(cidr.into());
                        });
                        self.assignment.note_change();
                    }
                    // Who knew it elsewhere, as before a restart with another hardware address, learns that it has moved.
                    self.claim(address);
                }
                Stage::Waiting(_) | Stage::Asked(_) => {}
            }
        }
    }

    /// Tells all neighbors whose an address is (RFC 4861, section 7.2.6).
    fn claim(&mut self, address: Ipv6Address) {
        let claim = NdiscRepr::NeighborAdvert {
            flags: NdiscNeighborFlags::OVERRIDE,
            target_addr: address,
            lladdr: Some(self.mac.into()),
        };
        self.discover(address, group(IPV6_LINK_LOCAL_ALL_NODES), claim);
    }

    fn discover(&mut self, source: Ipv6Address, to: (Ipv6Address, EthernetAddress), message: NdiscRepr<'_>) {
        // What has passed a router has a lower limit, and is not believed.
        self.send_icmpv6(source, to, 255, &Icmpv6Repr::Ndisc(message));
    }

    /// A neighbor solicitation or advertisement has come. Whether that was all there is to do.
    pub(crate) fn check_duplicate(&mut self, frame: &[u8]) -> bool {
        let Some((hardware, header, message)) = parse(frame) else { return false };
        match message {
            NdiscRepr::NeighborSolicit { target_addr, lladdr } if header.src_addr.is_unspecified() => {
                let is_sound = lladdr.is_none() && header.dst_addr == solicited_node(target_addr).0;
                if let (true, Some(index)) = (is_sound, self.checks.find(target_addr)) {
                    // A question that has come back to who has asked it says nothing.
                    if hardware != self.mac {
                        self.duplicate(index, hardware);
                    }
                } else if is_sound && self.interface.has_ip_addr(target_addr) {
                    self.claim(target_addr);
                }
                true
            }
            NdiscRepr::NeighborAdvert { target_addr, .. } => {
                let index = self.checks.find(target_addr);
                if let Some(index) = index {
                    self.duplicate(index, hardware);
                }
                index.is_some()
            }
            _ => false,
        }
    }

    /// Another host has the address of a check.
    fn duplicate(&mut self, index: usize, other: EthernetAddress) {
        let Check { cidr, stage, other: known } = self.checks.0[index];
        if known.is_some() && matches!(stage, Stage::Waiting(_)) {
            // That is no news, whoever it is this time, and must not put off the next question.
            return;
        }
        let address = cidr.address();
        if self.interface.has_ip_addr(address) {
            self.interface
                .update_ip_addrs(|addresses| addresses.retain(|cidr| cidr.address() != address.into()));
            self.lose_address(address.into());
            self.give_up_parked();
        }
        self.checks.0[index].stage = Stage::Waiting(self.now + RETRY);
        self.checks.0[index].other = Some(other);
        self.assignment.note_change();
        self.replace_address(address);
    }
}

/// The hardware address of the sender, the header and the message, where these are what neighbors send.
fn parse(frame: &[u8]) -> Option<(EthernetAddress, Ipv6Repr, NdiscRepr<'_>)> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv6 {
        return None;
    }
    let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
    let header = Ipv6Repr::parse(&packet).ok().filter(|header| header.next_header == IpProtocol::Icmpv6)?;
    let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
    let checksums = ChecksumCapabilities::default();
    match Icmpv6Repr::parse(&header.src_addr, &header.dst_addr, &message, &checksums).ok()? {
        Icmpv6Repr::Ndisc(message) if header.hop_limit == 255 => Some((frame.src_addr(), header, message)),
        _ => None,
    }
}
