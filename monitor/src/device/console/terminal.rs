//! A terminal as input or output: a description of our own that does not wait, and raw mode that is always undone.

use crate::error::{Error, ErrorKind};
use crate::syscall::check;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Ctrl-], the key that ends a guest in raw mode, and leaves one that is watched (as with telnet).
pub(crate) const ESCAPE: u8 = 0x1d;

/// The signals that end a process unless it says otherwise, save SIGKILL, which nothing can be done about, and SIGPIPE, which Rust
/// programs ignore.
const FATAL: [libc::c_int; 21] = [
    libc::SIGABRT,
    libc::SIGALRM,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGHUP,
    libc::SIGILL,
    libc::SIGINT,
    libc::SIGIO,
    libc::SIGPROF,
    libc::SIGPWR,
    libc::SIGQUIT,
    libc::SIGSEGV,
    libc::SIGSTKFLT,
    libc::SIGSYS,
    libc::SIGTERM,
    libc::SIGTRAP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGVTALRM,
    libc::SIGXCPU,
    libc::SIGXFSZ,
];

/// How the terminal was before [`RawMode`]; null where there is nothing to undo.
static SAVED: AtomicPtr<Saved> = AtomicPtr::new(ptr::null_mut());

struct Saved {
    fd: RawFd,
    settings: libc::termios,
}

/// What Ctrl-] does in raw mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EscapeKey {
    /// On the terminal that this process was started from, it sends SIGINT, so that it also reaches a monitor whose guest computes and
    /// never looks at its input. Elsewhere it is read.
    Interrupts,
    /// It is read as any other key.
    IsRead,
}

/// A terminal that passes every key on, until this is dropped or a signal ends the process.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Sets terminal `fd` to raw mode: no echo, no lines, no Ctrl-C, Ctrl-Z, Ctrl-S. Output stays as it is, so that a guest
    /// need not write carriage returns.
    ///
    /// # Errors
    ///
    /// One sentence where `fd` is no terminal, or one is in raw mode for another guest of this process.
    pub(crate) fn enter(fd: RawFd, escape: EscapeKey) -> Result<Self, Error> {
        let settings = settings(fd).map_err(|_| {
            Error::new(
                ErrorKind::BadConfig,
                "raw mode needs a terminal as input: start this in a terminal, or without `--raw`",
            )
        })?;
        let saved = Box::into_raw(Box::new(Saved { fd, settings }));
        if SAVED.compare_exchange(ptr::null_mut(), saved, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            // SAFETY: `saved` came from `Box::into_raw` above and was not published.
            drop(unsafe { Box::from_raw(saved) });
            return Err(Error::new(
                ErrorKind::BadConfig,
                "another guest of this process has a terminal in raw mode: use raw mode for one guest only",
            ));
        }
        let raw_mode = Self(());
        restore_on_fatal_signals();
        let raw = raw_settings(settings, escape == EscapeKey::Interrupts && is_controlling(fd));
        // SAFETY: `raw` is a valid termios that the call only reads.
        check(unsafe { libc::tcsetattr(fd, libc::TCSANOW, &raw const raw) }).map_err(|error| {
            Error::new(
                ErrorKind::HostIo,
                format!("cannot set the terminal to raw mode ({error}): start this in another terminal"),
            )
        })?;
        Ok(raw_mode)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Undoes raw mode, if it is in force. May be called from a signal handler, at any time and more than once: only makes system calls,
/// never waits or allocates.
pub(super) fn restore() {
    let saved = SAVED.swap(ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: the pointer is null, or came from `Box::into_raw` in `RawMode::enter`, and the swap made it ours alone. It is
    // never freed, as freeing is not allowed in a signal handler: 64 bytes for each raw console.
    let Some(saved) = (unsafe { saved.as_ref() }) else { return };
    // SAFETY: the call has no preconditions.
    let group = unsafe { libc::tcgetpgrp(saved.fd) };
    // SAFETY: the call has no preconditions.
    let own = unsafe { libc::getpgrp() };
    // In the background the terminal is the shell's, and setting it would stop us by SIGTTOU. An error: not our controlling
    // terminal, so that there is no job control either.
    if group >= 0 && group != own {
        return;
    }
    // SAFETY: the settings are what `tcgetattr` gave; the call only reads them.
    unsafe { libc::tcsetattr(saved.fd, libc::TCSANOW, &raw const saved.settings) };
}

/// Has [`restore`] called before a signal ends the process: one that is raised by a panic of a program that aborts on it, too.
///
/// The handlers stay when raw mode has ended, as they then do what no handler would. Whoever sets others later, as the monitor does
/// for SIGTERM and the like, ends in a way that drops [`RawMode`].
fn restore_on_fatal_signals() {
    for signal in FATAL {
        let mut old = MaybeUninit::uninit();
        // SAFETY: the call writes the action to `old`.
        if unsafe { libc::sigaction(signal, ptr::null(), old.as_mut_ptr()) } < 0 {
            continue;
        }
        // SAFETY: the call has succeeded and filled it in.
        let mut action: libc::sigaction = unsafe { old.assume_init() };
        // For a bad access, Rust's standard library has a handler, which explains stack overflows and does no more.
        let replaceable =
            action.sa_sigaction == libc::SIG_DFL || signal == libc::SIGSEGV || signal == libc::SIGBUS;
        if !replaceable {
            continue;
        }
        action.sa_sigaction = restore_and_end as extern "C" fn(_) as *const () as usize;
        // ONSTACK: the stack may be what is broken.
        action.sa_flags = libc::SA_RESETHAND | libc::SA_NODEFER | libc::SA_ONSTACK;
        // SAFETY: the action is valid, and its handler does only what may be done in one.
        unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    }
}

extern "C" fn restore_and_end(signal: libc::c_int) {
    restore();
    // SAFETY: the call has no preconditions. The default action is in place again (RESETHAND) and ends the process.
    unsafe { libc::raise(signal) };
}

/// Sets terminal `fd` to raw mode for good, output included: for one of our own.
pub(super) fn make_raw(fd: RawFd) -> io::Result<()> {
    let mut raw = raw_settings(settings(fd)?, false);
    raw.c_oflag &= !libc::OPOST;
    // SAFETY: `raw` is a valid termios that the call only reads.
    check(unsafe { libc::tcsetattr(fd, libc::TCSANOW, &raw const raw) })?;
    Ok(())
}

/// Whether `fd` is a terminal.
pub(crate) fn is_terminal(fd: RawFd) -> bool {
    // SAFETY: the call has no preconditions.
    unsafe { libc::isatty(fd) == 1 }
}

/// Another description of terminal `fd` that does not wait: setting O_NONBLOCK on `fd` would set it for the shell as well.
/// `access` is `O_RDONLY` or `O_WRONLY`. `None` where the host does not let us.
pub(super) fn reopen(fd: RawFd, access: libc::c_int) -> Option<OwnedFd> {
    let mut number: libc::c_int = 0;
    // SAFETY: the call writes one int to `number`.
    if unsafe { libc::ioctl(fd, libc::TIOCGPTN, &raw mut number) } == 0 {
        // The master of a pseudo-terminal: opening it by name makes another one.
        return None;
    }
    let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).ok()?;
    let flags = access | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: `path` is a valid C string.
    let opened = unsafe { libc::open(path.as_ptr(), flags) };
    if opened < 0 {
        return None;
    }
    // SAFETY: `opened` is a new descriptor that nobody else knows.
    let opened = unsafe { OwnedFd::from_raw_fd(opened) };
    (device(opened.as_raw_fd())? == device(fd)?).then_some(opened)
}

/// What `fstat` says of `fd`.
pub(super) fn status(fd: RawFd) -> Option<libc::stat> {
    let mut status = MaybeUninit::uninit();
    // SAFETY: the call writes a `stat` to `status`.
    if unsafe { libc::fstat(fd, status.as_mut_ptr()) } < 0 {
        return None;
    }
    // SAFETY: the call has succeeded and filled it in.
    Some(unsafe { status.assume_init() })
}

fn device(fd: RawFd) -> Option<libc::dev_t> {
    status(fd).map(|status| status.st_rdev)
}

fn settings(fd: RawFd) -> io::Result<libc::termios> {
    let mut settings = MaybeUninit::uninit();
    // SAFETY: the call writes a `termios` to `settings`.
    check(unsafe { libc::tcgetattr(fd, settings.as_mut_ptr()) })?;
    // SAFETY: the call has succeeded and filled it in.
    Ok(unsafe { settings.assume_init() })
}

/// Whether `fd` is the terminal whose keys send signals to this process.
fn is_controlling(fd: RawFd) -> bool {
    // SAFETY: the call has no preconditions.
    let of_terminal = unsafe { libc::tcgetsid(fd) };
    // SAFETY: the call has no preconditions.
    of_terminal >= 0 && of_terminal == unsafe { libc::getsid(0) }
}

fn raw_settings(mut settings: libc::termios, escape_signals: bool) -> libc::termios {
    settings.c_iflag &= !(libc::IGNBRK
        | libc::BRKINT
        | libc::PARMRK
        | libc::ISTRIP
        | libc::INLCR
        | libc::IGNCR
        | libc::ICRNL
        | libc::IXON);
    settings.c_lflag &= !(libc::ECHO | libc::ECHONL | libc::ICANON | libc::ISIG | libc::IEXTEN);
    settings.c_cflag &= !(libc::CSIZE | libc::PARENB);
    settings.c_cflag |= libc::CS8;
    settings.c_cc[libc::VMIN] = 1;
    settings.c_cc[libc::VTIME] = 0;
    if escape_signals {
        // NOFLSH: the signal must not throw away output on its way.
        settings.c_lflag |= libc::ISIG | libc::NOFLSH;
        for key in [libc::VQUIT, libc::VSUSP] {
            settings.c_cc[key] = libc::_POSIX_VDISABLE;
        }
        settings.c_cc[libc::VINTR] = ESCAPE;
    }
    settings
}
