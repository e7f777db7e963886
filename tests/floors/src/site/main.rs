//! The floor of a web site: what the example `static-site` does, in a process, with the same TAP interface and the same image.
//!
//! `site-floor TAP IMAGE --ip ADDRESS/PREFIX...` serves until it is killed.

mod process;

use static_site::capacity;
use std::process::ExitCode;
use ukvm_http::{HTTP_PORT, Plain};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tap, image, options @ ..] = &arguments[..] else {
        eprintln!("site-floor: name a TAP interface and an image, as ukvm-bench does");
        return ExitCode::FAILURE;
    };
    process::end(
        "site-floor",
        process::serve(tap, image, HTTP_PORT, options, capacity::share(process::MEMORY, 0), Plain),
    )
}
