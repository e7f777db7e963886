//! Time that is counted in polls.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use embassy_futures::yield_now;
use std::time::Duration;
use ukvm_http::Clock;

/// Timers whose time is counted in polls, and a clock that stands.
pub(crate) struct Polls {
    pub(crate) now: Option<Duration>,
}

/// The polls of one second.
pub(crate) const SECOND: u64 = 100_000;

impl Clock for Polls {
    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        // A poll of an inner timer is one of the outer one, too.
        for _ in 0..limit.as_secs() * SECOND {
            let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
            if let Poll::Ready(output) = polled {
                return Some(output);
            }
            yield_now().await;
        }
        None
    }

    fn now(&self) -> Option<Duration> {
        self.now
    }
}
