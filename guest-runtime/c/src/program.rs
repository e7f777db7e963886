//! How a program in C begins, and how its devices are declared: the macros for that are in the header's own part.

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::ptr;
use ukvm_runtime::{args, env, exit};

unsafe extern "C" {
    /// The program.
    fn main(count: c_int, arguments: *const *const c_char) -> c_int;
}

/// What the runtime's entry calls.
#[unsafe(no_mangle)]
extern "Rust" fn ukvm_runtime_program_macro_main() -> ! {
    ukvm_runtime::program::run(run())
}

async fn run() -> u8 {
    let mut arguments: Vec<*const c_char> = [c"unikernel".as_ptr()].into();
    arguments.extend(args().map(of_boot_information));
    let count = arguments.len() as c_int;
    arguments.push(ptr::null());
    // SAFETY: the program's own function, with the arguments that C's `main` has: strings that stay for ever, and a null pointer.
    let status = unsafe { main(count, arguments.leak().as_ptr()) };
    // What a process's parent would see of it.
    (status & 0xff) as u8
}

/// The end of a string of the boot information, as C has it: a NUL follows there. What was not UTF-8 is the empty string.
fn of_boot_information(text: &'static str) -> *const c_char {
    if text.is_empty() { c"".as_ptr() } else { text.as_ptr().cast() }
}

/// The bytes of a string of C's.
///
/// # Safety
///
/// `text` is a null pointer or a string that stays as it is as long as the result is in use.
pub(crate) unsafe fn to_bytes<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: the caller says so.
    unsafe { CStr::from_ptr(text) }.to_bytes()
}

/// The same where a name is meant, of which none is but ASCII: what is not UTF-8 is no name.
///
/// # Safety
///
/// As for [`to_bytes`].
pub(crate) unsafe fn to_str<'a>(text: *const c_char) -> &'a str {
    // SAFETY: the caller says so.
    str::from_utf8(unsafe { to_bytes(text) }).unwrap_or_default()
}

/// Ends the program with `status`, once the host has taken all output.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_exit(status: u8) -> ! {
    exit(status)
}

/// Ends the program with `message`, for a state that cannot be: the monitor prints it, and its status is 134.
///
/// # Safety
///
/// `message` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_panic(message: *const c_char) -> ! {
    // SAFETY: the caller says so.
    let message = unsafe { to_bytes(message) };
    panic!("{}", String::from_utf8_lossy(message))
}

/// The value of the environment variable `name`, as `--env NAME=VALUE` gave it, or NULL. Stays for ever.
///
/// # Safety
///
/// `name` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_env(name: *const c_char) -> *const c_char {
    // SAFETY: the caller says so.
    let name = unsafe { to_str(name) };
    env(name).map_or(ptr::null(), of_boot_information)
}
