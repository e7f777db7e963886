//! The floor of a web site over TLS: what the example `https` does, in a process, with the same TAP interface and the same images.
//!
//! `https-floor TAP IMAGE IDENTITY --ip ADDRESS/PREFIX...` serves until it is killed.

#[path = "site/process.rs"]
mod process;

use https::{capacity, identity};
use std::error::Error;
use std::process::ExitCode;
use ukvm_hosted::{executor, time};
use ukvm_http::HTTPS_PORT;
use ukvm_tls::Acceptor;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tap, image, disk, options @ ..] = &arguments[..] else {
        eprintln!("https-floor: name a TAP interface and two images, as ukvm-bench does");
        return ExitCode::FAILURE;
    };
    let served = acceptor(disk).and_then(|acceptor| {
        process::serve(tap, image, HTTPS_PORT, options, capacity::share(process::MEMORY), acceptor)
    });
    process::end("https-floor", served)
}

/// What shakes hands with the certificate of a disk.
fn acceptor(disk: &str) -> Result<Acceptor, Box<dyn Error>> {
    let disk = process::Disk::open(disk)?;
    let identity = executor::block_on(identity::read(disk))?;
    Ok(Acceptor::new(identity, time::wall).map_err(|error| error.to_string())?)
}
