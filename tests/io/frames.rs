// How a frame is sent back without a network stack. The guests `mirror` and `io` and the floor `io-floor` include this.

/// Swaps sender and receiver in an Ethernet frame with UDP over IPv4; whether it is one. No checksum changes by that.
fn turn_round(frame: &mut [u8]) -> bool {
    // Behind the Ethernet header of 14 bytes: IPv4 without options (20 bytes), then the ports.
    if frame.len() < 42 || frame[12..15] != [0x08, 0x00, 0x45] || frame[23] != 17 {
        return false;
    }
    for (first, second, length) in [(0, 6, 6), (26, 30, 4), (34, 36, 2)] {
        for i in 0..length {
            frame.swap(first + i, second + i);
        }
    }
    true
}
