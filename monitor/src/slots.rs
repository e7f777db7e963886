//! KVM's memory slots: what of the host's memory the guest-physical addresses stand for.

use crate::error::{Error, ErrorKind};
use crate::layout::Layout;
use crate::memory::Memory;
use crate::paging::Tables;
use kvm_bindings::{KVM_MEM_READONLY, kvm_userspace_memory_region};
use kvm_ioctls::VmFd;
use std::ops::Range;

/// Sets the slots of `vm`: the tables, and the guest's memory, of which text and other data that does not change is
/// read-only whatever the page tables say.
///
/// # Errors
///
/// Where KVM refuses one.
pub fn set(vm: &VmFd, layout: &Layout, memory: &Memory, tables: &Tables) -> Result<(), Error> {
    let (range, address) = tables.slot();
    set_one(vm, 0, &range, address, 0)?;
    for (number, (range, write)) in (1..).zip(layout.slots()) {
        let flags = if write { 0 } else { KVM_MEM_READONLY };
        set_one(vm, number, &range, memory.host_address() + range.start, flags)?;
    }
    Ok(())
}

fn set_one(vm: &VmFd, slot: u32, range: &Range<u64>, address: u64, flags: u32) -> Result<(), Error> {
    let region = kvm_userspace_memory_region {
        slot,
        flags,
        guest_phys_addr: range.start,
        memory_size: range.end - range.start,
        userspace_addr: address,
    };
    // SAFETY: the range lies in a mapping of `Memory`, which outlives the VM: `Vm` drops its fields in that order.
    unsafe { vm.set_user_memory_region(region) }.map_err(|error| {
        let advice = "update the host's kernel, or use a smaller --mem";
        Error::new(ErrorKind::NoKvm, format!("KVM refuses a memory slot of {range:x?}: {error}; {advice}"))
    })
}
