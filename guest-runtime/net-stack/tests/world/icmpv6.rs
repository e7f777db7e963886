//! Frames with ICMPv6 messages, and router advertisements among them.

use smoltcp::wire::{Icmpv6Packet, Ipv6Address};

/// A message with its checksum put right, in a frame.
pub(crate) struct Message {
    pub(crate) from_mac: [u8; 6],
    pub(crate) to_mac: [u8; 6],
    pub(crate) source: Ipv6Address,
    pub(crate) destination: Ipv6Address,
    pub(crate) hop_limit: u8,
    /// Type, code, two bytes for the checksum, and what follows.
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn to_frame(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        Icmpv6Packet::new_unchecked(&mut body[..]).fill_checksum(&self.source, &self.destination);
        let length = (body.len() as u16).to_be_bytes();
        let mut frame = [&self.to_mac[..], &self.from_mac, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
        frame.extend(length);
        frame.extend([58, self.hop_limit]);
        frame.extend(self.source.octets());
        frame.extend(self.destination.octets());
        frame.extend(body);
        frame
    }
}

/// The router that advertises, unless another is said to.
pub(crate) const ROUTER: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// A router advertisement: by whom, with what behind its flags, and these options.
pub(crate) fn advertisement(router: Ipv6Address, flags: u8, lifetime: u16, options: &[&[u8]]) -> Message {
    let mut body = vec![134, 0, 0, 0, 64, flags];
    body.extend(lifetime.to_be_bytes());
    body.extend([0; 8]);
    body.extend(options.concat());
    Message {
        from_mac: [2, 0, 0, 0, 9, router.octets()[15]],
        to_mac: [0x33, 0x33, 0, 0, 0, 1],
        source: router,
        destination: Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
        hop_limit: 255,
        body,
    }
}

/// The option that carries a prefix.
pub(crate) fn prefix(address: &str, length: u8, flags: u8, valid: u32, preferred: u32) -> Vec<u8> {
    let mut option = vec![3, 4, length, flags];
    option.extend(valid.to_be_bytes());
    option.extend(preferred.to_be_bytes());
    option.extend([0; 4]);
    option.extend(address.parse::<Ipv6Address>().unwrap().octets());
    option
}

/// The option that carries the MTU.
pub(crate) fn mtu(mtu: u32) -> Vec<u8> {
    [&[5, 1, 0, 0][..], &mtu.to_be_bytes()].concat()
}

/// The option that carries DNS servers.
pub(crate) fn dns_servers(lifetime: u32, servers: &[&str]) -> Vec<u8> {
    let mut option = vec![25, 1 + 2 * servers.len() as u8, 0, 0];
    option.extend(lifetime.to_be_bytes());
    for server in servers {
        option.extend(server.parse::<Ipv6Address>().unwrap().octets());
    }
    option
}
