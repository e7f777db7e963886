//! The host's wish that the guest end: `SIGTERM` or `SIGINT` to the monitor.
//!
//! A guest that waits for it is given time to end in order (`--grace`); one that does not ends at once.

use crate::local::Local;
use crate::ring;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Poll, Waker};

static NOTICE: Local<Notice> = Local::new(Notice { submitted: false, received: false, waiting: Vec::new() });

struct Notice {
    submitted: bool,
    received: bool,
    waiting: Vec<Waker>,
}

/// Ends once the host wants the guest to end. Any number of tasks may wait, and later calls end at once.
pub async fn requested() {
    poll_fn(|context| {
        NOTICE.with(|notice| {
            if notice.received {
                return Poll::Ready(());
            }
            if !core::mem::replace(&mut notice.submitted, true) {
                ring::submit_shutdown_notice();
            }
            if !notice.waiting.iter().any(|known| known.will_wake(context.waker())) {
                notice.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
    })
    .await;
}

/// The notice has come.
pub(crate) fn done() {
    let waiting = NOTICE.with(|notice| {
        notice.received = true;
        core::mem::take(&mut notice.waiting)
    });
    waiting.into_iter().for_each(Waker::wake);
}
