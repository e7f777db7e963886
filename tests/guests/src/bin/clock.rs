//! Reads the clocks: `order` checks that none goes back, `follow` prints both at each line of input, `sleep` how long some sleeps
//! took.
#![no_std]
#![no_main]

use core::time::Duration;
use ukvm_runtime::{console, println, time};

ukvm_runtime::program! { main = main; }

async fn main() {
    match ukvm_runtime::args().next().unwrap_or("") {
        "order" => order().await,
        "follow" => loop {
            println!("{} {}", time::monotonic().as_nanos(), time::wall().as_nanos());
            let mut key = [0; 64];
            if console::read(&mut key).await == 0 {
                return;
            }
        },
        _ => {
            for milliseconds in [0, 1, 5, 20, 100] {
                let before = time::monotonic();
                time::sleep(Duration::from_millis(milliseconds)).await;
                println!("{milliseconds} {}", (time::monotonic() - before).as_micros());
            }
            let late = time::timeout(Duration::from_millis(30), core::future::pending::<()>()).await;
            println!("timeout {}", if late.is_err() { "elapsed" } else { "not" });
        }
    }
}

/// For longer than the monitor leaves the clock page alone, with entries in between.
async fn order() {
    let start = time::monotonic();
    let (mut last, mut reads) = (start, 0_u64);
    while last - start < Duration::from_millis(2500) {
        for _ in 0..10_000 {
            let now = time::monotonic();
            assert!(now >= last, "went back from {last:?} to {now:?}");
            last = now;
            reads += 1;
        }
        time::sleep(Duration::from_micros(100)).await;
    }
    println!("{}", if reads > 20_000 { "in order" } else { "too few reads" });
}
