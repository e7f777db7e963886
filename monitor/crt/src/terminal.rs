//! Terminals: ioctl_tty(2). The kernel's structure has fewer control characters than the C library's, and no speeds.

use crate::call::{checked, failed, raw};
use libc::{c_int, c_ulong, pid_t, termios};

/// `struct termios` of the kernel (`include/uapi/asm-generic/termbits.h`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct KernelTermios {
    modes: [u32; 4],
    line: u8,
    characters: [u8; 19],
}

fn control(file: c_int, request: c_ulong, argument: *mut u8) -> c_int {
    // SAFETY: the callers below pass what the request takes.
    checked(unsafe { raw(libc::SYS_ioctl, [file as usize, request as usize, argument.addr(), 0, 0, 0]) })
        as c_int
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn tcgetattr(file: c_int, to: *mut termios) -> c_int {
    let mut found = KernelTermios::default();
    if control(file, libc::TCGETS, (&raw mut found).cast()) < 0 {
        return -1;
    }
    // SAFETY: a structure of zeroes is a valid value of it.
    let mut attributes: termios = unsafe { core::mem::zeroed() };
    [attributes.c_iflag, attributes.c_oflag, attributes.c_cflag, attributes.c_lflag] = found.modes;
    attributes.c_line = found.line;
    for (to, from) in attributes.c_cc.iter_mut().zip(found.characters) {
        *to = from;
    }
    attributes.c_ispeed = attributes.c_cflag & libc::CBAUD;
    attributes.c_ospeed = attributes.c_ispeed;
    // SAFETY: the caller's pointer is to a structure that it may write.
    unsafe { to.write(attributes) };
    0
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn tcsetattr(file: c_int, when: c_int, from: *const termios) -> c_int {
    let request = match when {
        libc::TCSANOW => libc::TCSETS,
        libc::TCSADRAIN => libc::TCSETSW,
        libc::TCSAFLUSH => libc::TCSETSF,
        _ => return failed(libc::EINVAL) as c_int,
    };
    // SAFETY: the caller's pointer is to a structure.
    let from = unsafe { &*from };
    let mut wanted = KernelTermios {
        modes: [from.c_iflag, from.c_oflag, from.c_cflag, from.c_lflag],
        line: from.c_line,
        ..Default::default()
    };
    for (to, from) in wanted.characters.iter_mut().zip(from.c_cc) {
        *to = from;
    }
    control(file, request, (&raw mut wanted).cast())
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn isatty(file: c_int) -> c_int {
    let mut found = KernelTermios::default();
    c_int::from(control(file, libc::TCGETS, (&raw mut found).cast()) == 0)
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn tcgetpgrp(file: c_int) -> pid_t {
    number(file, libc::TIOCGPGRP)
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn tcgetsid(file: c_int) -> pid_t {
    number(file, libc::TIOCGSID)
}

/// The number that a request gives, or -1.
fn number(file: c_int, request: c_ulong) -> pid_t {
    let mut found: pid_t = 0;
    if control(file, request, (&raw mut found).cast()) < 0 { -1 } else { found }
}
