//! A unikernel that serves the files of a disk: HTTP in front, a tar archive or a FAT image behind. See the README beside it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::time::Duration;
use static_site::capacity::{self, RECEIVE_BUFFER, SEND_BUFFER};
use static_site::site::Site;
use ukvm_runtime::abi::exit_status;
use ukvm_runtime::block::Disk;
use ukvm_runtime::console::Notices;
use ukvm_runtime::http::{Options, Runtime, Server};
use ukvm_runtime::net::{self, Stack, TcpOptions};
use ukvm_runtime::storage::{Error, Store};
use ukvm_runtime::{boot_info, println, shutdown, task};

ukvm_runtime::program! {
    main = main;
    net service;
    block site;
    min_memory = 16 << 20;
}

/// How long replies may take to be sent once the host wants an end: less than the monitor waits if not told otherwise.
const DRAIN: Duration = Duration::from_secs(4);

async fn main() -> u8 {
    let options = match Options::parse(ukvm_runtime::args()) {
        Ok(options) => options,
        Err(error) => {
            println!("static-site: {error}");
            return exit_status::USAGE;
        }
    };
    match run(options).await {
        Ok(()) => 0,
        Err(error) => {
            println!("static-site: {error}");
            1
        }
    }
}

/// Serves until the host wants an end.
async fn run(mut options: Options) -> Result<(), String> {
    let disk = Disk::open("site").map_err(|error| error.to_string())?;
    let frames = net::frame_memory("service").map_err(|error| error.to_string())?;
    let memory = usize::try_from(boot_info().heap_size()).unwrap_or(usize::MAX).saturating_sub(frames);
    let shares = capacity::share(memory);
    let connections = options.network.max_connections.unwrap_or(shares.connections).min(shares.connections);
    options.network.max_connections = Some(connections);
    let stack = Stack::open("service", options.network).map_err(|error| error.to_string())?;
    let store = Store::open_within(disk, shares.index).await.map_err(|error| error.to_string())?;
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
            println!("static-site: at {address} port {port}, up to {connections} connections");
        };
        stack.for_each_address(say).await;
    }));
    let notices = Notices::new();
    let report =
        move |error: &Error| notices.say(format_args!("static-site: the site cannot be read: {error}"));
    let server = Rc::new(Server::new(Site::new(store, report), Runtime, shares.limits(options.timeout)));
    match server.run(listener, shutdown::requested(), DRAIN).await {
        0 => {}
        left => println!("static-site: {left} connections did not end in time"),
    }
    Ok(())
}
