//! What the processor can do: asked of the processor itself, and told to the guest.

use crate::error::{Error, ErrorKind};
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::{Kvm, VcpuFd};
use std::arch::x86_64::__cpuid;
use std::ffi::CStr;
use std::fs::File;
use std::io::Read;

/// Leaf 1, ECX: VMX.
const VMX: u32 = 1 << 5;
/// Leaf 1, ECX: XSAVE.
const XSAVE: u32 = 1 << 26;
/// Leaf 1, EDX: the count of logical processors is valid.
const MANY_THREADS: u32 = 1 << 28;
/// Leaf 0x8000_0001, ECX: likewise.
const MANY_CORES: u32 = 1 << 1;
/// Leaf 0x8000_0001, ECX: SVM.
const SVM: u32 = 1 << 2;
/// Leaf 0x8000_0007, EDX: the time stamp counter runs at a constant rate in all states.
const INVARIANT_TSC: u32 = 1 << 8;

/// Guest-physical addresses below this need no feature table: KVM takes the processor for one with 36 bits of them without it.
const WITHOUT_TABLE: u64 = 1 << 36;

/// Whether KVM runs guests without the processor's help. Ring 3 then is the host's own: `RDTSC` answers natively, and `CPUID` too where
/// the processor cannot trap it.
///
/// Both this and [`is_tsc_invariant`] first ask the kernel, which takes a microsecond or two: in a virtual machine, and software KVM
/// mostly runs in one, each `CPUID` is an exit to its host and takes ten.
#[must_use]
pub fn is_software_kvm() -> bool {
    const SOFTWARE: &CStr = c"/sys/module/kvm_pvm";
    // SAFETY: the path is a C string that lives for ever.
    if unsafe { libc::access(SOFTWARE.as_ptr(), libc::F_OK) } == 0 {
        return true;
    }
    // Every processor with 64-bit mode has the extended leaves up to 0x8000_0008.
    __cpuid(1).ecx & VMX == 0 && __cpuid(0x8000_0001).ecx & SVM == 0
}

/// Whether the time stamp counter can serve as a clock, by the word of the host's kernel, which watches it, or by the processor's.
#[must_use]
pub fn is_tsc_invariant() -> bool {
    const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let mut name = [0; 4];
    let read = File::open(CLOCK_SOURCE).and_then(|mut file| file.read(&mut name));
    read.is_ok_and(|length| length == name.len() && name == *b"tsc\n")
        || __cpuid(0x8000_0007).edx & INVARIANT_TSC != 0
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

/// Makes of what KVM supports what this guest has: one processor with the number 0, whichever of the host's was asked, and no
/// virtual machines of its own. Layout of the leaves: AMD64 APM, volume 3, appendix E.
fn adapt(entry: &mut kvm_cpuid_entry2) {
    match entry.function {
        1 => {
            entry.ecx &= !VMX;
            entry.edx &= !MANY_THREADS;
            // Number and count of logical processors.
            entry.ebx = entry.ebx & 0xffff | 1 << 16;
        }
        // Cores and threads that share a cache, less 1; cache and rest of the leaf stay.
        4 | 0x8000_001d => entry.eax &= 0x3fff,
        // Processor topology: one at each level, number 0.
        0xb | 0x1f => (entry.eax, entry.ebx, entry.edx) = (0, 1, 0),
        0x8000_0001 => entry.ecx &= !(SVM | MANY_CORES),
        // Cores less 1, and the bits that number them.
        0x8000_0008 => entry.ecx &= !0xf0ff,
        0x8000_001e => (entry.eax, entry.ebx, entry.ecx) = (0, 0, 0),
        _ => {}
    }
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
    let xsave = table.as_slice().iter().any(|entry| entry.function == 1 && entry.ecx & XSAVE != 0);
    table.as_mut_slice().iter_mut().for_each(adapt);
    vcpu.set_cpuid2(&table).map_err(|error| failed("set", error))?;
    Ok(xsave)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapted(function: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> [u32; 4] {
        let mut entry = kvm_cpuid_entry2 { function, eax, ebx, ecx, edx, ..Default::default() };
        adapt(&mut entry);
        [entry.eax, entry.ebx, entry.ecx, entry.edx]
    }

    #[test]
    fn a_guest_has_one_processor_whichever_of_the_hosts_was_asked() {
        let all = [u32::MAX; 4];
        for number in [0, 1, 200] {
            let leaf = [0x0083_0f10, number << 24 | 0x0002_0800, XSAVE | VMX, MANY_THREADS | 1];
            assert_eq!(adapted(1, leaf), [0x0083_0f10, 0x0001_0800, XSAVE, 1]);
            assert_eq!(adapted(0xb, [4, 8, 0x201, number]), [0, 1, 0x201, 0]);
            assert_eq!(adapted(0x8000_001e, [number, 0x100, 0, 0]), [0; 4]);
        }
        assert_eq!(adapted(4, all), [0x3fff, u32::MAX, u32::MAX, u32::MAX]);
        assert_eq!(adapted(0x8000_0001, all)[2], !(SVM | MANY_CORES));
        assert_eq!(adapted(0x8000_0008, [0x2830, 0, 0x7007, 0]), [0x2830, 0, 0, 0]);
        assert_eq!(adapted(7, all), all);
    }
}
