//! What comes from outside while a guest runs: signals and timers.
//!
//! A signal handler notes what came, makes the next `KVM_RUN` return at once, and writes to an eventfd that every wait
//! includes. So nothing is lost, wherever the thread is: computing in the guest, waiting for a device, or between a check and
//! the call that it guards.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// The signals that ask a guest to end.
const SIGNALS: [libc::c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// The clocks that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Timer {
    /// The guest's whole time.
    Timeout = 1,
    /// Its time to obey a shutdown notice.
    Grace = 2,
}

/// What came since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The whole time is over.
    pub timeout: bool,
    /// The time to obey is over.
    pub grace: bool,
    /// How many signals came that ask the guest to end.
    pub signals: u32,
    /// The number of the last of them.
    pub signal: i32,
}

/// Everything that a handler touches.
#[derive(Debug)]
struct Shared {
    timers: AtomicU32,
    signals: AtomicU32,
    signal: AtomicI32,
    immediate_exit: AtomicPtr<u8>,
    event: EventFd,
}

thread_local! {
    /// What a handler on this thread notes its signal in.
    static CURRENT: Cell<*const Shared> = const { Cell::new(ptr::null()) };
}

/// The signals and timers of the guest that this thread runs.
#[derive(Debug)]
pub struct Interrupts {
    shared: Rc<Shared>,
    timers: Vec<libc::timer_t>,
    /// Handlers to put back.
    replaced: Vec<(libc::c_int, libc::sigaction)>,
}

impl Interrupts {
    /// Catches timers from now on and, with `signals`, SIGTERM, SIGINT and SIGHUP, unless the process ignores them.
    ///
    /// A thread has one of these at a time.
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn new(signals: bool) -> io::Result<Self> {
        let shared = Rc::new(Shared {
            timers: AtomicU32::new(0),
            signals: AtomicU32::new(0),
            signal: AtomicI32::new(0),
            immediate_exit: AtomicPtr::new(ptr::null_mut()),
            event: EventFd::new(EFD_NONBLOCK | libc::EFD_CLOEXEC)?,
        });
        CURRENT.set(Rc::as_ptr(&shared));
        let mut interrupts = Self { shared, timers: Vec::new(), replaced: Vec::new() };
        interrupts.catch(libc::SIGALRM)?;
        if signals {
            for signal in SIGNALS {
                interrupts.catch(signal)?;
            }
        }
        Ok(interrupts)
    }

    /// Names the byte that makes the virtual processor's next run return at once; null: there is none any more.
    pub fn watch(&self, immediate_exit: *mut u8) {
        self.shared.immediate_exit.store(immediate_exit, Ordering::SeqCst);
        if self.shared.timers.load(Ordering::SeqCst) != 0 || self.shared.signals.load(Ordering::SeqCst) != 0 {
            self.shared.end_run();
        }
    }

    /// A descriptor that is readable while something came.
    #[must_use]
    pub fn event(&self) -> RawFd {
        self.shared.event.as_raw_fd()
    }

    /// What came since the last call.
    #[must_use]
    pub fn take(&self) -> Pending {
        let shared = &self.shared;
        let run = shared.immediate_exit.load(Ordering::SeqCst);
        if !run.is_null() {
            // SAFETY: `watch` was given the address of a byte in the processor's run structure, which lives until `watch(null)`;
            // a handler on this same thread is all that writes to it besides.
            unsafe { run.write_volatile(0) };
        }
        // Only then: what comes from here on sets the byte again.
        let _ = shared.event.read();
        let timers = shared.timers.swap(0, Ordering::SeqCst);
        Pending {
            timeout: timers & Timer::Timeout as u32 != 0,
            grace: timers & Timer::Grace as u32 != 0,
            signals: shared.signals.swap(0, Ordering::SeqCst),
            signal: shared.signal.load(Ordering::SeqCst),
        }
    }

    /// Lets `timer` run out after `time`.
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn arm(&mut self, timer: Timer, time: Duration) -> io::Result<()> {
        // SAFETY: a sigevent of zeroes is a valid value of it.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGALRM;
        event.sigev_value = libc::sigval { sival_ptr: ptr::without_provenance_mut(timer as usize) };
        // Not the C library's `gettid`: the standard library declares it as a weak symbol, and once link-time optimisation has
        // merged the two, a static link leaves it null.
        // SAFETY: the call has no arguments and cannot fail.
        event.sigev_notify_thread_id = unsafe { libc::syscall(libc::SYS_gettid) } as libc::pid_t;
        let mut id: libc::timer_t = ptr::null_mut();
        // SAFETY: both pointers are to live values of the types that the call takes.
        check(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id) })?;
        self.timers.push(id);
        // A time of 0 would switch the timer off.
        let time = time.max(Duration::from_nanos(1));
        let spec = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
                tv_nsec: time.subsec_nanos().into(),
            },
        };
        // SAFETY: `id` was made above; `spec` is live; a null pointer says that the old value is not wanted.
        check(unsafe { libc::timer_settime(id, 0, &raw const spec, ptr::null_mut()) })
    }

    fn catch(&mut self, signal: libc::c_int) -> io::Result<()> {
        // SAFETY: a sigaction of zeroes is a valid value of it.
        let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: a null pointer says that nothing is to be changed; `old` is live.
        check(unsafe { libc::sigaction(signal, ptr::null(), &raw mut old) })?;
        if signal != libc::SIGALRM && old.sa_sigaction == libc::SIG_IGN {
            return Ok(());
        }
        // SAFETY: as above.
        let mut new: libc::sigaction = unsafe { std::mem::zeroed() };
        new.sa_sigaction = on_signal as extern "C" fn(_, _, _) as *const () as usize;
        // No SA_RESTART: a call that waits must return.
        new.sa_flags = libc::SA_SIGINFO;
        // SAFETY: `new.sa_mask` is a live signal set.
        check(unsafe { libc::sigfillset(&raw mut new.sa_mask) })?;
        // SAFETY: `on_signal` has the signature that SA_SIGINFO asks for and calls nothing that is not async-signal-safe.
        check(unsafe { libc::sigaction(signal, &raw const new, ptr::null_mut()) })?;
        self.replaced.push((signal, old));
        unblock(signal)
    }
}

impl Shared {
    fn end_run(&self) {
        let run = self.immediate_exit.load(Ordering::SeqCst);
        if !run.is_null() {
            // SAFETY: `watch` was given the address of a byte that lives until `watch(null)`.
            unsafe { run.write_volatile(1) };
        }
    }
}

extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let shared = CURRENT.get();
    if shared.is_null() {
        return;
    }
    // SAFETY: the pointer is set while the `Interrupts` that holds this value lives, and cleared before it goes.
    let shared = unsafe { &*shared };
    // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler.
    let info = unsafe { &*info };
    if info.si_code == libc::SI_TIMER {
        // SAFETY: with SI_TIMER the value is the one that `arm` gave.
        let value = unsafe { info.si_value() };
        shared.timers.fetch_or(value.sival_ptr.addr() as u32, Ordering::SeqCst);
    } else if signal != libc::SIGALRM {
        shared.signal.store(signal, Ordering::SeqCst);
        shared.signals.fetch_add(1, Ordering::SeqCst);
    }
    shared.end_run();
    // SAFETY: errno belongs to this thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; what the handler interrupted must find it unchanged.
    let saved = unsafe { errno.read() };
    let one = 1_u64.to_ne_bytes();
    // SAFETY: eight live bytes; write is async-signal-safe. An eventfd that is full already is readable, which is all that is wanted.
    unsafe { libc::write(shared.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    // SAFETY: as above.
    unsafe { errno.write(saved) };
}

fn unblock(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: a signal set of zeroes is the empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is live and `signal` a signal's number.
    check(unsafe { libc::sigaddset(&raw mut set, signal) })?;
    // SAFETY: `set` is live; a null pointer says that the old mask is not wanted.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        for &timer in &self.timers {
            // SAFETY: `arm` made the timer, and this is the only place that deletes it.
            unsafe { libc::timer_delete(timer) };
        }
        for (signal, old) in &self.replaced {
            // SAFETY: `old` is what the same call returned for this signal.
            unsafe { libc::sigaction(*signal, &raw const *old, ptr::null_mut()) };
        }
        CURRENT.set(ptr::null());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_ends_a_wait_and_the_next_run() {
        let mut interrupts = Interrupts::new(false).unwrap();
        let mut byte = 0_u8;
        interrupts.watch(&raw mut byte);
        interrupts.arm(Timer::Grace, Duration::from_millis(5)).unwrap();
        let mut wanted = libc::pollfd { fd: interrupts.event(), events: libc::POLLIN, revents: 0 };
        loop {
            // SAFETY: one live pollfd.
            let ready = unsafe { libc::poll(&raw mut wanted, 1, 10_000) };
            if ready != -1 {
                assert_eq!(ready, 1);
                break;
            }
        }
        // SAFETY: the byte is live; the handler writes to it behind the compiler's back.
        assert_eq!(unsafe { (&raw const byte).read_volatile() }, 1);
        assert_eq!(interrupts.take(), Pending { grace: true, ..Pending::default() });
        // SAFETY: as above.
        assert_eq!(unsafe { (&raw const byte).read_volatile() }, 0);
        assert_eq!(interrupts.take(), Pending::default());
        interrupts.watch(ptr::null_mut());
    }

    #[test]
    fn what_came_before_the_run_ends_it() {
        let mut interrupts = Interrupts::new(false).unwrap();
        interrupts.arm(Timer::Timeout, Duration::ZERO).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let mut byte = 0_u8;
        interrupts.watch(&raw mut byte);
        // SAFETY: the byte is live.
        assert_eq!(unsafe { (&raw const byte).read_volatile() }, 1);
        assert!(interrupts.take().timeout);
        interrupts.watch(ptr::null_mut());
    }
}
