//! Clocks and timers.

use rustix::time::{ClockId, clock_gettime};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

thread_local! {
    static TIMERS: RefCell<Timers> = const { RefCell::new(Timers { last: 0, waiting: BTreeMap::new() }) };
}

/// The monotonic clock: the time since some moment before the program's start.
#[must_use]
pub fn monotonic() -> Duration {
    read(ClockId::Monotonic)
}

/// The time of day: what has passed since 1970-01-01T00:00:00Z.
#[must_use]
pub fn wall() -> Duration {
    read(ClockId::Realtime)
}

fn read(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    // The monotonic clock starts at 0, that of the day at 1970; nanoseconds are below a second.
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// Runs `future`, but no longer than `limit`: then it is dropped, and this is `None`.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut sleep = Sleep { deadline: monotonic().saturating_add(limit), number: None };
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Pin::new(&mut sleep).poll(context).map(|()| None),
    })
    .await
}

/// Ends at its deadline.
struct Sleep {
    deadline: Duration,
    /// The second half of its key among the timers, once it is there.
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if monotonic() >= self.deadline {
            return Poll::Ready(());
        }
        let deadline = self.deadline;
        let old = TIMERS.with_borrow_mut(|timers| {
            let number = *self.number.get_or_insert_with(|| {
                timers.last += 1;
                timers.last
            });
            timers.waiting.insert((deadline, number), context.waker().clone())
        });
        // Outside: it may be the last owner of a task.
        drop(old);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            drop(TIMERS.with_borrow_mut(|timers| timers.waiting.remove(&(self.deadline, number))));
        }
    }
}

struct Timers {
    last: u64,
    /// By deadline; the number keeps equal ones apart.
    waiting: BTreeMap<(Duration, u64), Waker>,
}

/// The earliest deadline of all timers of this thread.
pub(crate) fn next_deadline() -> Option<Duration> {
    TIMERS.with_borrow(|timers| timers.waiting.first_key_value().map(|(&(deadline, _), _)| deadline))
}

/// Wakes whose time has come. Whether there were any.
pub(crate) fn wake_expired() -> bool {
    let Some(first) = next_deadline() else { return false };
    let now = monotonic();
    if first > now {
        return false;
    }
    let expired = TIMERS.with_borrow_mut(|timers| {
        let later = timers.waiting.split_off(&(now, u64::MAX));
        std::mem::replace(&mut timers.waiting, later)
    });
    expired.into_values().for_each(Waker::wake);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::block_on;
    use std::future::pending;

    #[test]
    fn a_future_gets_no_more_time_than_it_may_have() {
        block_on(async {
            let start = monotonic();
            assert_eq!(timeout(Duration::from_secs(100), async { 5 }).await, Some(5));
            assert_eq!(timeout(Duration::from_millis(20), pending::<()>()).await, None);
            let inner = timeout(Duration::from_millis(10), pending::<()>());
            assert_eq!(timeout(Duration::from_secs(100), inner).await, Some(None));
            let took = monotonic() - start;
            assert!(took >= Duration::from_millis(30) && took < Duration::from_secs(50), "{took:?}");
        });
        assert_eq!(next_deadline(), None);
    }
}
