//! Writes what it reads to the console; at the end of input says nothing and ends. `count` prints only the number of bytes.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use ukvm_runtime::{console, print};

ukvm_runtime::program! { main = main; }

async fn main() {
    let counting = ukvm_runtime::args().next() == Some("count");
    if ukvm_runtime::args().next() == Some("prompt") {
        print!("? ");
    }
    let (mut buffer, mut total) = (vec![0; 10_000], 0);
    loop {
        let length = console::read(&mut buffer).await;
        if length == 0 {
            break;
        }
        total += length;
        if !counting {
            console::write_all(&buffer[..length]).await;
        }
    }
    if counting {
        print!("{total}");
    }
}
