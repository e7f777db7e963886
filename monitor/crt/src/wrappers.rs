//! Functions that are a system call each. Their manual pages in section 2 describe them.

use crate::call::{checked, error, raw};
use libc::{
    AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, c_char, c_int, c_long, c_uint, c_ulong, c_void, clockid_t,
    iovec, itimerspec, loff_t, mode_t, nfds_t, off_t, pid_t, pollfd, size_t, sockaddr, socklen_t, ssize_t,
    stat, statfs, sysinfo as sysinfo_t, timer_t, timespec, uid_t,
};

/// The kernel's sets of signals have 64 bits.
pub(crate) const SIGNAL_SET: usize = 8;

/// The arguments that there are, and zeroes behind them.
fn six<const COUNT: usize>(arguments: [usize; COUNT]) -> [usize; 6] {
    let mut six = [0; 6];
    for (to, from) in six.iter_mut().zip(arguments) {
        *to = from;
    }
    six
}

macro_rules! calls {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty = $number:ident($($passed:expr),*);)*) => {$(
        #[cfg_attr(not(test), unsafe(no_mangle))]
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            // SAFETY: the caller keeps the contract of the function, which is that of the system call.
            checked(unsafe { raw(libc::$number, six([$($passed as usize),*])) }) as $result
        }
    )*};
}

// Files.
calls! {
    open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int = SYS_openat(AT_FDCWD, path, flags, mode);
    open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int = SYS_openat(AT_FDCWD, path, flags, mode);
    close(file: c_int) -> c_int = SYS_close(file);
    read(file: c_int, to: *mut c_void, count: size_t) -> ssize_t = SYS_read(file, to, count);
    write(file: c_int, from: *const c_void, count: size_t) -> ssize_t = SYS_write(file, from, count);
    pread(file: c_int, to: *mut c_void, count: size_t, at: off_t) -> ssize_t = SYS_pread64(file, to, count, at);
    pread64(file: c_int, to: *mut c_void, count: size_t, at: off_t) -> ssize_t = SYS_pread64(file, to, count, at);
    pwrite(file: c_int, from: *const c_void, count: size_t, at: off_t) -> ssize_t = SYS_pwrite64(file, from, count, at);
    pwrite64(file: c_int, from: *const c_void, count: size_t, at: off_t) -> ssize_t = SYS_pwrite64(file, from, count, at);
    readv(file: c_int, to: *const iovec, count: c_int) -> ssize_t = SYS_readv(file, to, count);
    writev(file: c_int, from: *const iovec, count: c_int) -> ssize_t = SYS_writev(file, from, count);
    // The kernel takes an offset in two halves, of which 64-bit processors use the first.
    preadv2(file: c_int, to: *const iovec, count: c_int, at: off_t, flags: c_int) -> ssize_t
        = SYS_preadv2(file, to, count, at, 0, flags);
    pwritev2(file: c_int, from: *const iovec, count: c_int, at: off_t, flags: c_int) -> ssize_t
        = SYS_pwritev2(file, from, count, at, 0, flags);
    lseek64(file: c_int, at: loff_t, whence: c_int) -> loff_t = SYS_lseek(file, at, whence);
    ftruncate64(file: c_int, length: loff_t) -> c_int = SYS_ftruncate(file, length);
    fallocate(file: c_int, mode: c_int, at: off_t, length: off_t) -> c_int = SYS_fallocate(file, mode, at, length);
    fdatasync(file: c_int) -> c_int = SYS_fdatasync(file);
    flock(file: c_int, operation: c_int) -> c_int = SYS_flock(file, operation);
    fstat(file: c_int, to: *mut stat) -> c_int = SYS_newfstatat(file, c"".as_ptr(), to, AT_EMPTY_PATH);
    fstat64(file: c_int, to: *mut stat) -> c_int = SYS_newfstatat(file, c"".as_ptr(), to, AT_EMPTY_PATH);
    stat64(path: *const c_char, to: *mut stat) -> c_int = SYS_newfstatat(AT_FDCWD, path, to, 0);
    fstatfs(file: c_int, to: *mut statfs) -> c_int = SYS_fstatfs(file, to);
    statx(directory: c_int, path: *const c_char, flags: c_int, mask: c_uint, to: *mut c_void) -> c_int
        = SYS_statx(directory, path, flags, mask, to);
    access(path: *const c_char, mode: c_int) -> c_int = SYS_access(path, mode);
    readlink(path: *const c_char, to: *mut c_char, size: size_t) -> ssize_t = SYS_readlink(path, to, size);
    dup(file: c_int) -> c_int = SYS_dup(file);
    fcntl(file: c_int, command: c_int, argument: c_ulong) -> c_int = SYS_fcntl(file, command, argument);
    ioctl(file: c_int, request: c_ulong, argument: *mut c_void) -> c_int = SYS_ioctl(file, request, argument);
    eventfd(value: c_uint, flags: c_int) -> c_int = SYS_eventfd2(value, flags);
    poll(files: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int = SYS_poll(files, count, timeout);
    socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int = SYS_socket(domain, kind, protocol);
    bind(file: c_int, address: *const sockaddr, length: socklen_t) -> c_int = SYS_bind(file, address, length);
    listen(file: c_int, backlog: c_int) -> c_int = SYS_listen(file, backlog);
    accept4(file: c_int, address: *mut sockaddr, length: *mut socklen_t, flags: c_int) -> c_int
        = SYS_accept4(file, address, length, flags);
    connect(file: c_int, address: *const sockaddr, length: socklen_t) -> c_int
        = SYS_connect(file, address, length);
    shutdown(file: c_int, direction: c_int) -> c_int = SYS_shutdown(file, direction);
    fchmod(file: c_int, mode: mode_t) -> c_int = SYS_fchmod(file, mode);
    lstat64(path: *const c_char, to: *mut stat) -> c_int
        = SYS_newfstatat(AT_FDCWD, path, to, AT_SYMLINK_NOFOLLOW);
    unlink(path: *const c_char) -> c_int = SYS_unlink(path);
}

// Memory.
calls! {
    mmap(start: *mut c_void, length: size_t, rights: c_int, flags: c_int, file: c_int, at: off_t) -> *mut c_void
        = SYS_mmap(start, length, rights, flags, file, at);
    mmap64(start: *mut c_void, length: size_t, rights: c_int, flags: c_int, file: c_int, at: off_t) -> *mut c_void
        = SYS_mmap(start, length, rights, flags, file, at);
    mremap(start: *mut c_void, old: size_t, new: size_t, flags: c_int, to: *mut c_void) -> *mut c_void
        = SYS_mremap(start, old, new, flags, to);
    mprotect(start: *mut c_void, length: size_t, rights: c_int) -> c_int = SYS_mprotect(start, length, rights);
    munmap(start: *mut c_void, length: size_t) -> c_int = SYS_munmap(start, length);
    madvise(start: *mut c_void, length: size_t, advice: c_int) -> c_int = SYS_madvise(start, length, advice);
}

// Processes and signals.
calls! {
    getpid() -> pid_t = SYS_getpid();
    gettid() -> pid_t = SYS_gettid();
    getuid() -> uid_t = SYS_getuid();
    getpgrp() -> pid_t = SYS_getpgrp();
    getsid(process: pid_t) -> pid_t = SYS_getsid(process);
    pause() -> c_int = SYS_pause();
    prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int = SYS_prctl(option, a, b, c, d);
    sched_getaffinity(process: pid_t, size: size_t, to: *mut c_void) -> c_int
        = SYS_sched_getaffinity(process, size, to);
    sigaltstack(new: *const c_void, old: *mut c_void) -> c_int = SYS_sigaltstack(new, old);
    sysinfo(to: *mut sysinfo_t) -> c_int = SYS_sysinfo(to);
    getrandom(to: *mut c_void, length: size_t, flags: c_uint) -> ssize_t = SYS_getrandom(to, length, flags);
}

// Time.
calls! {
    clock_gettime(clock: clockid_t, to: *mut timespec) -> c_int = SYS_clock_gettime(clock, to);
    nanosleep(time: *const timespec, left: *mut timespec) -> c_int = SYS_nanosleep(time, left);
    timer_delete(timer: timer_t) -> c_int = SYS_timer_delete(timer);
    timer_settime(timer: timer_t, flags: c_int, new: *const itimerspec, old: *mut itimerspec) -> c_int
        = SYS_timer_settime(timer, flags, new, old);
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    // SAFETY: the caller keeps the contract of the system call that it names.
    checked(unsafe { raw(number, [a, b, c, d, e, f]) }) as c_long
}

/// Unlike the system call it leaves the time as it is.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn ppoll(
    files: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const c_void,
) -> c_int {
    // SAFETY: the caller's pointer is null or to a live time.
    let mut copy = unsafe { timeout.as_ref() }.copied();
    let time = copy.as_mut().map_or(core::ptr::null_mut(), core::ptr::from_mut);
    let arguments = [files.addr(), count as usize, time.addr(), mask.addr(), SIGNAL_SET, 0];
    // SAFETY: the caller keeps the contract of the system call; `copy` outlives it.
    checked(unsafe { raw(libc::SYS_ppoll, arguments) }) as c_int
}

/// Gives an error's number itself, and leaves `errno` alone.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn clock_nanosleep(
    clock: clockid_t,
    flags: c_int,
    time: *const timespec,
    left: *mut timespec,
) -> c_int {
    let arguments = [clock as usize, flags as usize, time.addr(), left.addr(), 0, 0];
    // SAFETY: the caller keeps the contract of the system call.
    error(unsafe { raw(libc::SYS_clock_nanosleep, arguments) }).unwrap_or(0)
}

/// The kernel has numbers of 32 bits for timers; a `timer_t` holds one.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn timer_create(
    clock: clockid_t,
    event: *mut libc::sigevent,
    timer: *mut timer_t,
) -> c_int {
    let mut number: c_int = 0;
    let arguments = [clock as usize, event.addr(), (&raw mut number).addr(), 0, 0, 0];
    // SAFETY: the caller keeps the contract of the system call; the number is live.
    let result = checked(unsafe { raw(libc::SYS_timer_create, arguments) });
    if result == 0 {
        // SAFETY: the caller's pointer is to a timer that it may write.
        unsafe { *timer = core::ptr::without_provenance_mut(number as usize) };
    }
    result as c_int
}
