//! Tasks, timers and the ring under load: many tasks, more requests than the rings hold, tasks that never rest.
//! Exits with 0, or panics.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use ukvm_runtime::abi::request::{Opcode, Request, SYSTEM, Status};
use ukvm_runtime::ring::{self, Operation, Queue};
use ukvm_runtime::{println, shutdown, task, time};

ukvm_runtime::program! { main = main; }

async fn main() {
    many_tasks().await;
    timers_in_order().await;
    timeouts().await;
    cancelled_tasks().await;
    abandoned_waits().await;
    more_operations_than_entries().await;
    more_queue_requests_than_entries().await;
    dropped_operations().await;
    timers_beside_busy_tasks().await;
    errors_come_back().await;
    println!("all is well");
}

async fn many_tasks() {
    const TASKS: usize = 20_000;
    let sum = Rc::new(Cell::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|i| {
            let sum = sum.clone();
            task::spawn(async move {
                task::yield_now().await;
                sum.set(sum.get() + i);
                i
            })
        })
        .collect();
    for (i, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await, i);
    }
    assert_eq!(sum.get(), TASKS * (TASKS - 1) / 2);
    assert_eq!(Rc::strong_count(&sum), 1, "a task that ended is gone");
}

async fn timers_in_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let start = time::monotonic();
    let tasks: Vec<_> = [30, 10, 20, 10]
        .into_iter()
        .map(|milliseconds| {
            let order = order.clone();
            task::spawn(async move {
                // From one moment on, however late a task begins.
                let deadline = start + Duration::from_millis(milliseconds);
                time::sleep_until(deadline).await;
                assert!(time::monotonic() >= deadline, "a sleep ended early");
                order.borrow_mut().push(milliseconds);
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    assert_eq!(*order.borrow(), [10, 10, 20, 30]);
}

async fn timeouts() {
    let never = core::future::pending::<()>();
    assert_eq!(time::timeout(Duration::from_millis(5), never).await, Err(time::Elapsed));
    let soon = async {
        time::sleep(Duration::from_millis(1)).await;
        7
    };
    assert_eq!(time::timeout(Duration::from_secs(60), soon).await, Ok(7));
    // A moment that has passed, and one that never comes.
    time::sleep_until(Duration::ZERO).await;
    let never = time::sleep_until(Duration::MAX);
    assert!(time::timeout(Duration::from_millis(1), never).await.is_err());
}

async fn cancelled_tasks() {
    let owned = Rc::new(());
    let held = owned.clone();
    let task = task::spawn(async move {
        time::sleep(Duration::from_secs(3600)).await;
        drop(held);
    });
    task::yield_now().await;
    assert!(!task.is_finished());
    assert_eq!(task.cancel().await, None);
    assert_eq!(Rc::strong_count(&owned), 1, "a cancelled task drops what it holds");
}

fn nop() -> Operation<'static> {
    Operation::plain(Opcode::Nop, SYSTEM, 0, 0)
}

/// Who has stopped waiting for the host's wish takes no memory: 20,000 times 8 KiB are more than there is.
async fn abandoned_waits() {
    for _ in 0..20_000 {
        task::spawn(async {
            let buffer = core::hint::black_box([1_u8; 8192]);
            let waited = time::timeout(Duration::ZERO, shutdown::requested()).await;
            assert!(waited.is_err() && core::hint::black_box(&buffer)[0] == 1);
        })
        .await;
    }
}

async fn more_operations_than_entries() {
    let tasks: Vec<_> = (0..4 * ring::completion_entries()).map(|_| task::spawn(nop())).collect();
    for task in tasks {
        assert_eq!(task.await, Ok(0));
    }
}

async fn more_queue_requests_than_entries() {
    let count = 5 * ring::completion_entries() as u32;
    let queue = Queue::new(count as usize);
    for token in 0..count {
        // SAFETY: the request has no buffer.
        unsafe { queue.submit(Request { opcode: Opcode::Nop as u16, ..Request::default() }, token) };
    }
    for token in 0..count {
        poll_fn(|context| queue.poll_ready(context)).await;
        assert_eq!(queue.take(), Some((token, Ok(0))));
    }
    assert_eq!((queue.under_way(), queue.take()), (0, None));
}

async fn dropped_operations() {
    // Each is polled once and dropped: the first ones wait for their completion, the others were never submitted.
    let mut operations: Vec<_> = (0..2 * ring::completion_entries()).map(|_| nop()).collect();
    poll_fn(|context| {
        for operation in &mut operations {
            assert!(pin!(operation).poll(context).is_pending());
        }
        Poll::Ready(())
    })
    .await;
    while operations.pop().is_some() {}
    assert_eq!(nop().await, Ok(0));
}

async fn timers_beside_busy_tasks() {
    let stop = Rc::new(Cell::new(false));
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let stop = stop.clone();
            task::spawn(async move {
                while !stop.get() {
                    task::yield_now().await;
                }
            })
        })
        .collect();
    for _ in 0..5 {
        time::sleep(Duration::from_millis(2)).await;
        assert_eq!(nop().await, Ok(0), "requests are served while tasks never rest");
    }
    stop.set(true);
    for task in busy {
        task.await;
    }
}

async fn errors_come_back() {
    assert_eq!(Operation::plain(Opcode::BlockFlush, 99, 0, 0).await, Err(Status::BadDevice));
    assert_eq!(Operation::plain(Opcode::Nop, SYSTEM, 1, 0).await, Err(Status::BadFlags));
}
