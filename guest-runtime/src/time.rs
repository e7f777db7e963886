//! Time: clocks that are read without an exit to the monitor, and timers that cost none while others work.

use crate::doorbell;
use crate::local::Local;
use crate::shared::SharedArea;
use alloc::collections::BTreeMap;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use ukvm_abi::clock::{Clock, TSC_USABLE};
use ukvm_abi::doorbell::Function;

/// Bytes of the clock page that this version of the contract has: six fields of 8 bytes.
const CLOCK_SIZE: usize = 48;

static TIMERS: Local<Timers> = Local::new(Timers { last: 0, waiting: BTreeMap::new() });

/// The monotonic clock: the time since some moment before the guest's start. It never goes back.
pub fn monotonic() -> Duration {
    Duration::from_nanos(now().0)
}

/// The time of day: what has passed since 1970-01-01T00:00:00Z. It follows the host's clock, backwards too.
pub fn wall() -> Duration {
    let (monotonic, offset) = now();
    Duration::from_nanos(monotonic.wrapping_add(offset))
}

/// The monotonic clock in nanoseconds, and what to add to it for the time of day.
fn now() -> (u64, u64) {
    let address = crate::boot_info().clock;
    // SAFETY: the monitor put the clock page there, for ever, and the guest only loads from it.
    let page = unsafe { SharedArea::new(address, CLOCK_SIZE) };
    let mut clock = Clock::read(&page);
    if clock.flags & TSC_USABLE == 0 {
        doorbell::ring(Function::Clock, 0);
        clock = Clock::read(&page);
        return (clock.monotonic_base, clock.wall_offset);
    }
    (clock.monotonic_at(time_stamp()), clock.wall_offset)
}

/// The time stamp counter, not read before the loads that the program has made earlier.
fn time_stamp() -> u64 {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { core::arch::x86_64::_mm_lfence() };
    counter()
}

/// The time stamp counter, about now.
pub(crate) fn counter() -> u64 {
    // SAFETY: the contract allows a guest the instruction.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Ends when `duration` has passed.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(monotonic().saturating_add(duration))
}

/// Ends when the [monotonic] clock has reached `deadline`. One that lies beyond its range of 584 years is never.
pub fn sleep_until(deadline: Duration) -> Sleep {
    Sleep { deadline: u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX), timer: None }
}

/// The time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl core::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the time ran out")
    }
}

impl core::error::Error for Elapsed {}

/// Runs `future`, but no longer than `duration`. It is then dropped; mind what that means for an [operation](crate::ring).
///
/// # Errors
///
/// [`Elapsed`] where `future` did not end in time.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut sleep = sleep(duration);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => Pin::new(&mut sleep).poll(context).map(|()| Err(Elapsed)),
    })
    .await
}

/// The future of [`sleep`] and [`sleep_until`].
#[derive(Debug)]
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    deadline: u64,
    /// The second half of its key among the timers, once it is there.
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if now().0 >= self.deadline {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        let deadline = self.deadline;
        let old = TIMERS.with(|timers| {
            let number = *self.timer.get_or_insert_with(|| timers.next_number());
            timers.waiting.insert((deadline, number), waker)
        });
        // Outside: it may be the last owner of a task.
        drop(old);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.timer {
            drop(TIMERS.with(|timers| timers.waiting.remove(&(self.deadline, number))));
        }
    }
}

struct Timers {
    last: u64,
    /// By deadline; the number keeps equal ones apart.
    waiting: BTreeMap<(u64, u64), Waker>,
}

impl Timers {
    fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// The earliest deadline of all timers, `u64::MAX` where there is none.
pub(crate) fn next_deadline() -> u64 {
    TIMERS.with(|timers| timers.waiting.first_key_value().map_or(u64::MAX, |(&(deadline, _), _)| deadline))
}

/// Wakes whose time has come. Whether there were any.
pub(crate) fn wake_expired() -> bool {
    let first = next_deadline();
    if first == u64::MAX {
        return false;
    }
    let now = now().0;
    let mut any = false;
    while let Some(waker) = TIMERS.with(|timers| {
        let entry = timers.waiting.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }) {
        waker.wake();
        any = true;
    }
    any
}
