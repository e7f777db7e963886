//! What comes from outside while a guest runs: signals and timers.
//!
//! A signal handler notes what came, makes the next `KVM_RUN` return at once, and writes to an eventfd that every wait
//! includes. So nothing is lost, wherever the thread is: computing in the guest, waiting for a device, or between a check and
//! the call that it guards.

use crate::syscall::check;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// The signals that ask a guest to end. SIGALRM does so too, where it comes from elsewhere than the timers here.
const SIGNALS: [libc::c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// The handlers that are in place, and what was there before. Signals are the process's, so guests on several threads share them.
static CAUGHT: Mutex<Vec<Caught>> = Mutex::new(Vec::new());

struct Caught {
    signal: libc::c_int,
    users: usize,
    before: libc::sigaction,
}

/// The clocks that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Timer {
    /// The guest's whole time.
    Timeout = 1,
    /// Its time to obey a shutdown notice.
    Grace = 2,
}

/// The bit beside those of [`Timer`] that stands for SIGIO.
const READINESS: u32 = 4;

/// What came since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The whole time is over.
    pub timeout: bool,
    /// The time to obey is over.
    pub grace: bool,
    /// One of the descriptors of [`signal_when_ready`] is ready.
    pub readiness: bool,
    /// How many signals came that ask the guest to end.
    pub signals: u32,
    /// The number of the last of them.
    pub signal: i32,
}

/// Everything that a handler touches.
#[derive(Debug)]
struct Shared {
    /// Bits of [`Timer`], and [`READINESS`].
    events: AtomicU32,
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
    /// The signals that are caught for this one, among others.
    caught: Vec<libc::c_int>,
}

/// As long as this lives, a byte is set to 1 when something comes.
#[derive(Debug)]
pub struct Watch(Rc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.immediate_exit.store(ptr::null_mut(), Ordering::SeqCst);
    }
}

impl Interrupts {
    /// Catches timers from now on and, with `signals`, SIGTERM, SIGINT and SIGHUP, unless the process ignores them. A
    /// signal counts for the guest of the thread that the kernel hands it to: other threads should block these.
    ///
    /// With `signals`, SIGXFSZ is ignored, so that a limit on the size of files is an error of a write and not the end.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` where this thread has one already; else what the host says.
    pub fn new(signals: bool) -> io::Result<Self> {
        if !CURRENT.get().is_null() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "this thread has another guest"));
        }
        let shared = Rc::new(Shared {
            events: AtomicU32::new(0),
            signals: AtomicU32::new(0),
            signal: AtomicI32::new(0),
            immediate_exit: AtomicPtr::new(ptr::null_mut()),
            event: EventFd::new(EFD_NONBLOCK | libc::EFD_CLOEXEC)?,
        });
        CURRENT.set(Rc::as_ptr(&shared));
        let mut interrupts = Self { shared, timers: Vec::new(), caught: Vec::new() };
        interrupts.catch(libc::SIGALRM)?;
        if signals {
            interrupts.catch(libc::SIGXFSZ)?;
            for signal in SIGNALS {
                interrupts.catch(signal)?;
            }
        }
        Ok(interrupts)
    }

    /// Also catches what descriptors send after [`signal_when_ready`].
    ///
    /// # Errors
    ///
    /// What the host says.
    pub fn catch_readiness(&mut self) -> io::Result<()> {
        self.catch(libc::SIGIO)
    }

    /// Names the byte that makes the virtual processor's next run return at once.
    ///
    /// # Safety
    ///
    /// The byte must be there, and nobody may hold a reference to it, until the [`Watch`] is dropped.
    #[must_use]
    pub unsafe fn watch(&self, immediate_exit: *mut u8) -> Watch {
        self.shared.immediate_exit.store(immediate_exit, Ordering::SeqCst);
        if self.shared.came() {
            self.shared.end_run();
        }
        Watch(Rc::clone(&self.shared))
    }

    /// A descriptor that is readable from when something comes until [`clear_event`](Self::clear_event).
    #[must_use]
    pub fn event(&self) -> RawFd {
        self.shared.event.as_raw_fd()
    }

    /// Whether something came since the last [`take`](Self::take). It costs no system call, so that it can be asked often.
    #[must_use]
    pub fn came(&self) -> bool {
        self.shared.came()
    }

    /// Has [`event`](Self::event) no longer be readable, once a wait has ended by it. What came stays to be taken.
    pub fn clear_event(&self) {
        let _ = self.shared.event.read();
    }

    /// What came since the last call. Nothing in nearly all cases, which then costs no system call.
    #[must_use]
    pub fn take(&self) -> Pending {
        let shared = &self.shared;
        let run = shared.immediate_exit.load(Ordering::SeqCst);
        if !run.is_null() {
            // SAFETY: `watch` was given the address of a byte in the processor's run structure, which lives until the
            // pointer is null again; a handler on this same thread is all that writes to it besides.
            unsafe { run.write_volatile(0) };
        }
        // Only then: what comes from here on sets the byte again.
        if !shared.came() {
            return Pending::default();
        }
        let events = shared.events.swap(0, Ordering::SeqCst);
        Pending {
            timeout: events & Timer::Timeout as u32 != 0,
            grace: events & Timer::Grace as u32 != 0,
            readiness: events & READINESS != 0,
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
        event.sigev_notify_thread_id = thread_id();
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
        check(unsafe { libc::timer_settime(id, 0, &raw const spec, ptr::null_mut()) })?;
        Ok(())
    }

    fn catch(&mut self, signal: libc::c_int) -> io::Result<()> {
        let mut caught = CAUGHT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = caught.iter_mut().find(|entry| entry.signal == signal) {
            entry.users += 1;
        } else {
            // SAFETY: a sigaction of zeroes is a valid value of it.
            let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: a null pointer says that nothing is to be changed; `before` is live.
            check(unsafe { libc::sigaction(signal, ptr::null(), &raw mut before) })?;
            if !matches!(signal, libc::SIGALRM | libc::SIGIO) && before.sa_sigaction == libc::SIG_IGN {
                return Ok(());
            }
            // SAFETY: as above.
            let mut new: libc::sigaction = unsafe { std::mem::zeroed() };
            if signal == libc::SIGXFSZ {
                new.sa_sigaction = libc::SIG_IGN;
            } else {
                new.sa_sigaction = on_signal as extern "C" fn(_, _, _) as *const () as usize;
                // No SA_RESTART: a call that waits must return.
                new.sa_flags = libc::SA_SIGINFO;
            }
            // SAFETY: `new.sa_mask` is a live signal set.
            check(unsafe { libc::sigfillset(&raw mut new.sa_mask) })?;
            // SAFETY: the action is to ignore the signal, or `on_signal`, which has the signature that SA_SIGINFO asks for and calls
            // nothing that is not async-signal-safe.
            check(unsafe { libc::sigaction(signal, &raw const new, ptr::null_mut()) })?;
            caught.push(Caught { signal, users: 1, before });
        }
        drop(caught);
        self.caught.push(signal);
        unblock(signal)
    }
}

impl Shared {
    fn came(&self) -> bool {
        self.events.load(Ordering::SeqCst) != 0 || self.signals.load(Ordering::SeqCst) != 0
    }

    fn end_run(&self) {
        let run = self.immediate_exit.load(Ordering::SeqCst);
        if !run.is_null() {
            // SAFETY: `watch` was given the address of a byte that lives until the pointer is null again.
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
        shared.events.fetch_or(value.sival_ptr.addr() as u32, Ordering::SeqCst);
    } else if signal == libc::SIGIO {
        shared.events.fetch_or(READINESS, Ordering::SeqCst);
    } else {
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

/// Has the kernel send SIGIO to this thread when something becomes possible on `fd` that was not before: a connection, input, room for
/// output, the end of it. Calls on the descriptor no longer wait. [`Interrupts::catch_readiness`] comes first: else the signal ends the
/// process.
///
/// # Errors
///
/// What the host says.
pub fn signal_when_ready(fd: RawFd) -> io::Result<()> {
    /// `struct f_owner_ex` and its constants: `include/uapi/asm-generic/fcntl.h` of Linux.
    #[repr(C)]
    struct Owner {
        kind: libc::c_int,
        id: libc::pid_t,
    }
    const F_SETOWN_EX: libc::c_int = 15;
    const F_OWNER_TID: libc::c_int = 0;
    let owner = Owner { kind: F_OWNER_TID, id: thread_id() };
    // SAFETY: the call reads the owner, which is live.
    check(unsafe { libc::fcntl(fd, F_SETOWN_EX, &raw const owner) })?;
    // SAFETY: the call takes no pointer.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK | libc::O_ASYNC) })?;
    Ok(())
}

/// The kernel's number of this thread.
///
/// Not the C library's `gettid`: the standard library declares it as a weak symbol, and once link-time optimisation has merged the
/// two, a static link leaves it null.
fn thread_id() -> libc::pid_t {
    // SAFETY: the call has no arguments and cannot fail.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    id as libc::pid_t
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

impl Drop for Interrupts {
    fn drop(&mut self) {
        for &timer in &self.timers {
            // SAFETY: `arm` made the timer, and this is the only place that deletes it.
            unsafe { libc::timer_delete(timer) };
        }
        let mut caught = CAUGHT.lock().unwrap_or_else(PoisonError::into_inner);
        for signal in &self.caught {
            let Some(index) = caught.iter().position(|entry| entry.signal == *signal) else { continue };
            let Some(entry) = caught.get_mut(index) else { continue };
            entry.users -= 1;
            if entry.users == 0 {
                let Caught { before, .. } = caught.swap_remove(index);
                // SAFETY: `before` is what the same call returned for this signal.
                unsafe { libc::sigaction(*signal, &raw const before, ptr::null_mut()) };
            }
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
        // SAFETY: the byte lives to the end of the test.
        let _watch = unsafe { interrupts.watch(&raw mut byte) };
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
        interrupts.clear_event();
        // SAFETY: one live pollfd.
        assert_eq!(unsafe { libc::poll(&raw mut wanted, 1, 0) }, 0);
    }

    #[test]
    fn what_came_before_the_run_ends_it() {
        let mut interrupts = Interrupts::new(false).unwrap();
        interrupts.arm(Timer::Timeout, Duration::ZERO).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let mut byte = 0_u8;
        // SAFETY: the byte lives to the end of the test.
        let _watch = unsafe { interrupts.watch(&raw mut byte) };
        // SAFETY: the byte is live.
        assert_eq!(unsafe { (&raw const byte).read_volatile() }, 1);
        assert!(interrupts.take().timeout);
    }
    /// How SIGALRM is dealt with: in this test process only by what is tested here.
    fn handler() -> usize {
        // SAFETY: a sigaction of zeroes is a valid value of it.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: a null pointer says that nothing is to be changed; `action` is live.
        check(unsafe { libc::sigaction(libc::SIGALRM, ptr::null(), &raw mut action) }).unwrap();
        action.sa_sigaction
    }

    #[test]
    fn the_end_of_one_guest_leaves_the_signals_of_others_alone() {
        let mine = Interrupts::new(false).unwrap();
        let caught = handler();
        std::thread::spawn(|| drop(Interrupts::new(false).unwrap())).join().unwrap();
        assert_eq!(handler(), caught);
        // SAFETY: the call has no preconditions.
        unsafe { libc::raise(libc::SIGALRM) };
        assert_eq!((mine.take().signals, mine.shared.signal.load(Ordering::SeqCst)), (1, libc::SIGALRM));
    }

    #[test]
    fn a_thread_has_one_guest() {
        let first = Interrupts::new(false).unwrap();
        assert!(Interrupts::new(false).is_err());
        drop(first);
        drop(Interrupts::new(false).unwrap());
    }

    #[test]
    fn nothing_is_watched_longer_than_wanted() {
        let interrupts = Interrupts::new(false).unwrap();
        let mut byte = 0_u8;
        // SAFETY: the byte lives to the end of the test.
        drop(unsafe { interrupts.watch(&raw mut byte) });
        interrupts.shared.end_run();
        assert_eq!(byte, 0);
    }
}
