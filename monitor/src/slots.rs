//! KVM's memory slots: what of the host's memory the guest-physical addresses stand for.

use crate::device::block::Mapping;
use crate::error::{Error, ErrorKind};
use crate::layout::Layout;
use crate::memory::Memory;
use kvm_bindings::{KVM_MEM_READONLY, kvm_userspace_memory_region};
use kvm_ioctls::VmFd;
use std::ops::Range;

/// Sets the slots of `vm`: the guest's memory with the tables behind it, of which the image's text and other data that does not
/// change is read-only whatever the page tables say, and the disks that are mapped, read-only as well.
///
/// # Errors
///
/// Where KVM refuses one.
pub fn set(vm: &VmFd, layout: &Layout, memory: &Memory, mappings: &[Option<Mapping>]) -> Result<(), Error> {
    let flags = |write| if write { 0 } else { KVM_MEM_READONLY };
    let of_memory = layout.slots().into_iter().map(|(range, write)| {
        let address = memory.host_address() + range.start;
        (range, address, flags(write))
    });
    let of_disks = layout.mappings.iter().zip(mappings).filter_map(|(range, mapping)| {
        Some((range.clone(), mapping.as_ref()?.host_address(), KVM_MEM_READONLY))
    });
    for (number, (range, address, flags)) in (0..).zip(of_memory.chain(of_disks)) {
        set_one(vm, number, &range, address, flags)?;
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
    // SAFETY: the range lies in a mapping of `Memory` or is one of a disk, which outlive the VM: `Vm` drops its fields in that order.
    unsafe { vm.set_user_memory_region(region) }.map_err(|error| {
        let advice = "update the host's kernel, or use a smaller --mem";
        Error::new(ErrorKind::NoKvm, format!("KVM refuses a memory slot of {range:x?}: {error}; {advice}"))
    })
}
