//! Messages of DNS (RFC 1035): what is asked, and what an answer says to it.
//!
//! smoltcp's types read the wire. Here is what they leave to their user: whether a message answers the question at all, which of its
//! records do, and a bound on the work that a message can make. They follow as many pointers as there are, and with each name anew: an
//! answer of 64 KiB could take seconds.

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
/// The most pointers that are followed for a name: one for each of its labels, and so more than anybody has a use for.
const MOST_POINTERS: usize = LONGEST_NAME / 2;
/// The most records of an answer that are looked at.
const MOST_RECORDS: usize = 256;
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

    /// The name that `bytes` of a message begin with. `None` where it is not intact, or takes too many pointers.
    fn read<'a>(mut message: &'a [u8], mut bytes: &'a [u8]) -> Option<Self> {
        let mut name = Vec::new();
        let mut pointers = 0;
        loop {
            match *bytes {
                [0, ..] => {
                    name.push(0);
                    return Some(Self(name));
                }
                [length @ ..=0x3f, ref rest @ ..] => {
                    let (label, rest) = rest.split_at_checked(length.into())?;
                    name.push(length);
                    name.extend_from_slice(label);
                    if name.len() >= LONGEST_NAME {
                        return None;
                    }
                    bytes = rest;
                }
                // They lead to what is before (RFC 1035, section 4.1.4), so not round.
                [high @ 0xc0..=0xff, low, ..] if pointers < MOST_POINTERS => {
                    pointers += 1;
                    (message, bytes) =
                        message.split_at_checked(u16::from_be_bytes([high & 0x3f, low]).into())?;
                }
                _ => return None,
            }
        }
    }

    /// Whether two names are the same; case does not count (RFC 4343). No length of a label is a letter.
    fn is(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
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
            && Name::read(message, question.name).is_some_and(|name| name.is(self.name));
        if !is_for_this {
            return None;
        }
        Some(match code {
            DnsRcode::NXDomain => Answer::NoSuchName,
            DnsRcode::NoError if flags.contains(DnsFlags::TRUNCATED) => Answer::Truncated,
            DnsRcode::NoError => {
                let count = usize::from(packet.answer_record_count());
                self.addresses(message, records, count).map_or(Answer::Failed, Answer::Addresses)
            }
            _ => Answer::Failed,
        })
    }

    /// The addresses among the first of `count` records; `None` where these are not intact.
    fn addresses(self, message: &[u8], mut bytes: &[u8], count: usize) -> Option<Vec<IpAddress>> {
        let mut records = Vec::new();
        for _ in 0..count.min(MOST_RECORDS) {
            let (rest, record) = DnsRecord::parse(bytes).ok()?;
            bytes = rest;
            if !matches!(record.data, DnsRecordData::Other(..))
                && let Some(name) = Name::read(message, record.name)
            {
                records.push((name, record.data));
            }
        }
        let mut owner = self.name.clone();
        for _ in 0..=MOST_ALIASES {
            let of_owner: Vec<_> =
                records.iter().filter(|(name, _)| name.is(&owner)).map(|(_, data)| data).collect();
            let addresses: Vec<IpAddress> = of_owner
                .iter()
                .filter_map(|data| match (self.kind, data) {
                    (Kind::V4, DnsRecordData::A(address)) => Some((*address).into()),
                    (Kind::V6, DnsRecordData::Aaaa(address)) => Some((*address).into()),
                    _ => None,
                })
                .filter(IpAddress::is_unicast)
                .take(MOST_ADDRESSES)
                .collect();
            let alias = of_owner.iter().find_map(|data| match data {
                DnsRecordData::Cname(name) => Some(*name),
                _ => None,
            });
            match alias {
                Some(alias) if addresses.is_empty() => owner = Name::read(message, alias)?,
                _ => return Some(addresses),
            }
        }
        // A circle of aliases.
        None
    }
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
