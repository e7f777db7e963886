//! Tasks that wait for a time.

use crate::engine::Shared;
use alloc::collections::BTreeMap;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use smoltcp::time::Instant;

/// The tasks that wait, by when and by the number of their future.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    last: u64,
}

impl Timers {
    /// When the first of them is to be woken.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|&(until, _)| until)
    }

    /// Wakes those whose time has come.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            entry.remove().wake();
        }
    }
}

/// Ends at a time.
#[derive(Debug)]
struct Sleep<'a> {
    engine: &'a Shared,
    until: Instant,
    /// Its number, once it waits.
    number: Option<u64>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut engine = self.engine.borrow_mut();
        if engine.tick() >= self.until {
            return Poll::Ready(());
        }
        let number = self.number.unwrap_or_else(|| {
            engine.timers.last += 1;
            engine.timers.last
        });
        engine.timers.waiting.insert((self.until, number), context.waker().clone());
        // It may have planned to sleep for longer.
        engine.wake_driver();
        drop(engine);
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.engine.borrow_mut().timers.waiting.remove(&(self.until, number));
        }
    }
}

/// What `future` yields, or `None` where it has not by `until`.
pub(crate) async fn before<F: Future>(engine: &Shared, until: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut sleep = pin!(Sleep { engine, until, number: None });
    core::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        sleep.as_mut().poll(context).map(|()| None)
    })
    .await
}
