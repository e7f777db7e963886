//! The guest's memory as its own instructions reach it, and the exceptions that come of it.

/// Vectors (AMD64 APM, volume 2, table 8-1).
pub(super) const UD: u8 = 6;
pub(super) const DF: u8 = 8;
pub(super) const NP: u8 = 11;
pub(super) const SS: u8 = 12;
pub(super) const GP: u8 = 13;
pub(super) const PF: u8 = 14;

/// Bits of a page fault's error code (volume 2, section 8.4.2).
pub(super) const PRESENT: u64 = 1;
pub(super) const WRITE: u64 = 2;
pub(super) const USER: u64 = 4;
pub(super) const FETCH: u64 = 16;

/// The guest's memory, as the guest itself may use it.
pub trait GuestBytes {
    /// Fills `bytes` from this virtual address on. False, and `bytes` unspecified, where the guest may not read all of them.
    fn read(&self, address: u64, bytes: &mut [u8]) -> bool;
    /// Writes `bytes` to this virtual address. False, and nothing written, where the guest may not write all of them.
    fn write(&self, address: u64, bytes: &[u8]) -> bool;
    /// Whether the address is in a segment of the program's file.
    fn is_segment(&self, address: u64) -> bool;
}

/// An exception that an instruction would have raised at privilege level 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raised {
    pub(super) vector: u8,
    pub(super) error: u64,
    /// For a page fault: the address.
    pub(super) cr2: u64,
}

/// Why an instruction was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Raised(Raised),
    /// We cannot; its operands, where they are the reason.
    Unsupported(String),
    Halted,
}

pub(super) const fn raise(vector: u8, error: u64) -> Refusal {
    Refusal::Raised(Raised { vector, error, cr2: 0 })
}

/// A page fault by an instruction's own access.
pub(super) const fn page_fault(address: u64, error: u64) -> Refusal {
    Refusal::Raised(Raised { vector: PF, error, cr2: address })
}

pub(super) fn unsupported<T>(operands: String) -> Result<T, Refusal> {
    Err(Refusal::Unsupported(operands))
}

/// Bits 63 to 47 are the same (volume 2, section 1.1.3).
pub(super) const fn is_canonical(address: u64) -> bool {
    matches!(address >> 47, 0 | 0x1_ffff)
}

/// An address to go on at. All that a guest has is in the lower half, and KVM may not be able to start anywhere else.
pub(super) const fn lower_half(rip: u64) -> Result<u64, Refusal> {
    if rip >> 47 == 0 { Ok(rip) } else { Err(raise(GP, 0)) }
}

pub(super) fn read<const N: usize>(address: u64, memory: &dyn GuestBytes) -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    if memory.read(address, &mut bytes) {
        Ok(bytes)
    } else if is_canonical(address) {
        Err(page_fault(address, 0))
    } else {
        Err(raise(GP, 0))
    }
}
