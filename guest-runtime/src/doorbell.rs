//! The one privileged instruction of a guest: the `OUT` that rings the monitor.

use ukvm_abi::doorbell::Function;
#[cfg(not(feature = "hosted"))]
use ukvm_abi::doorbell::PORT;

/// Rings the doorbell and returns when the monitor has done what `function` says.
pub(crate) fn ring(function: Function, argument: u8) {
    ring_with(function.encode(argument));
}

#[cfg(feature = "hosted")]
use crate::hosted::ring as ring_with;

#[cfg(not(feature = "hosted"))]
#[inline(always)]
fn ring_with(value: u32) {
    // SAFETY: the contract gives a guest this port in this width. The monitor may read and write what requests
    // name, which the block, having no `nomem`, lets the compiler know.
    unsafe {
        core::arch::asm!("out dx, eax", in("dx") PORT, in("eax") value, options(nostack, preserves_flags));
    }
}

/// Ends the guest: with its own status, or as one that panicked.
pub(crate) fn end(function: Function, argument: u8) -> ! {
    loop {
        ring(function, argument);
    }
}
