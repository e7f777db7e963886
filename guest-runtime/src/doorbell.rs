//! The one privileged instruction of a guest: the `OUT` that rings the monitor.

use ukvm_abi::doorbell::{Function, PORT};

/// Rings the doorbell and returns when the monitor has done what `function` says.
pub(crate) fn ring(function: Function, argument: u8) {
    let value = function.encode(argument);
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
