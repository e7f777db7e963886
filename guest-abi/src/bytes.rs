//! Reading little-endian integers out of byte slices, and writing them into arrays in `const` code.

/// The `u32` at `offset`, or `None` where `bytes` ends before it does.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    Some(u32::from_le_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

/// The `u64` at `offset`, or `None` where `bytes` ends before it does.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let end = offset.checked_add(8)?;
    Some(u64::from_le_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

/// Copies `from` to `to[at..]`. Usable in `const` code, where it fails the build if `from` does not fit.
pub(crate) const fn put(to: &mut [u8], at: usize, from: &[u8]) {
    let mut i = 0;
    while i < from.len() {
        to[at + i] = from[i];
        i += 1;
    }
}
