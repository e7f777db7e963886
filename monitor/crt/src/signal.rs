//! Signals: actions as the kernel has them, and sets.

use crate::call::{checked, error, raw};
use crate::thread;
use crate::wrappers::SIGNAL_SET;
use core::arch::global_asm;
use libc::{c_int, sigaction as Action, sighandler_t, sigset_t};

/// The return from a handler is this code's (Linux, `arch/x86/include/uapi/asm/signal.h`).
const SA_RESTORER: c_int = 0x0400_0000;

/// `struct kernel_sigaction`, whose order is another one than that of the C library's.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct KernelAction {
    handler: sighandler_t,
    flags: usize,
    restorer: usize,
    mask: u64,
}

// A handler returns to this: rt_sigreturn(2).
global_asm!(
    ".pushsection .text.ukvm_crt_restore,\"ax\",@progbits",
    ".type ukvm_crt_restore,@function",
    ".globl ukvm_crt_restore",
    ".hidden ukvm_crt_restore",
    "ukvm_crt_restore:",
    "mov eax, 15",
    "syscall",
    ".popsection",
);

unsafe extern "C" {
    fn ukvm_crt_restore();
}

/// The set's first 64 signals, which are all that Linux has.
fn mask(set: &sigset_t) -> u64 {
    // SAFETY: a set is 128 bytes of numbers.
    unsafe { core::ptr::from_ref(set).cast::<u64>().read() }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int {
    // SAFETY: the caller's pointer is null or to a live action.
    let to = unsafe { new.as_ref() }.map(|new| KernelAction {
        handler: new.sa_sigaction,
        flags: (new.sa_flags | SA_RESTORER) as usize,
        restorer: ukvm_crt_restore as *const () as usize,
        mask: mask(&new.sa_mask),
    });
    let mut from = KernelAction::default();
    let to = to.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    let arguments = [signal as usize, to.addr(), (&raw mut from).addr(), SIGNAL_SET, 0, 0];
    // SAFETY: both structures are live and the kernel's; the caller answers for the handler.
    let result = checked(unsafe { raw(libc::SYS_rt_sigaction, arguments) });
    // SAFETY: the caller's pointer is null or to an action that it may write.
    let old = unsafe { old.as_mut() };
    if let Some(old) = old.filter(|_| result == 0) {
        old.sa_sigaction = from.handler;
        old.sa_flags = from.flags as c_int & !SA_RESTORER;
        // SAFETY: a set is 128 bytes of numbers, of which the kernel knows the first 8.
        unsafe { core::ptr::from_mut(&mut old.sa_mask).cast::<u64>().write(from.mask) };
    }
    result as c_int
}

/// As 4.3BSD has it: calls that a signal interrupts go on.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn signal(signal: c_int, handler: sighandler_t) -> sighandler_t {
    // SAFETY: an action of zeroes is a valid value of it.
    let mut new: Action = unsafe { core::mem::zeroed() };
    new.sa_sigaction = handler;
    new.sa_flags = libc::SA_RESTART;
    // SAFETY: as above.
    let mut old: Action = unsafe { core::mem::zeroed() };
    // SAFETY: both are live; the caller answers for the handler.
    match unsafe { sigaction(signal, &raw const new, &raw mut old) } {
        0 => old.sa_sigaction,
        _ => libc::SIG_ERR,
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn pthread_sigmask(how: c_int, new: *const sigset_t, old: *mut sigset_t) -> c_int {
    let arguments = [how as usize, new.addr(), old.addr(), SIGNAL_SET, 0, 0];
    // SAFETY: the caller's pointers are null or to live sets, of which the kernel reads and writes the first 8 bytes.
    error(unsafe { raw(libc::SYS_rt_sigprocmask, arguments) }).unwrap_or(0)
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn sigfillset(set: *mut sigset_t) -> c_int {
    // SAFETY: the caller's pointer is to a set, 128 bytes of numbers.
    unsafe { core::ptr::write_bytes(set.cast::<u8>(), 0xff, size_of::<sigset_t>()) };
    0
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn sigemptyset(set: *mut sigset_t) -> c_int {
    // SAFETY: the caller's pointer is to a set, 128 bytes of numbers.
    unsafe { core::ptr::write_bytes(set.cast::<u8>(), 0, size_of::<sigset_t>()) };
    0
}

/// Signals count from 1.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn sigaddset(set: *mut sigset_t, signal: c_int) -> c_int {
    let Some(bit) = u32::try_from(signal - 1).ok().filter(|bit| *bit < u64::BITS) else {
        return crate::call::failed(libc::EINVAL) as c_int;
    };
    // SAFETY: the caller's pointer is to a set, aligned to 8 bytes, whose first word has all signals.
    unsafe { *set.cast::<u64>() |= 1 << bit };
    0
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn raise(signal: c_int) -> c_int {
    let id = |number| {
        // SAFETY: the calls have no arguments and cannot fail.
        unsafe { raw(number, [0; 6]) }
    };
    let arguments = [id(libc::SYS_getpid), id(libc::SYS_gettid), signal as usize, 0, 0, 0];
    // SAFETY: the call takes numbers; what the signal does is what the caller wants.
    checked(unsafe { raw(libc::SYS_tgkill, arguments) }) as c_int
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn abort() -> ! {
    raise(libc::SIGABRT);
    // It is caught or ignored.
    // SAFETY: an action of zeroes is the signal's own.
    let default: Action = unsafe { core::mem::zeroed() };
    // SAFETY: the action is live and runs no handler.
    unsafe { sigaction(libc::SIGABRT, &raw const default, core::ptr::null_mut()) };
    raise(libc::SIGABRT);
    thread::exit_process(127)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_the_kernels_bits() {
        // SAFETY: a set of zeroes is a valid value of it.
        let mut set: sigset_t = unsafe { core::mem::zeroed() };
        for signal in [1, 15, 64] {
            // SAFETY: the set is live.
            assert_eq!(unsafe { sigaddset(&raw mut set, signal) }, 0);
        }
        assert_eq!(mask(&set), 1 | 1 << 14 | 1 << 63);
        // SAFETY: the set is live.
        unsafe { sigfillset(&raw mut set) };
        assert_eq!(mask(&set), u64::MAX);
        // SAFETY: the set is live.
        unsafe { sigemptyset(&raw mut set) };
        assert_eq!(mask(&set), 0);
    }
}
