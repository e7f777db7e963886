//! What a DHCP server is asked.

use super::answer::option;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, Ipv4Address};

/// What is asked for: the classless routes before those that they replace (RFC 3442).
const WANTED: &[u8] = &[
    option::SUBNET_MASK,
    option::CLASSLESS_ROUTES,
    option::ROUTER,
    option::STATIC_ROUTES,
    option::DNS_SERVERS,
    option::HOST_NAME,
    option::DOMAIN,
    option::MTU,
    option::LEASE_TIME,
    option::RENEWAL_TIME,
    option::REBINDING_TIME,
];
/// The least size of a message, in bytes, that everybody takes (RFC 2131, section 2).
const LEAST_MESSAGE: u16 = 576;
/// The least bytes of a message that is sent: those of BOOTP, which some relays and servers insist on (RFC 1542, section 2.1).
const LEAST_LENGTH: usize = 300;
/// Bytes of the headers of IPv4 and UDP.
const HEADERS: u16 = 28;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) mac: EthernetAddress,
    /// The name that it wants to go by.
    pub(crate) host_name: Option<String>,
    /// The most bytes of a packet that it takes.
    pub(crate) mtu: u16,
}

/// A question to one server or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) kind: DhcpMessageType,
    pub(crate) transaction: u32,
    /// For how many seconds the client has been asking.
    pub(crate) seconds: u16,
    /// The address in use; unspecified where there is none.
    pub(crate) own: Ipv4Address,
    /// The address that it is about, where it is not in use.
    pub(crate) requested: Option<Ipv4Address>,
    /// Whose offer it is about.
    pub(crate) server: Option<Ipv4Address>,
    /// Whether the answer is to be a broadcast.
    pub(crate) broadcast: bool,
    /// To whom it goes; `None`: all.
    pub(crate) to: Option<Ipv4Address>,
}

impl Question {
    /// The payload of its datagram.
    pub(crate) fn to_bytes(&self, identity: &Identity) -> Vec<u8> {
        let name = identity.host_name.as_deref().unwrap_or_default().as_bytes();
        let is_decline = self.kind == DhcpMessageType::Decline;
        // Who declines asks for nothing (RFC 2131, section 4.4.1), and may say why.
        let extra = if is_decline {
            Some(DhcpOption { kind: option::MESSAGE, data: b"address in use" })
        } else {
            (!name.is_empty()).then_some(DhcpOption { kind: option::HOST_NAME, data: name })
        };
        let max_size = identity.mtu.saturating_sub(HEADERS);
        let message = DhcpRepr {
            message_type: self.kind,
            transaction_id: self.transaction,
            secs: self.seconds,
            client_hardware_address: identity.mac,
            client_ip: self.own,
            your_ip: Ipv4Address::UNSPECIFIED,
            server_ip: Ipv4Address::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Address::UNSPECIFIED,
            broadcast: self.broadcast,
            requested_ip: self.requested,
            client_identifier: Some(identity.mac),
            server_identifier: self.server,
            parameter_request_list: (!is_decline).then_some(WANTED),
            dns_servers: None,
            max_size: (!is_decline && max_size >= LEAST_MESSAGE).then_some(max_size),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: extra.as_slice(),
        };
        let mut bytes = vec![0; message.buffer_len().max(LEAST_LENGTH)];
        // It fails only where the buffer is too short, and a name has at most 253 bytes.
        let _ = message.emit(&mut DhcpPacket::new_unchecked(bytes.as_mut_slice()));
        bytes
    }
}
