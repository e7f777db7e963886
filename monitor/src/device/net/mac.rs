//! A guest's hardware address where the user gives none.

use std::fs;

/// The bits of the first byte that mark an address as one of a group, and as given out locally (IEEE 802).
const GROUP: u8 = 1;
const LOCAL: u8 = 2;

/// The address of the guest on interface `name` of this host: the same at each start, and another on each host and interface.
///
/// Containers made from one image share their machine id, virtual machines their host's name: both are mixed in.
pub(super) fn default_for(name: &str) -> [u8; 6] {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    from_identity(read("/etc/machine-id").trim(), read("/proc/sys/kernel/hostname").trim(), name)
}

fn from_identity(machine: &str, host: &str, name: &str) -> [u8; 6] {
    // Not the standard library's hasher, which may change with the compiler.
    let mut hash = fnv1a(&["ukvm", machine, host, name]);
    // The upper bits of FNV-1a know little of the last bytes: fold the lower ones in.
    hash ^= hash << 32;
    let [first, b, c, d, e, f, ..] = hash.to_be_bytes();
    [first & !GROUP | LOCAL, b, c, d, e, f]
}

/// FNV-1a with 64 bits over the parts, a NUL behind each.
fn fnv1a(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash ^= u64::from(byte);
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

/// Whether a network card may have this address: not a group's, not all zero.
pub(super) fn is_unicast(mac: [u8; 6]) -> bool {
    mac[0] & GROUP == 0 && mac != [0; 6]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn an_address_stays_the_same_from_one_release_to_the_next() {
        assert_eq!(fnv1a(&[]), 0xcbf2_9ce4_8422_2325);
        // FNV-1a of "a" is af63dc4c8601ec8c (the authors' test vectors); one more round for the NUL.
        assert_eq!(fnv1a(&["a"]), 0xaf63_dc4c_8601_ec8c_u64.wrapping_mul(0x0000_0100_0000_01b3));
        assert_eq!(from_identity("0123", "host", "tap0"), from_identity("0123", "host", "tap0"));
        assert_eq!(default_for("tap0"), default_for("tap0"));
    }

    #[test]
    fn addresses_are_local_unicast_and_differ() {
        let mut seen = HashSet::new();
        for (machine, host) in [("0123", "host"), ("0123", "other"), ("4567", "host"), ("", "")] {
            for number in 0..5000 {
                let mac = from_identity(machine, host, &format!("tap{number}"));
                assert_eq!(mac[0] & 3, LOCAL);
                assert!(is_unicast(mac));
                assert!(seen.insert(mac), "{mac:x?}");
            }
        }
        assert!(!is_unicast([0; 6]));
        assert!(!is_unicast([0xff; 6]));
    }
}
