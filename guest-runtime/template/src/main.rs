//! A unikernel that answers HTTP.
#![no_std]
#![no_main]

extern crate alloc;

use ::{{crate_name}}::Greeter;
use alloc::string::{String, ToString};
use ukvm_runtime::http::{self, Limits, Options, Plain, Runtime, Server};
use ukvm_runtime::net::{Endpoint, TcpOptions};

ukvm_runtime::program! {
    main = main;
    net service;
}

const NAME: &str = "{{project-name}}";

async fn main() -> u8 {
    http::run(NAME, http::HTTP_PORT, serve).await
}

/// Serves until the host wants an end.
async fn serve(options: Options) -> Result<(), String> {
    // 500 connections, each with 4 KiB for a request and as much for a reply.
    let endpoint = Endpoint::open(NAME, "service", options.network, options.port, 500)
        .map_err(|error| error.to_string())?;
    let buffers = TcpOptions { receive_buffer: 4096, send_buffer: 4096, ..TcpOptions::default() };
    let listener = endpoint.listen(buffers).map_err(|error| error.to_string())?;
    let limits =
        Limits { timeout: options.timeout, head: 4096, piece: 0, large_piece: 0, large_streams: 0 };
    http::serve(NAME, Server::new(Greeter, Runtime, limits), listener, Plain).await;
    Ok(())
}
