//! A unikernel that checks passwords: HTTP in front, a FAT image behind. See the README beside it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use auth_service::accounts::LookupFailed;
use auth_service::capacity::{self, HEAD_LIMIT, RECEIVE_BUFFER, SEND_BUFFER};
use auth_service::login::Login;
use core::time::Duration;
use ukvm_runtime::abi::exit_status;
use ukvm_runtime::block::Disk;
use ukvm_runtime::console::Notices;
use ukvm_runtime::http::{Limits, Options, Runtime, Server};
use ukvm_runtime::net::{self, Stack, TcpOptions};
use ukvm_runtime::{boot_info, println, shutdown, task};

ukvm_runtime::program! {
    main = main;
    net service;
    block data;
    min_memory = 16 << 20;
}

/// How long requests may take to finish once the host wants an end: less than the monitor waits if not told otherwise.
const DRAIN: Duration = Duration::from_secs(4);

async fn main() -> u8 {
    let options = match Options::parse(ukvm_runtime::args()) {
        Ok(options) => options,
        Err(error) => {
            println!("auth-service: {error}");
            return exit_status::USAGE;
        }
    };
    match run(options).await {
        Ok(()) => 0,
        Err(error) => {
            println!("auth-service: {error}");
            1
        }
    }
}

/// Serves until the host wants an end.
async fn run(mut options: Options) -> Result<(), String> {
    let disk = Disk::open("data").map_err(|error| error.to_string())?;
    let frames = net::frame_memory("service").map_err(|error| error.to_string())?;
    let memory = usize::try_from(boot_info().heap_size()).unwrap_or(usize::MAX).saturating_sub(frames);
    let possible = capacity::connections(memory);
    let connections = options.network.max_connections.unwrap_or(possible).min(possible);
    options.network.max_connections = Some(connections);
    let stack = Stack::open("service", options.network).map_err(|error| error.to_string())?;
    let buffers = TcpOptions {
        backlog: connections,
        receive_buffer: RECEIVE_BUFFER,
        send_buffer: SEND_BUFFER,
        ..TcpOptions::default()
    };
    let listener = stack.listen(options.port, buffers).map_err(|error| error.to_string())?;
    let port = options.port;
    drop(task::spawn(async move {
        let say = |address| {
            println!("auth-service: at {address} port {port}, up to {connections} connections");
        };
        stack.for_each_address(say).await;
    }));
    // No body of this service is longer than a line.
    let limits =
        Limits { timeout: options.timeout, head: HEAD_LIMIT, piece: 0, large_piece: 0, large_streams: 0 };
    let notices = Notices::new();
    let report = move |failed: &LookupFailed| {
        notices.say(format_args!("auth-service: the users cannot be read: {failed}"));
    };
    let server = Rc::new(Server::new(Login::new(disk, report), Runtime, limits));
    match server.run(listener, shutdown::requested(), DRAIN).await {
        0 => {}
        left => println!("auth-service: {left} connections did not end in time"),
    }
    Ok(())
}
