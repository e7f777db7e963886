//! What the processor can do: asked of the processor itself, and told to the guest.

use crate::error::{Error, ErrorKind};
use kvm_bindings::KVM_MAX_CPUID_ENTRIES;
use kvm_ioctls::{Kvm, VcpuFd};
use std::arch::x86_64::__cpuid;

/// Leaf 1, ECX: VMX.
const VMX: u32 = 1 << 5;
/// Leaf 1, ECX: XSAVE.
const XSAVE: u32 = 1 << 26;
/// Leaf 0x8000_0001, ECX: SVM.
const SVM: u32 = 1 << 2;
/// Leaf 0x8000_0007, EDX: the time stamp counter runs at a constant rate in all states.
const INVARIANT_TSC: u32 = 1 << 8;

/// Guest-physical addresses below this need no feature table: KVM takes the processor for one with 36 bits of them without it.
const WITHOUT_TABLE: u64 = 1 << 36;

/// Whether KVM runs guests without the processor's help. Ring 3 then is the host's own: `CPUID` and `RDTSC` answer natively.
///
/// To be asked once: in a virtual machine each `CPUID` is an exit to its host, and takes ten microseconds.
#[must_use]
pub fn is_software_kvm() -> bool {
    // Every processor with 64-bit mode has the extended leaves up to 0x8000_0008.
    __cpuid(1).ecx & VMX == 0 && __cpuid(0x8000_0001).ecx & SVM == 0
}

/// Whether the time stamp counter can serve as a clock, by the processor's word or by that of the host's kernel.
#[must_use]
pub fn is_tsc_invariant() -> bool {
    const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    __cpuid(0x8000_0007).edx & INVARIANT_TSC != 0
        || std::fs::read(CLOCK_SOURCE).is_ok_and(|name| name == b"tsc\n")
}

/// Gives the virtual processor its features, and says whether it is to enable XSAVE (and so AVX). `highest` is one past its highest
/// physical address.
///
/// On software KVM ring 3 reads the host's own CPUID and has the host's own state, and a table would cost more than the rest of the
/// start: it only gets one where its addresses need that.
///
/// # Errors
///
/// Where KVM does not answer or does not accept its own answer.
pub fn set_up(kvm: &Kvm, vcpu: &VcpuFd, software: bool, highest: u64) -> Result<bool, Error> {
    if software && highest <= WITHOUT_TABLE {
        return Ok(false);
    }
    Ok(set(kvm, vcpu)? && !software)
}

/// Tells the guest what KVM supports, and says whether XSAVE (and so AVX) is among it.
///
/// # Errors
///
/// Where KVM does not answer or does not accept its own answer.
fn set(kvm: &Kvm, vcpu: &VcpuFd) -> Result<bool, Error> {
    let failed = |what: &str, error| {
        Error::new(
            ErrorKind::NoKvm,
            format!("cannot {what} the processor's features: {error}; update the host's kernel"),
        )
    };
    let mut table =
        kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(|error| failed("ask KVM for", error))?;
    let mut xsave = false;
    for entry in table.as_mut_slice() {
        match entry.function {
            1 => {
                xsave = entry.ecx & XSAVE != 0;
                entry.ecx &= !VMX;
            }
            0x8000_0001 => entry.ecx &= !SVM,
            _ => {}
        }
    }
    vcpu.set_cpuid2(&table).map_err(|error| failed("set", error))?;
    Ok(xsave)
}
