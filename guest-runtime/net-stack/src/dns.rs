//! Messages of DNS (RFC 1035): what is asked, and what an answer says to it.
//!
//! smoltcp's types read the wire and cannot be led astray by it: a pointer leads to an earlier place or nowhere. Here is what they leave
//! to their user: whether a message answers the question at all, and which of its records do.

use alloc::vec;
use alloc::vec::Vec;
use smoltcp::wire::{
    DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRcode, DnsRecord, DnsRecordData, DnsRepr,
    IpAddress,
};

/// The most bytes of a label (RFC 1035, section 2.3.4).
const LONGEST_LABEL: usize = 63;
/// The most bytes of a name on the wire, lengths and end included (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 255;
/// How many aliases may follow one another.
const MOST_ALIASES: usize = 16;
/// The most addresses that are taken from an answer.
const MOST_ADDRESSES: usize = 64;

/// A name as it is on the wire: labels with their lengths, then a zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(Vec<u8>);

impl Name {
    /// The name that people write as `text`; a dot at the end changes nothing. `None` where there can be no such name.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut bytes = Vec::new();
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            let possible = (1..=LONGEST_LABEL).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_graphic());
            if !possible {
                return None;
            }
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        (bytes.len() <= LONGEST_NAME).then_some(Self(bytes))
    }
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    V4,
    V6,
}

impl From<Kind> for DnsQueryType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::V4 => Self::A,
            Kind::V6 => Self::Aaaa,
        }
    }
}

/// A question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) id: u16,
    pub(crate) name: &'a Name,
    pub(crate) kind: Kind,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// These are the addresses; none where the name has none of this kind.
    Addresses(Vec<IpAddress>),
    /// There is no such name.
    NoSuchName,
    /// The answer did not fit a datagram.
    Truncated,
    /// The server cannot say, or what it says makes no sense.
    Failed,
}

impl Query<'_> {
    /// The message that asks.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let message = DnsRepr {
            transaction_id: self.id,
            opcode: DnsOpcode::Query,
            flags: DnsFlags::RECURSION_DESIRED,
            question: DnsQuestion { name: &self.name.0, type_: self.kind.into() },
        };
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut DnsPacket::new_unchecked(&mut bytes[..]));
        bytes
    }

    /// What `message` says to this question; `None` where it is no answer to it.
    pub(crate) fn answer(self, message: &[u8]) -> Option<Answer> {
        let packet = DnsPacket::new_checked(message).ok()?;
        let flags = packet.flags();
        let is_answer = packet.transaction_id() == self.id
            && flags.contains(DnsFlags::RESPONSE)
            && packet.opcode() == DnsOpcode::Query;
        if !is_answer {
            return None;
        }
        let code = packet.rcode();
        if packet.question_count() == 0 && !matches!(code, DnsRcode::NoError | DnsRcode::NXDomain) {
            // A server that understood nothing has nothing to repeat.
            return Some(Answer::Failed);
        }
        let (records, question) = DnsQuestion::parse(packet.payload()).ok()?;
        let is_for_this = packet.question_count() == 1
            && question.type_ == self.kind.into()
            && same(&packet, question.name, &self.name.0);
        if !is_for_this {
            return None;
        }
        Some(match code {
            DnsRcode::NXDomain => Answer::NoSuchName,
            DnsRcode::NoError if flags.contains(DnsFlags::TRUNCATED) => Answer::Truncated,
            DnsRcode::NoError => self.addresses(&packet, records).map_or(Answer::Failed, Answer::Addresses),
            _ => Answer::Failed,
        })
    }

    /// The addresses among the records; `None` where these are not intact.
    fn addresses(self, packet: &DnsPacket<&[u8]>, mut bytes: &[u8]) -> Option<Vec<IpAddress>> {
        let mut records = Vec::new();
        for _ in 0..packet.answer_record_count() {
            let (rest, record) = DnsRecord::parse(bytes).ok()?;
            bytes = rest;
            if !matches!(record.data, DnsRecordData::Other(..)) {
                records.push(record);
            }
        }
        let mut owner = &self.name.0[..];
        for _ in 0..=MOST_ALIASES {
            let of_owner: Vec<_> = records.iter().filter(|record| same(packet, record.name, owner)).collect();
            let addresses: Vec<IpAddress> = of_owner
                .iter()
                .filter_map(|record| match (self.kind, &record.data) {
                    (Kind::V4, DnsRecordData::A(address)) => Some((*address).into()),
                    (Kind::V6, DnsRecordData::Aaaa(address)) => Some((*address).into()),
                    _ => None,
                })
                .filter(IpAddress::is_unicast)
                .take(MOST_ADDRESSES)
                .collect();
            let alias = of_owner.iter().find_map(|record| match record.data {
                DnsRecordData::Cname(name) => Some(name),
                _ => None,
            });
            match alias {
                Some(alias) if addresses.is_empty() => owner = alias,
                _ => return Some(addresses),
            }
        }
        // A circle of aliases.
        None
    }
}

/// Whether two names are the same; case does not count (RFC 4343). Nothing is the same as a name that is not intact.
fn same(packet: &DnsPacket<&[u8]>, one: &[u8], other: &[u8]) -> bool {
    let (mut one, mut other) = (packet.parse_name(one), packet.parse_name(other));
    let mut length = 1;
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(Ok(one)), Some(Ok(other))) if one.eq_ignore_ascii_case(other) => {
                length += 1 + one.len();
                if length > LONGEST_NAME {
                    return false;
                }
            }
            _ => return false,
        }
    }
}
