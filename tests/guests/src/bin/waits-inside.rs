//! Waits in code that cannot await, inside `main` and inside a task, while others sleep and end.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;
use ukvm_runtime::println;
use ukvm_runtime::task::{block_on, spawn, turn};
use ukvm_runtime::time::{monotonic, sleep};

ukvm_runtime::program! { main = main; }

const fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

async fn main() {
    // `main` is to be woken while the task stands still.
    let task = spawn(async { block_on(sleep(milliseconds(60))) });
    sleep(milliseconds(20)).await;
    println!("main goes on");
    task.await;
    println!("the task has ended");

    // The task is to run while `main` stands still.
    let start = monotonic();
    let task = spawn(async move {
        sleep(milliseconds(20)).await;
        monotonic() - start
    });
    block_on(sleep(milliseconds(600)));
    println!("in time: {}", task.is_finished());
    println!("before the end of main's wait: {}", task.await < milliseconds(600));

    // Nobody waits, and a task goes on all the same.
    let task = spawn(sleep(milliseconds(5)));
    let mut turns = 0_u64;
    while !task.is_finished() {
        turn();
        turns += 1;
    }
    println!("turns: {}", turns > 1);
}
