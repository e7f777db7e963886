//! The first instruction, and what the monitor says there.

use crate::local::Local;
#[cfg(not(feature = "hosted"))]
use crate::time::counter;
use crate::{doorbell, ring};
use core::slice;
use ukvm_abi::boot_info::{BootInfo, Range};
use ukvm_abi::doorbell::Function;

static BOOT_INFO: Local<Option<&'static BootInfo>> = Local::new(None);

unsafe extern "Rust" {
    /// Defined by [`program!`](crate::program); a link error that names it means that the macro was left out.
    safe fn ukvm_runtime_program_macro_main() -> !;
}

/// The ELF entry point. The monitor starts a guest as if this function had been called: relocated, on its stack, with
/// the boot information as its argument.
///
/// # Safety
///
/// For the monitor only, once.
#[cfg(not(feature = "hosted"))]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.startup.ukvm")]
unsafe extern "C" fn _start(boot_info: &'static BootInfo) -> ! {
    let time = counter();
    // SAFETY: it is the monitor's, and this is the only call.
    unsafe { begin(boot_info, time) }
}

/// Runs the program, which the monitor has started at `time`.
///
/// # Safety
///
/// `boot_info` is the monitor's, and this is the only call.
#[unsafe(link_section = ".text.startup.ukvm")]
#[inline(always)]
pub(crate) unsafe fn begin(boot_info: &'static BootInfo, time: u64) -> ! {
    assert!(
        boot_info.size as usize >= size_of::<BootInfo>(),
        "the monitor's boot information is shorter than ABI version 1 has it"
    );
    BOOT_INFO.with(|place| *place = Some(boot_info));
    // SAFETY: these are the rings that the monitor made for this vCPU, fresh, and this is the only call.
    unsafe { ring::install(boot_info, time) };
    ukvm_runtime_program_macro_main()
}

/// What the monitor told the guest at its first instruction.
pub fn boot_info() -> &'static BootInfo {
    BOOT_INFO.with(|place| place.expect("the boot information is there from the first instruction on"))
}

/// Ends the guest with `status`, once the host has taken all output.
#[unsafe(link_section = ".text.startup.ukvm")]
pub fn exit(status: u8) -> ! {
    crate::console::drain();
    doorbell::end(Function::Exit, status)
}

/// The program's arguments: what follows `--` on the monitor's command line.
pub fn args() -> impl Iterator<Item = &'static str> + Clone {
    let boot_info = boot_info();
    strings(boot_info.arguments, boot_info.argument_count)
}

/// The value of the environment variable `name`, as `--env NAME=VALUE` gave it; the last one if there are several.
pub fn env(name: &str) -> Option<&'static str> {
    vars().filter_map(|(key, value)| (key == name).then_some(value)).last()
}

/// The environment: names and values, in the order of the monitor's command line.
pub fn vars() -> impl Iterator<Item = (&'static str, &'static str)> + Clone {
    let boot_info = boot_info();
    strings(boot_info.environment, boot_info.environment_count).filter_map(|text| text.split_once('='))
}

fn strings(range: Range, count: u64) -> impl Iterator<Item = &'static str> + Clone {
    let bytes: &'static [u8] = match range.length {
        0 => &[],
        // SAFETY: the monitor put `length` bytes there, in pages that nobody writes any more.
        length => unsafe { slice::from_raw_parts(range.start as *const u8, length as usize) },
    };
    // What is not UTF-8 reads as empty, so that the places of the others stay.
    bytes.split(|&byte| byte == 0).take(count as usize).map(|text| str::from_utf8(text).unwrap_or_default())
}
