//! The header in front of each frame: `struct virtio_net_hdr` without `num_buffers` (virtio 1.2, section 5.1.6), as a TAP with
//! `IFF_VNET_HDR` has it. It says what of a frame's work is left to the other side of the link.

/// The bytes of the header.
pub const HEADER_SIZE: usize = 10;
/// The most bytes of a header and a frame: with a VLAN tag and the largest IPv4 packet.
pub const LONGEST_PACKET: usize = HEADER_SIZE + 14 + 4 + 65535;

/// In `flags`: the checksum is yet to be computed.
const NEEDS_CSUM: u8 = 1;
/// In `flags`: somebody on the way has verified the checksum.
const DATA_VALID: u8 = 2;
/// `gso_type`: one segment.
const GSO_NONE: u8 = 0;
/// `gso_type`: several segments of TCP over IPv4.
const GSO_TCPV4: u8 = 1;
/// `gso_type`: several segments of TCP over IPv6.
const GSO_TCPV6: u8 = 4;

/// What is left to do for a frame that is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// A checksum: from where on, and how far behind that its field is. The field holds the sum of the pseudo-header.
    pub(crate) checksum: Option<(u16, u16)>,
    /// Segments are to be made.
    pub(crate) segments: Option<Segments>,
}

/// How a frame is to be cut into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segments {
    /// Whether it is IPv6.
    pub(crate) v6: bool,
    /// The bytes of all headers, each segment's too.
    pub(crate) headers: u16,
    /// The most bytes of TCP payload in a segment.
    pub(crate) size: u16,
}

impl Work {
    pub(crate) fn to_bytes(self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        if let Some(Segments { v6, headers, size }) = self.segments {
            bytes[1] = if v6 { GSO_TCPV6 } else { GSO_TCPV4 };
            bytes[2..4].copy_from_slice(&headers.to_le_bytes());
            bytes[4..6].copy_from_slice(&size.to_le_bytes());
        }
        if let Some((start, offset)) = self.checksum {
            bytes[0] = NEEDS_CSUM;
            bytes[6..8].copy_from_slice(&start.to_le_bytes());
            bytes[8..10].copy_from_slice(&offset.to_le_bytes());
        }
        bytes
    }
}

/// Who says that the transport checksum of a received frame is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vouched {
    /// Nobody: it is to be verified.
    No,
    /// The host has verified it.
    Verified,
    /// Nobody has computed it yet, as the frame has not been on a wire: the one from this offset on.
    Uncomputed(usize),
}

impl Vouched {
    /// Whether it is said of the checksum of what begins at `offset` in the frame.
    pub(crate) fn is_for(self, offset: usize) -> bool {
        match self {
            Self::No => false,
            Self::Verified => true,
            Self::Uncomputed(start) => start == offset,
        }
    }
}

/// Splits what was received into the frame and what the header says of its checksum. `None`: of a kind that was not asked for.
pub(crate) fn split(packet: &[u8]) -> Option<(Vouched, &[u8])> {
    let (header, frame) = packet.split_first_chunk::<HEADER_SIZE>()?;
    if !matches!(header[1], GSO_NONE | GSO_TCPV4 | GSO_TCPV6) {
        return None;
    }
    let vouched = if header[0] & NEEDS_CSUM != 0 {
        Vouched::Uncomputed(usize::from(u16::from_le_bytes([header[6], header[7]])))
    } else if header[0] & DATA_VALID != 0 {
        Vouched::Verified
    } else {
        Vouched::No
    };
    Some((vouched, frame))
}
