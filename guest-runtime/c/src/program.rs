//! How a program in C begins, and how its devices are declared: the macros for that are in the header's own part.

use alloc::boxed::Box;
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
    arguments.extend(args().map(of_str));
    let count = arguments.len() as c_int;
    arguments.push(ptr::null());
    // SAFETY: the program's own function, with the arguments that C's `main` has: strings that stay for ever, and a null pointer.
    let status = unsafe { main(count, arguments.leak().as_ptr()) };
    // What a process's parent would see of it.
    (status & 0xff) as u8
}

/// A string for C that stays for ever.
fn of_str(text: &str) -> *const c_char {
    let bytes: Vec<u8> = text.bytes().chain([0]).collect();
    Box::leak(bytes.into_boxed_slice()).as_ptr().cast()
}

/// A string of C's; what is not UTF-8 is the empty one.
///
/// # Safety
///
/// `text` is a null pointer or a string that stays as it is as long as the result is in use.
pub(crate) unsafe fn to_str<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: the caller says so.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default()
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
    let message = unsafe { to_str(message) };
    panic!("{message}")
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
    env(name).map_or(ptr::null(), of_str)
}
