//! Runs tasks in the thread that calls [`block_on`], and sleeps in the kernel when none can go on.

use crate::net::Driver;
use crate::time;
use async_executor::{LocalExecutor, Task};
use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

thread_local! {
    static TASKS: LocalExecutor<'static> = const { LocalExecutor::new() };
    static DRIVERS: RefCell<Vec<Driver>> = const { RefCell::new(Vec::new()) };
}

/// How many polls pass at most before the devices have their turn, as in a guest.
const POLLS_PER_TURN: usize = 128;

/// Runs `future` as a task of its own, in this thread's [`block_on`]. Dropping the task ends it; see [`Task::detach`].
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    TASKS.with(|tasks| tasks.spawn(future))
}

/// Has this thread's [`block_on`] serve a device.
pub(crate) fn drive(driver: Driver) {
    DRIVERS.with_borrow_mut(|drivers| drivers.push(driver));
}

/// Runs `main`, and all tasks beside it, until `main` ends.
///
/// # Panics
///
/// If it is called by one of its tasks, or the kernel cannot wait for the devices.
pub fn block_on<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
    let result = Rc::new(RefCell::new(None));
    let place = result.clone();
    let main = spawn(async move {
        let value = main.await;
        *place.borrow_mut() = Some(value);
    });
    loop {
        let mut polls = 0;
        while polls < POLLS_PER_TURN && TASKS.with(LocalExecutor::try_tick) {
            polls += 1;
        }
        if let Some(value) = result.borrow_mut().take() {
            drop(main);
            return value;
        }
        let did_something = DRIVERS.with_borrow_mut(|drivers| {
            drivers.iter_mut().fold(time::wake_expired(), |any, driver| driver.turn() | any)
        });
        if !did_something && polls < POLLS_PER_TURN {
            sleep();
        }
    }
}

/// Sleeps until a device has something, a stack wants to be looked after, or a timer ends.
fn sleep() {
    DRIVERS.with_borrow(|drivers| {
        let deadline = drivers.iter().filter_map(Driver::deadline).chain(time::next_deadline()).min();
        let left = deadline.map(|deadline| deadline.saturating_sub(time::monotonic()));
        let mut polled: Vec<PollFd<'_>> = drivers.iter().map(Driver::poll_fd).collect();
        match poll(&mut polled, left.map(timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("the kernel does not wait for devices: {error}"),
        }
    });
}

/// A time as the kernel takes it.
fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_run_beside_main_and_yield_their_results() {
        let sum = block_on(async {
            let tasks: Vec<_> = (0..1000_u64).map(|number| spawn(async move { number })).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await;
            }
            sum
        });
        assert_eq!(sum, 499_500);
    }
}
