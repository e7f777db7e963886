//! Tasks: futures that run beside `main`.
//!
//! There may be as many as memory holds. They take turns on the one vCPU, so a task that computes for long should
//! [`yield_now`] at times.

use crate::executor;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

/// A task's handle: a future of its output. Dropping it lets the task run on.
#[derive(Debug)]
pub struct Task<T>(Option<async_task::Task<T>>);

/// Runs `future` as a task of its own.
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    // SAFETY: neither the future nor its output need be `Send`, as there is one thread of execution; both
    // are `'static`; the schedule function is `Send`, `Sync` and `'static`.
    let (runnable, task) = unsafe { async_task::spawn_unchecked(future, executor::schedule) };
    runnable.schedule();
    Task(Some(task))
}

/// Runs the other tasks until `future` has ended, for code that cannot await: functions that somebody else's code calls.
///
/// `main`, or the task that calls this, stands still meanwhile, and so does all that waits for it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let output = executor::block_on(future);
    // What woke `main` meanwhile was taken for a call of `future`.
    executor::wake_main();
    output
}

/// Gives each task that can go on a turn, and the monitor one, for code that cannot await and does not wait either. Costs an exit.
pub fn turn() {
    executor::run_each();
    executor::enter();
    executor::run_each();
}

/// Lets all other tasks that can go on have a turn.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<T> Task<T> {
    /// Drops the task's future, once it is not running, and waits for that. `None` if it had not ended before.
    pub async fn cancel(mut self) -> Option<T> {
        match self.0.take() {
            Some(task) => task.cancel().await,
            None => None,
        }
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(async_task::Task::is_finished)
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let task = self.0.as_mut().expect("the handle holds its task until it is dropped");
        Pin::new(task).poll(context)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}
