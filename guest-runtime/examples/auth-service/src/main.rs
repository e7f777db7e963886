//! A unikernel that checks passwords: HTTP in front, a FAT image behind. See the README beside it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::{String, ToString};
use auth_service::accounts::LookupFailed;
use auth_service::capacity::{self, HEAD_LIMIT, RECEIVE_BUFFER, SEND_BUFFER};
use auth_service::login::Login;
use ukvm_runtime::block::Disk;
use ukvm_runtime::console::Notices;
use ukvm_runtime::http::{self, Limits, Options, Plain, Runtime, Server};
use ukvm_runtime::net::{self, Endpoint, TcpOptions};

ukvm_runtime::program! {
    main = main;
    net service;
    block data;
    min_memory = 16 << 20;
}

/// Its name, for messages.
const NAME: &str = "auth-service";

async fn main() -> u8 {
    http::run(NAME, http::HTTP_PORT, serve).await
}

/// Serves until the host wants an end.
async fn serve(options: Options) -> Result<(), String> {
    let disk = Disk::open("data").map_err(|error| error.to_string())?;
    let memory = net::spare_memory("service").map_err(|error| error.to_string())?;
    let endpoint =
        Endpoint::open(NAME, "service", options.network, options.port, capacity::connections(memory))
            .map_err(|error| error.to_string())?;
    let buffers =
        TcpOptions { receive_buffer: RECEIVE_BUFFER, send_buffer: SEND_BUFFER, ..TcpOptions::default() };
    let listener = endpoint.listen(buffers).map_err(|error| error.to_string())?;
    // No body of this service is longer than a line.
    let limits =
        Limits { timeout: options.timeout, head: HEAD_LIMIT, piece: 0, large_piece: 0, large_streams: 0 };
    let notices = Notices::new();
    let report = move |failed: &LookupFailed| {
        notices.say(format_args!("{NAME}: the users cannot be read: {failed}"));
    };
    http::serve(NAME, Server::new(Login::new(disk, report), Runtime, limits), listener, Plain).await;
    Ok(())
}
