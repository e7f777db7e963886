//! Segment selectors, looked up in the guest's own GDT as a processor at privilege level 0 would.
//!
//! Source: AMD64 Architecture Programmer's Manual, volume 2, sections 4.5 (selectors), 4.8 (descriptors), and 8.2 for the
//! exceptions. The accessed bits of segments are not set: no guest could tell, but one that makes its GDT without them.

use super::access::{
    GP, GuestBytes, NP, PRESENT, Refusal, SS, WRITE, is_canonical, page_fault, raise, read, unsupported,
};
use super::descriptor::Descriptor;

/// The privilege level of a selector, RPL (section 4.5.1).
pub(super) const PRIVILEGE: u16 = 3;
/// The selector is one of the LDT, which is always empty.
const LOCAL: u16 = 4;

/// A table, or the TSS: the contents of GDTR, IDTR and of TR's hidden part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) base: u64,
    /// The highest offset.
    pub(super) limit: u64,
}

/// A null selector.
pub(super) const fn is_null(selector: u16) -> bool {
    selector & !PRIVILEGE == 0
}

/// An exception for a selector: its index and table are the error code (section 8.4.1).
fn wrong(vector: u8, selector: u16) -> Refusal {
    raise(vector, u64::from(selector & !PRIVILEGE))
}

/// The GDT.
impl Table {
    /// The entry of `size` bytes at `offset`, if it lies in the table.
    pub(super) const fn entry(&self, offset: u64, size: u64) -> Option<u64> {
        if offset + (size - 1) <= self.limit { Some(self.base.wrapping_add(offset)) } else { None }
    }

    /// The descriptor of `size` bytes that a selector names: its address, and its first 8 bytes.
    fn descriptor(
        &self,
        selector: u16,
        size: u64,
        memory: &dyn GuestBytes,
    ) -> Result<(u64, Descriptor), Refusal> {
        let at = match self.entry(u64::from(selector & !(PRIVILEGE | LOCAL)), size) {
            Some(at) if selector & LOCAL == 0 => at,
            _ => return Err(wrong(GP, selector)),
        };
        Ok((at, Descriptor(u64::from_le_bytes(read(at, memory)?))))
    }

    /// The 64-bit TSS that a selector names; it becomes busy.
    pub(super) fn load_task(&self, selector: u16, memory: &dyn GuestBytes) -> Result<Self, Refusal> {
        if is_null(selector) {
            return Err(raise(GP, 0));
        }
        let (at, low) = self.descriptor(selector, 16, memory)?;
        if !low.is_available_task() {
            return Err(wrong(GP, selector));
        }
        if !low.is_present() {
            return Err(wrong(NP, selector));
        }
        let high = u32::from_le_bytes(read(at.wrapping_add(8), memory)?);
        let base = low.base() | u64::from(high) << 32;
        if !is_canonical(base) {
            return Err(wrong(GP, selector));
        }
        if !memory.write(at, &low.busy().0.to_le_bytes()) {
            return Err(page_fault(at, PRESENT | WRITE));
        }
        Ok(Self { base, limit: low.limit() })
    }

    /// Checks the 64-bit code segment of a gate or a return, whatever its RPL.
    pub(super) fn code_segment(&self, selector: u16, memory: &dyn GuestBytes) -> Result<(), Refusal> {
        if is_null(selector) {
            return Err(raise(GP, 0));
        }
        let (_, descriptor) = self.descriptor(selector, 8, memory)?;
        if !descriptor.is_code() || descriptor.privilege() != 0 {
            return Err(wrong(GP, selector));
        }
        if !descriptor.is_64_bit() {
            return unsupported("to code that is not for 64-bit mode".to_owned());
        }
        if !descriptor.is_present() {
            return Err(wrong(NP, selector));
        }
        Ok(())
    }

    /// Checks the segment of a stack.
    pub(super) fn stack_segment(&self, selector: u16, memory: &dyn GuestBytes) -> Result<(), Refusal> {
        // 64-bit mode allows a null one below privilege level 3.
        if selector == 0 {
            return Ok(());
        }
        if is_null(selector) {
            return Err(raise(GP, 0));
        }
        let (_, descriptor) = self.descriptor(selector, 8, memory)?;
        if selector & PRIVILEGE != 0 || descriptor.privilege() != 0 || !descriptor.is_writable() {
            return Err(wrong(GP, selector));
        }
        if !descriptor.is_present() {
            return Err(wrong(SS, selector));
        }
        Ok(())
    }

    /// The base of the data segment that a selector names; `None` for a null selector, which names none.
    pub(super) fn data_segment(
        &self,
        selector: u16,
        memory: &dyn GuestBytes,
    ) -> Result<Option<u64>, Refusal> {
        if is_null(selector) {
            return Ok(None);
        }
        let (_, descriptor) = self.descriptor(selector, 8, memory)?;
        if !descriptor.is_readable() || u16::from(descriptor.privilege()) < selector & PRIVILEGE {
            return Err(wrong(GP, selector));
        }
        if !descriptor.is_present() {
            return Err(wrong(NP, selector));
        }
        Ok(Some(descriptor.base()))
    }
}
