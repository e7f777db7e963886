//! What a network device can leave to the other side: features that the guest offers in its
//! [manifest](crate::manifest::Device::features), and those that are in use, in
//! [`DeviceInfo::features`](crate::boot_info::DeviceInfo::features).
//!
//! Names and numbers below 32 are those of virtio (version 1.2, section 5.1.3), as are the header's fields that they give a meaning
//! to. Those from 32 on are our own.
//! A feature in use was offered by the guest; none is in use without those that it needs.

/// The host completes the checksum of a frame that the guest sends, where the header says so (`VIRTIO_NET_F_CSUM`).
pub const CSUM: u64 = 1 << 0;
/// The guest takes frames whose checksum is not completed, or verified by the host (`VIRTIO_NET_F_GUEST_CSUM`).
pub const GUEST_CSUM: u64 = 1 << 1;
/// The guest takes segments of TCP over IPv4 that were not cut (`VIRTIO_NET_F_GUEST_TSO4`). Needs [`GUEST_CSUM`].
pub const GUEST_TSO4: u64 = 1 << 7;
/// The guest takes segments of TCP over IPv6 that were not cut (`VIRTIO_NET_F_GUEST_TSO6`). Needs [`GUEST_CSUM`].
pub const GUEST_TSO6: u64 = 1 << 8;
/// The host cuts segments of TCP over IPv4 that the guest sends (`VIRTIO_NET_F_HOST_TSO4`). Needs [`CSUM`].
pub const HOST_TSO4: u64 = 1 << 11;
/// The host cuts segments of TCP over IPv6 that the guest sends (`VIRTIO_NET_F_HOST_TSO6`). Needs [`CSUM`].
pub const HOST_TSO6: u64 = 1 << 12;

/// Each request to receive takes as many frames as have come: see [`record_size`].
pub const BATCHED_RECEIVE: u64 = 1 << 32;

/// The guest can ask whether frames pass the link: see [`NetLink`](crate::request::Opcode::NetLink).
pub const LINK_STATE: u64 = 1 << 33;

/// Those that are left to whoever hands over the frames that the guest receives.
pub const RECEIVE: u64 = GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6;
/// All features of this version of the contract.
pub const ALL: u64 = RECEIVE | CSUM | HOST_TSO4 | HOST_TSO6 | BATCHED_RECEIVE | LINK_STATE;

/// The most bytes of the virtio-net header and a frame: with a VLAN tag (4 bytes) and the largest IPv4 packet.
pub const LONGEST: usize = crate::request::NET_HEADERS_SIZE + 4 + 65535;

/// Those of `offered` that can be in use together: known, and with what they need.
#[must_use]
pub const fn consistent(offered: u64) -> u64 {
    let mut features = offered & ALL;
    if features & CSUM == 0 {
        features &= !(HOST_TSO4 | HOST_TSO6);
    }
    if features & GUEST_CSUM == 0 {
        features &= !(GUEST_TSO4 | GUEST_TSO6);
    }
    features
}

/// Bytes in front of each frame of a batch: how many bytes of header and frame follow, as a little-endian `u64`.
pub const RECORD_HEADER: usize = 8;

/// The bytes from the start of one record of a batch to the next, or to the end of the batch, where `length` bytes of header and
/// frame are in it: a multiple of 8.
#[must_use]
pub const fn record_size(length: usize) -> usize {
    (RECORD_HEADER + length).next_multiple_of(8)
}

/// The least bytes of a buffer to receive in, where these features are in use.
#[must_use]
pub const fn least_receive_buffer(features: u64, mtu: u16) -> usize {
    let longest = if features & (GUEST_TSO4 | GUEST_TSO6) != 0 {
        LONGEST
    } else {
        crate::request::NET_HEADERS_SIZE + mtu as usize
    };
    // Whether a VLAN tag (4 bytes) fits may not depend on what else is in the batch; a frame that leaves no byte is taken for cut off.
    if features & BATCHED_RECEIVE != 0 { record_size(longest + 5) } else { longest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_feature_without_what_it_needs() {
        assert_eq!(consistent(u64::MAX), ALL);
        assert_eq!(consistent(HOST_TSO4 | HOST_TSO6 | GUEST_CSUM), GUEST_CSUM);
        assert_eq!(consistent(GUEST_TSO4 | GUEST_TSO6 | CSUM | HOST_TSO6), CSUM | HOST_TSO6);
        assert_eq!(consistent(GUEST_TSO6 | GUEST_CSUM), GUEST_TSO6 | GUEST_CSUM);
    }

    #[test]
    fn large_frames_need_large_buffers() {
        assert_eq!(least_receive_buffer(0, 1500), 1524);
        assert_eq!(least_receive_buffer(CSUM | GUEST_CSUM | HOST_TSO4 | HOST_TSO6, 68), 92);
        assert_eq!(least_receive_buffer(GUEST_CSUM | GUEST_TSO6, 1500), 65563);
        assert_eq!(least_receive_buffer(BATCHED_RECEIVE, 1500), 1544);
    }
}
