//! A unikernel that serves the files of a disk over TLS 1.3. See the README beside it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::{String, ToString};
use https::capacity::{self, RECEIVE_BUFFER, SEND_BUFFER};
use https::identity;
use static_site::site::Site;
use ukvm_runtime::block::Disk;
use ukvm_runtime::console::Notices;
use ukvm_runtime::http::{self, Options, Runtime, Server};
use ukvm_runtime::net::{self, Endpoint, TcpOptions};
use ukvm_runtime::storage::{Error, Store};
use ukvm_runtime::tls::Acceptor;
use ukvm_runtime::{println, time};

ukvm_runtime::program! {
    main = main;
    net service;
    block site;
    block identity;
    min_memory = 16 << 20;
}

/// Its name, for messages.
const NAME: &str = "https";

async fn main() -> u8 {
    http::run(NAME, http::HTTPS_PORT, serve).await
}

/// Serves until the host wants an end.
async fn serve(options: Options) -> Result<(), String> {
    let disk = Disk::open(identity::DISK).map_err(|error| error.to_string())?;
    let identity = identity::read(disk).await?;
    if let Some(warning) = identity::warning(&identity, time::wall()) {
        println!("{NAME}: {warning}");
    }
    let acceptor = Acceptor::new(identity, time::wall).map_err(|error| error.to_string())?;
    let disk = Disk::open("site").map_err(|error| error.to_string())?;
    let shares = capacity::share(net::spare_memory("service").map_err(|error| error.to_string())?);
    let endpoint = Endpoint::open(NAME, "service", options.network, options.port, shares.connections)
        .map_err(|error| error.to_string())?;
    let store = Store::open_within(disk, shares.index).await.map_err(|error| error.to_string())?;
    identity::check_is_apart(&store).await?;
    let buffers =
        TcpOptions { receive_buffer: RECEIVE_BUFFER, send_buffer: SEND_BUFFER, ..TcpOptions::default() };
    let listener = endpoint.listen(buffers).map_err(|error| error.to_string())?;
    let notices = Notices::new();
    let report = move |error: &Error| notices.say(format_args!("{NAME}: the site cannot be read: {error}"));
    let server = Server::new(Site::new(store, report), Runtime, shares.limits(options.timeout));
    http::serve(NAME, server, listener, acceptor).await;
    Ok(())
}
