//! Exits with the status that its argument says; `print` as a second argument writes a text without a newline before.
#![no_std]
#![no_main]

use ukvm_runtime::print;

ukvm_runtime::program! { main = main; }

async fn main() -> u8 {
    let mut arguments = ukvm_runtime::args();
    let status = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    if arguments.next() == Some("print") {
        print!("the last words");
    }
    status
}
