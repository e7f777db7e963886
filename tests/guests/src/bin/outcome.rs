//! Ends in the way that its argument says: `error` returns one, `panic` panics, `exit` exits from deep inside a task.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::{String, ToString};
use ukvm_runtime::{print, println, task};

ukvm_runtime::program! { main = main; }

async fn main() -> Result<(), String> {
    print!("before");
    match ukvm_runtime::args().next().unwrap_or("") {
        "error" => Err("the moon is full".to_string()),
        "panic" => panic!("the moon is {}", "new"),
        "long-panic" => panic!("{}", "long ".repeat(2000)),
        "index" => {
            let list = [1, 2, 3];
            let place = ukvm_runtime::args().count() + 5;
            println!("{}", core::hint::black_box(&list[..])[place]);
            Ok(())
        }
        "exit" => {
            let _task = task::spawn(async { ukvm_runtime::exit(5) });
            core::future::pending().await
        }
        _ => Ok(()),
    }
}
