//! Writes one line to the console, and exits with the status of the request's completion.
#![no_std]
#![no_main]

use test_guests::{Raw, console_write};

ukvm_runtime::program! { main = main; }

async fn main() {
    let mut raw = Raw::take();
    let done = raw.call(&console_write(b"a line\n"));
    raw.exit(done.status as u8);
}
