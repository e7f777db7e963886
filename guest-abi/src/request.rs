//! What a guest can ask for through the [`ring`](crate::ring), and what it is answered.
//!
//! A request names a device by its handle: 0 is the console and everything else that each guest has, the device with
//! index `i` in the [manifest](crate::manifest) has handle `i + 1`. Addresses are the guest's virtual addresses; a
//! buffer may lie anywhere in memory that the guest itself may read (for requests that take data) or write (for those that
//! bring data), and belongs to the monitor until the completion.

/// The handle of the console, entropy and the shutdown notice.
pub const SYSTEM: u32 = 0;

/// In [`Request::flags`] of a [`NetSend`](Opcode::NetSend): its completion alone, if it is [`Status::Ok`], does not end an
/// [`Enter`](crate::doorbell::Function::Enter). Only where the monitor has the feature
/// [`QUIET_SENDS`](crate::boot_info::QUIET_SENDS); all other flags are 0.
pub const QUIET: u16 = 1;

/// The most bytes of a request for [entropy](Opcode::Entropy); a longer one is [`Status::Invalid`].
pub const MAX_ENTROPY: usize = 1 << 16;

/// What is to be done.
///
/// | opcode | device | buffer | `offset` | completes with |
/// |---|---|---|---|---|
/// | [`Nop`](Self::Nop) | system | none | 0 | 0, at once |
/// | [`ConsoleWrite`](Self::ConsoleWrite) | system | read | 0 | bytes, all of them, once the host took them |
/// | [`ConsoleRead`](Self::ConsoleRead) | system | written | 0 | bytes, once there are any; 0 at the end of input |
/// | [`NetSend`](Self::NetSend) | net | read | 0 | bytes: a virtio-net header and a frame, handed on or dropped |
/// | [`NetReceive`](Self::NetReceive) | net | written | 0 | bytes: a virtio-net header and a frame, once one came |
/// | [`BlockRead`](Self::BlockRead) | block | written | bytes | bytes, all of them |
/// | [`BlockWrite`](Self::BlockWrite) | block | read | bytes | bytes, all of them; durable only after a flush |
/// | [`BlockFlush`](Self::BlockFlush) | block | none | 0 | 0; every write that completed before it was submitted is durable |
/// | [`BlockDiscard`](Self::BlockDiscard) | block | length only | bytes | the length; what the range then reads as is not defined |
/// | [`BlockWriteZeroes`](Self::BlockWriteZeroes) | block | length only | bytes | the length; the range reads as zeroes |
/// | [`Entropy`](Self::Entropy) | system | written | 0 | bytes, all of them, of the host's random number generator |
/// | [`ShutdownNotice`](Self::ShutdownNotice) | system | none | 0 | 0, once the host wants the guest to end; one at a time |
/// | [`NetLink`](Self::NetLink) | net | none | 1 or 0 | the state of the link, once it is another than the offset says; one at a time |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs, reason = "the table above says it")]
pub enum Opcode {
    Nop = 0,
    ConsoleWrite = 1,
    ConsoleRead = 2,
    NetSend = 3,
    NetReceive = 4,
    BlockRead = 5,
    BlockWrite = 6,
    BlockFlush = 7,
    BlockDiscard = 8,
    BlockWriteZeroes = 9,
    Entropy = 10,
    ShutdownNotice = 11,
    NetLink = 12,
}

impl Opcode {
    /// The opcode with this number, or `None` where it is not assigned.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            0 => Self::Nop,
            1 => Self::ConsoleWrite,
            2 => Self::ConsoleRead,
            3 => Self::NetSend,
            4 => Self::NetReceive,
            5 => Self::BlockRead,
            6 => Self::BlockWrite,
            7 => Self::BlockFlush,
            8 => Self::BlockDiscard,
            9 => Self::BlockWriteZeroes,
            10 => Self::Entropy,
            11 => Self::ShutdownNotice,
            12 => Self::NetLink,
            _ => return None,
        })
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// It was carried out.
    Ok = 0,
    /// The opcode is not one that this monitor knows.
    UnknownOpcode = 1,
    /// The handle names no device, or one that has no use for the opcode, or one that is absent.
    BadDevice = 2,
    /// A flag, a reserved field, or a field that the opcode does not use is not 0.
    BadFlags = 3,
    /// The buffer wraps around, leaves the guest's memory, or lies where the guest has not the right that the request needs.
    BadAddress = 4,
    /// A length or offset is no multiple of the block size, a frame is too short or too long, or a second
    /// notice of a shutdown or of a link was asked for.
    Invalid = 5,
    /// The range is not inside the device.
    OutOfRange = 6,
    /// The device is read-only.
    ReadOnly = 7,
    /// The host failed to carry it out.
    Io = 8,
    /// The host has no space left.
    NoSpace = 9,
    /// The host cannot do this on this device.
    NotSupported = 10,
}

impl Status {
    /// The status with this number; a number that is not assigned counts as [`Io`](Self::Io), so that an older guest
    /// sees an error where a newer monitor means one.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::UnknownOpcode,
            2 => Self::BadDevice,
            3 => Self::BadFlags,
            4 => Self::BadAddress,
            5 => Self::Invalid,
            6 => Self::OutOfRange,
            7 => Self::ReadOnly,
            9 => Self::NoSpace,
            10 => Self::NotSupported,
            _ => Self::Io,
        }
    }
}

/// The bytes of the virtio-net header before each frame: `struct virtio_net_hdr` without `num_buffers`, as Linux's
/// `linux/virtio_net.h` and `IFF_VNET_HDR` have it. With it, the IP header of an Ethernet frame lies at offset 24.
pub const NET_HEADER_SIZE: usize = 10;
/// The bytes of an Ethernet header without a VLAN tag (IEEE 802.3).
pub const ETHERNET_HEADER_SIZE: usize = 14;

/// The bytes of the virtio-net header and the Ethernet header: the least that can be sent. A buffer to receive in must have
/// [more](crate::net::least_receive_buffer). A frame that does not fit in its buffer, such as one with a VLAN tag and a full payload, is
/// dropped, and the buffer waits for the next.
pub const NET_HEADERS_SIZE: usize = NET_HEADER_SIZE + ETHERNET_HEADER_SIZE;

/// A submission ring's entry: 64 bytes.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 2 | opcode |
/// | 2 | 2 | flags: [`QUIET`] |
/// | 4 | 4 | device |
/// | 8 | 8 | user data |
/// | 16 | 8 | address |
/// | 24 | 8 | length |
/// | 32 | 8 | offset |
/// | 40 | 24 | reserved, 0 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The number of an [`Opcode`]; any number, as a guest may write what it likes.
    pub opcode: u16,
    /// [`QUIET`], or 0.
    pub flags: u16,
    /// The device's handle.
    pub device: u32,
    /// Comes back in the completion, untouched.
    pub user_data: u64,
    /// The buffer's virtual address; 0 where there is none.
    pub address: u64,
    /// The length in bytes; 0 where there is none.
    pub length: u64,
    /// The offset on the device in bytes; 0 where there is none.
    pub offset: u64,
    /// 0 so far.
    pub reserved: [u64; 3],
}

impl Request {
    /// 64-bit words of an entry.
    pub const WORDS: usize = 8;

    /// The entry's words.
    #[must_use]
    pub const fn to_words(&self) -> [u64; Self::WORDS] {
        [
            self.opcode as u64 | (self.flags as u64) << 16 | (self.device as u64) << 32,
            self.user_data,
            self.address,
            self.length,
            self.offset,
            self.reserved[0],
            self.reserved[1],
            self.reserved[2],
        ]
    }

    /// The request that an entry's words stand for. Any words stand for one.
    #[must_use]
    pub const fn from_words(words: [u64; Self::WORDS]) -> Self {
        Self {
            opcode: words[0] as u16,
            flags: (words[0] >> 16) as u16,
            device: (words[0] >> 32) as u32,
            user_data: words[1],
            address: words[2],
            length: words[3],
            offset: words[4],
            reserved: [words[5], words[6], words[7]],
        }
    }
}

/// A completion ring's entry: 32 bytes.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 8 | user data |
/// | 8 | 4 | [status](Status) |
/// | 12 | 4 | flags, 0 so far |
/// | 16 | 8 | value: what the opcode completes with, mostly bytes |
/// | 24 | 8 | reserved, 0 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// The request's user data.
    pub user_data: u64,
    /// The number of a [`Status`].
    pub status: u32,
    /// What the opcode completes with; 0 if the status is not [`Status::Ok`].
    pub value: u64,
}

impl Completion {
    /// 64-bit words of an entry.
    pub const WORDS: usize = 4;

    /// The entry's words.
    #[must_use]
    pub const fn to_words(&self) -> [u64; Self::WORDS] {
        [self.user_data, self.status as u64, self.value, 0]
    }

    /// The completion that an entry's words stand for.
    #[must_use]
    pub const fn from_words(words: [u64; Self::WORDS]) -> Self {
        Self { user_data: words[0], status: words[1] as u32, value: words[2] }
    }
}

const _: () =
    assert!(Request::WORDS * 8 == 64, "docs/abi.md states an entry's size: a change is a new ABI version");
const _: () =
    assert!(Completion::WORDS * 8 == 32, "docs/abi.md states an entry's size: a change is a new ABI version");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_opcodes_agree() {
        for number in 0..=u16::MAX {
            if let Some(opcode) = Opcode::from_number(number) {
                assert_eq!(opcode as u16, number);
            } else {
                assert!(number > Opcode::NetLink as u16);
            }
        }
    }

    #[test]
    fn numbers_and_statuses_agree() {
        for number in 0..=10 {
            assert_eq!(Status::from_number(number) as u32, number);
        }
        assert_eq!(Status::from_number(11), Status::Io);
    }

    #[test]
    fn an_entry_survives_the_ring() {
        let request = Request {
            opcode: 0x0102,
            flags: 0x0304,
            device: 0x0506_0708,
            user_data: 1,
            address: 2,
            length: 3,
            offset: 4,
            reserved: [5, 6, 7],
        };
        assert_eq!(request.to_words()[0].to_le_bytes(), [2, 1, 4, 3, 8, 7, 6, 5]);
        assert_eq!(Request::from_words(request.to_words()), request);
        let completion = Completion { user_data: u64::MAX, status: 8, value: 1 << 40 };
        assert_eq!(Completion::from_words(completion.to_words()), completion);
    }
}
