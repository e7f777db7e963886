//! The host's wish that the guest end: `SIGTERM` or `SIGINT` to the monitor.
//!
//! A guest that waits for it is given time to end in order (`--grace`); one that does not ends at once.

use crate::local::Local;
use crate::ring;
use core::future::poll_fn;
use core::mem;
use core::task::{Poll, Waker};
use slab::Slab;

static NOTICE: Local<Notice> = Local::new(Notice { submitted: false, received: false, waiting: Slab::new() });

struct Notice {
    submitted: bool,
    received: bool,
    waiting: Slab<Waker>,
}

/// A place among those that wait, given up when dropped: a server may wait in each of its connections, which come and go.
struct Place(Option<usize>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(key) = self.0 {
            // Once the notice has come, nobody waits.
            drop(NOTICE.with(|notice| notice.waiting.try_remove(key)));
        }
    }
}

/// Ends once the host wants the guest to end. Any number of tasks may wait, and later calls end at once.
pub async fn requested() {
    let mut place = Place(None);
    poll_fn(|context| {
        let waker = context.waker().clone();
        // The old waker is dropped outside, as it may be the last owner of a task.
        let (poll, _old) = NOTICE.with(|notice| {
            if notice.received {
                return (Poll::Ready(()), None);
            }
            if !mem::replace(&mut notice.submitted, true) {
                ring::submit_shutdown_notice();
            }
            let old = match place.0 {
                Some(key) => notice.waiting.get_mut(key).map(|known| mem::replace(known, waker)),
                None => {
                    place.0 = Some(notice.waiting.insert(waker));
                    None
                }
            };
            (Poll::Pending, old)
        });
        poll
    })
    .await;
}

/// The notice has come.
pub(crate) fn done() {
    let waiting = NOTICE.with(|notice| {
        notice.received = true;
        mem::take(&mut notice.waiting)
    });
    waiting.into_iter().for_each(|(_, waker)| waker.wake());
}
