//! System calls: System V ABI, x86-64 supplement, section A.2.1.

use crate::thread;
use core::arch::asm;

/// Results above this are errors, negated: Linux's `MAX_ERRNO`.
const FIRST_ERROR: usize = usize::MAX - 4095;

/// Makes a system call; its result as the kernel gives it.
///
/// # Safety
///
/// The arguments are what the call takes, and what it does breaks nothing that Rust relies on.
#[inline]
pub(crate) unsafe fn raw(number: libc::c_long, arguments: [usize; 6]) -> usize {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: the kernel takes these registers and changes RAX, RCX and R11 only; what else it does is the caller's to know.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as usize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// The error number in a system call's result, if it is one.
#[inline]
pub(crate) fn error(result: usize) -> Option<i32> {
    (result >= FIRST_ERROR).then(|| result.wrapping_neg() as i32)
}

/// A system call's result as C functions give it: -1 for an error, whose number is then in `errno`.
#[inline]
pub(crate) fn checked(result: usize) -> isize {
    match error(result) {
        Some(number) => failed(number),
        None => result.cast_signed(),
    }
}

/// Puts `number` into `errno`; -1.
pub(crate) fn failed(number: i32) -> isize {
    // SAFETY: the place of `errno` is this thread's own, and nobody holds a reference to it.
    unsafe { *thread::errno() = number };
    -1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_page_of_numbers_are_errors() {
        assert_eq!(error(0), None);
        assert_eq!(error(usize::MAX), Some(1));
        assert_eq!(error(usize::MAX - 4094), Some(4095));
        assert_eq!(error(FIRST_ERROR - 1), None);
        assert_eq!(checked(7), 7);
    }
}
