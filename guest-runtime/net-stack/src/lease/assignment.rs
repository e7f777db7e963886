//! The addresses of a stack: what the client and the claims say, put into effect.

use super::answer::Answer;
use super::claim::{Claim, Notice, Source, Verdict};
use super::client::Client;
use super::configuration::{Configuration, Conflict, Lease};
use super::request::{Identity, Question};
use crate::classify::Arp;
use crate::config::{Config, Link};
use crate::engine::Engine;
use crate::random::Random;
use crate::routes::Origin;
use alloc::vec::Vec;
use core::task::Waker;
use smoltcp::socket::udp::UdpMetadata;
use smoltcp::time::Instant;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, EthernetAddress, EthernetFrame, IpAddress, IpCidr, IpEndpoint,
    Ipv4Address, Ipv4Cidr, Ipv4Packet, UdpPacket,
};

/// What a stack knows of its IPv4 addresses.
#[derive(Debug)]
pub(crate) struct Assignment {
    identity: Identity,
    /// Those of the program.
    own: Vec<Ipv4Cidr>,
    claims: Vec<Claim>,
    client: Option<Client>,
    /// Whether a leased address is used before it is known to be free.
    at_once: bool,
    /// The lease that is in effect.
    lease: Option<Lease>,
    /// The servers of names that the network has told of.
    pub(crate) dns_servers: Vec<IpAddress>,
    is_link_up: bool,
    random: Random,
    /// Those who wait for a change.
    watchers: Vec<Waker>,
}

impl Assignment {
    pub(crate) fn new(link: &Link, config: &Config, now: Instant, mut random: Random) -> Self {
        let v4 = |cidr: &IpCidr| if let IpCidr::Ipv4(cidr) = cidr { Some(*cidr) } else { None };
        let own: Vec<Ipv4Cidr> = config.addresses.iter().filter_map(v4).collect();
        let identity =
            Identity { mac: EthernetAddress(link.mac), host_name: config.host_name.clone(), mtu: link.mtu };
        Self {
            identity,
            claims: own.iter().map(|cidr| Claim::new(cidr.address(), Source::Config, now)).collect(),
            own,
            client: config.dhcp.then(|| Client::new(now, random.fork())),
            at_once: config.dhcp_at_once,
            lease: None,
            dns_servers: Vec::new(),
            is_link_up: true,
            random,
            watchers: Vec::new(),
        }
    }

    /// Whether a DHCP server is to give an address.
    pub(crate) fn wants_lease(&self) -> bool {
        self.client.is_some()
    }

    /// Whether one has.
    pub(crate) fn has_lease(&self) -> bool {
        self.lease.is_some()
    }

    /// When there is something to do at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let client = self.client.as_ref().and_then(Client::deadline);
        self.claims.iter().map(Claim::deadline).chain([client]).flatten().min()
    }

    /// Has `waker` woken at the next change.
    pub(crate) fn watch(&mut self, waker: &Waker) {
        if !self.watchers.iter().any(|watcher| watcher.will_wake(waker)) {
            self.watchers.push(waker.clone());
        }
    }

    pub(crate) fn note_change(&mut self) {
        self.watchers.drain(..).for_each(Waker::wake);
    }

    /// The address that a server has given, in use or not.
    fn leased(&self) -> Option<Ipv4Address> {
        let client = self.client.as_ref()?;
        client.to_check().or_else(|| client.lease()).map(|lease| lease.address.address())
    }

    /// Has the claims be those to the program's addresses and the leased one, and tells the client of that one.
    fn settle_claims(&mut self, now: Instant) {
        let leased = self.leased();
        self.claims.retain(|claim| claim.source == Source::Config || Some(claim.address) == leased);
        let Some(leased) = leased else { return };
        match self.claims.iter().find(|claim| claim.source == Source::Lease) {
            None => {
                let claim = Claim::new(leased, Source::Lease, now);
                self.claims.push(if self.at_once { claim.in_use_at_once() } else { claim });
            }
            Some(claim) if claim.is_in_use() => {
                if let Some(client) = &mut self.client {
                    client.is_free();
                }
            }
            Some(_) => {}
        }
    }

    /// The addresses to be used.
    fn in_use(&self) -> Vec<IpCidr> {
        let is_in_use = |cidr: &&Ipv4Cidr| {
            self.claims.iter().any(|claim| claim.address == cidr.address() && claim.is_in_use())
        };
        let mut addresses: Vec<IpCidr> =
            self.own.iter().filter(is_in_use).map(|cidr| IpCidr::Ipv4(*cidr)).collect();
        if let Some(lease) = &self.lease
            && addresses.iter().all(|cidr| cidr.address() != lease.address.address().into())
        {
            addresses.push(lease.address.into());
        }
        addresses
    }
}

impl Engine {
    /// See [`Stack::configuration`](crate::Stack::configuration).
    pub(crate) fn configuration(&self) -> Configuration {
        let assignment = &self.assignment;
        let conflicts = assignment.claims.iter().filter(|claim| claim.source == Source::Config);
        Configuration {
            addresses: self.interface.ip_addrs().to_vec(),
            lease: assignment.lease.clone(),
            conflicts: conflicts
                .filter_map(|claim| {
                    Some(Conflict { address: claim.address.into(), other: claim.lost_to()?.0 })
                })
                .chain(self.checks.conflicts())
                .collect(),
            is_link_up: assignment.is_link_up,
        }
    }

    /// See [`Wire::set_link`](crate::Wire::set_link).
    pub(crate) fn set_link(&mut self, is_up: bool) {
        let now = self.tick();
        if core::mem::replace(&mut self.assignment.is_link_up, is_up) == is_up {
            return;
        }
        if is_up {
            self.restart_discovery();
            self.assignment.claims.iter_mut().for_each(|claim| claim.restart(now));
        }
        if let Some(client) = &mut self.assignment.client {
            client.link(now, is_up);
        }
        self.assignment.note_change();
        self.settle_addresses();
        self.wake_driver();
    }

    /// Asks and tells what is due, as far as there are buffers.
    pub(crate) fn poll_assignment(&mut self) {
        let now = self.now;
        if self.assignment.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        for index in 0..self.assignment.claims.len() {
            if !self.transmit.has_room() {
                return;
            }
            let Assignment { claims, random, .. } = &mut self.assignment;
            let claim = &mut claims[index];
            let (address, notice) = (claim.address, claim.poll(now, random));
            match notice {
                None => {}
                // Nobody takes note of who asks.
                Some(Notice::Probe) => self.send_arp_request(Ipv4Address::UNSPECIFIED, address),
                Some(Notice::Announcement) => self.send_arp_request(address, address),
            }
        }
        self.settle_addresses();
        if self.transmit.has_room()
            && let Some(client) = &mut self.assignment.client
            && let Some(question) = client.poll(now)
        {
            self.settle_addresses();
            self.ask_server(&question);
        }
        self.settle_addresses();
    }

    /// Looks at an ARP packet, and lets smoltcp see it unless it contradicts what this host knows.
    pub(crate) fn receive_arp(&mut self, frame: &[u8], arp: &Arp) {
        let &Arp { mac, sender, target } = arp;
        // Its own, sent back by something on the link.
        if mac == self.mac {
            return;
        }
        let now = self.now;
        let mut contradicts = false;
        for index in 0..self.assignment.claims.len() {
            let Assignment { claims, random, .. } = &mut self.assignment;
            let claim = &mut claims[index];
            let address = claim.address;
            // Whose address it is once this host has let go of it must still be found.
            contradicts |= sender == address && claim.is_in_use();
            match claim.look(now, mac, sender, target, random) {
                Verdict::Nothing => {}
                Verdict::Reply => self.send_arp_reply(address, mac, Ipv4Address::UNSPECIFIED),
                Verdict::Defend => self.send_arp_request(address, address),
                Verdict::Lost => {
                    let is_leased = claim.source == Source::Lease;
                    self.give_up(is_leased);
                    if is_leased {
                        // The last one, and gone.
                        break;
                    }
                }
            }
        }
        if !contradicts {
            self.receive_elsewhere(frame);
            self.answered(sender.into());
        }
    }

    /// Somebody else has an address.
    fn give_up(&mut self, is_leased: bool) {
        let declined = match &mut self.assignment.client {
            Some(client) if is_leased => client.decline(self.now),
            _ => None,
        };
        self.assignment.note_change();
        self.settle_addresses();
        if let Some(question) = declined {
            self.ask_server(&question);
        }
    }

    /// Looks at a datagram to the port of DHCP clients.
    pub(crate) fn receive_dhcp(&mut self, frame: &[u8]) {
        let now = self.now;
        let Some(answer) = self.answer(frame) else { return };
        if let Some(client) = &mut self.assignment.client
            && client.receive(now, answer)
        {
            self.settle_addresses();
        }
    }

    /// A DHCP server's answer to this host. It may be to an address that the host does not have yet.
    fn answer(&self, frame: &[u8]) -> Option<Answer> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        if frame.dst_addr() != self.mac && !frame.dst_addr().is_broadcast() {
            return None;
        }
        let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
        if !packet.verify_checksum() {
            return None;
        }
        let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
        Answer::parse(datagram.payload(), self.mac)
    }

    fn ask_server(&mut self, question: &Question) {
        let bytes = question.to_bytes(&self.assignment.identity);
        let to = question.to.unwrap_or(Ipv4Address::BROADCAST);
        let to = UdpMetadata {
            local_address: Some(question.own.into()),
            ..IpEndpoint::new(to.into(), DHCP_SERVER_PORT).into()
        };
        // What cannot be sent now is sent again later.
        self.send_datagram(DHCP_CLIENT_PORT, &bytes, to);
    }

    /// Puts into effect what client and claims say now.
    fn settle_addresses(&mut self) {
        self.assignment.settle_claims(self.now);
        let lease = self.assignment.client.as_ref().and_then(Client::lease);
        if lease != self.assignment.lease.as_ref() {
            let lease = lease.cloned();
            let routes = lease.iter().flat_map(|lease| &lease.routes);
            let routes: Vec<(IpCidr, IpAddress)> =
                routes.map(|route| (route.network.into(), route.gateway.into())).collect();
            let servers = lease.iter().flat_map(|lease| &lease.dns_servers);
            self.assignment.dns_servers = servers.map(|server| IpAddress::Ipv4(*server)).collect();
            self.assignment.lease = lease;
            self.set_routes(Origin::Lease, routes);
            self.assignment.note_change();
        }
        self.settle_interface();
    }

    /// Has the interface have those IPv4 addresses that are in use. What was on the others ends.
    fn settle_interface(&mut self) {
        let wanted = self.assignment.in_use();
        let is_v4 = |cidr: &&IpCidr| matches!(cidr, IpCidr::Ipv4(_));
        let current: Vec<IpCidr> = self.interface.ip_addrs().iter().filter(is_v4).copied().collect();
        if current.len() == wanted.len() && current.iter().all(|cidr| wanted.contains(cidr)) {
            return;
        }
        self.interface.update_ip_addrs(|addresses| {
            addresses.retain(|cidr| matches!(cidr, IpCidr::Ipv6(_)) || wanted.contains(cidr));
            for cidr in &wanted {
                // The check of the configuration has left room for all.
                if !addresses.contains(cidr) {
                    let _ = addresses.push(*cidr);
                }
            }
        });
        for cidr in current {
            if !self.interface.has_ip_addr(cidr.address()) {
                self.lose_address(cidr.address());
                self.give_up_parked();
            }
        }
        self.assignment.note_change();
    }
}
