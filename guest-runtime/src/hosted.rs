//! A program as a process of Linux: where it begins, and who is behind its doorbell.

use crate::local::Local;
use crate::time::counter;
use crate::{entry, panic};
use core::ffi::{c_char, c_int};
use std::process;
use ukvm::hosted::Host;
use ukvm_abi::boot_info::BootInfo;
use ukvm_abi::note::PREFIX_SIZE;

static HOST: Local<Option<Host>> = Local::new(None);

unsafe extern "Rust" {
    /// Defined by [`program!`](crate::program); a link error that names it means that the macro was left out.
    safe fn ukvm_runtime_program_macro_note() -> &'static [u8];
}

/// What the C library calls.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    let descriptor = ukvm_runtime_program_macro_note().get(PREFIX_SIZE..).unwrap_or_default();
    let host = Host::of_command_line(descriptor);
    let boot_info = host.boot_info() as *const BootInfo;
    HOST.with(|place| *place = Some(host));
    panic::hook();
    // SAFETY: the host has put it there, where it stays until the process ends.
    let boot_info = unsafe { &*boot_info };
    // SAFETY: it is the monitor's, and the C library calls this function once.
    unsafe { entry::begin(boot_info, counter()) }
}

/// Rings the doorbell. Does not return where the program is not to go on.
pub(crate) fn ring(value: u32) {
    let rung = HOST.try_with(|host| host.as_mut().map(|host| host.ring(value)));
    match rung {
        Some(Some(Ok(()))) => {}
        Some(Some(Err(stop))) => {
            if let Some(host) = HOST.with(Option::take) {
                host.end(stop);
            }
        }
        // What serves the doorbell has panicked itself, and the hook has come here.
        _ => process::abort(),
    }
}
