//! Runs tasks, and sleeps in the monitor when none can go on.

use crate::local::Local;
use crate::{console, ring, time};
use alloc::collections::VecDeque;
use async_task::Runnable;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// How many polls pass at most before the monitor is told of what was submitted and asked what has completed.
///
/// An exit costs as much as some hundred polls of a small task where KVM is emulated in software (28 µs), and as ten
/// where it is not.
const POLLS_PER_ENTER: u32 = 128;

// With the variables that have values, as each start touches these.
#[unsafe(link_section = ".data.ukvm_runnable")]
static RUNNABLE: Local<VecDeque<Runnable>> = Local::new(VecDeque::new());
#[unsafe(link_section = ".data.ukvm_runnable")]
static MAIN_IS_RUNNABLE: AtomicBool = AtomicBool::new(false);

/// Puts a task at the end of the queue.
pub(crate) fn schedule(runnable: Runnable) {
    RUNNABLE.with(|queue| queue.push_back(runnable));
}

/// Runs `main`, and all tasks beside it, until `main` ends.
#[unsafe(link_section = ".text.startup.ukvm")]
pub(crate) fn block_on<F: Future>(main: F) -> F::Output {
    let mut main = pin!(main);
    // SAFETY: the functions of the table do what a waker's must: the data is a null pointer that nobody follows.
    let waker = unsafe { Waker::from_raw(MAIN_WAKER) };
    let mut context = Context::from_waker(&waker);
    MAIN_IS_RUNNABLE.store(true, Ordering::Relaxed);
    let mut polls = 0;
    loop {
        while polls < POLLS_PER_ENTER {
            let main_runs = MAIN_IS_RUNNABLE.swap(false, Ordering::Relaxed);
            if main_runs && let Poll::Ready(output) = main.as_mut().poll(&mut context) {
                return output;
            }
            let task = RUNNABLE.with(VecDeque::pop_front);
            if !main_runs && task.is_none() {
                break;
            }
            polls += 1;
            if let Some(task) = task {
                task.run();
            }
        }
        if turn(polls >= POLLS_PER_ENTER) {
            polls = 0;
        }
    }
}

/// Has `main` polled once more.
pub(crate) fn wake_main() {
    MAIN_IS_RUNNABLE.store(true, Ordering::Relaxed);
}

/// Runs each task that can go on now, once.
pub(crate) fn run_each() {
    for _ in 0..RUNNABLE.with(|queue| queue.len()) {
        let Some(task) = RUNNABLE.with(VecDeque::pop_front) else { return };
        task.run();
    }
}

/// Tells the monitor of what was submitted, and wakes those whose requests or times have ended.
pub(crate) fn enter() {
    console::submit();
    ring::enter(0);
    ring::reap();
    time::wake_expired();
}

/// Serves what is not a task: the console's buffer, timers and the ring. Whether it entered the monitor.
// Not inlined into what every start runs, which is one page.
#[inline(never)]
fn turn(must_enter: bool) -> bool {
    console::submit();
    let something_came = ring::reap() | time::wake_expired();
    let may_sleep = !something_came
        && !MAIN_IS_RUNNABLE.load(Ordering::Relaxed)
        && RUNNABLE.with(|queue| queue.is_empty());
    let pending = ring::pending();
    let enters = may_sleep || (must_enter && (pending.unannounced || pending.under_way));
    if enters {
        ring::enter(if may_sleep { time::next_deadline() } else { 0 });
        ring::reap();
        time::wake_expired();
    }
    enters || must_enter
}

/// The waker of `main`, which is on the stack: a program that needs no heap touches none.
const MAIN_WAKER: RawWaker = {
    fn clone(_: *const ()) -> RawWaker {
        MAIN_WAKER
    }
    fn wake(_: *const ()) {
        MAIN_IS_RUNNABLE.store(true, Ordering::Relaxed);
    }
    fn drop(_: *const ()) {}
    RawWaker::new(core::ptr::null(), &RawWakerVTable::new(clone, wake, wake, drop))
};
