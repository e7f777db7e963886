//! A unikernel that checks passwords: HTTP in front, a FAT image behind. See the README beside it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod failures;
mod options;

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use async_lock::OnceCell;
use auth_service::accounts::LookupFailed;
use auth_service::capacity::{self, RECEIVE_BUFFER, SEND_BUFFER};
use auth_service::http::{End, Server, Stop, Timer};
use auth_service::login::Login;
use core::cell::Cell;
use core::pin::pin;
use core::time::Duration;
use embassy_futures::select::{Either, select};
use options::Options;
use ukvm_runtime::abi::exit_status;
use ukvm_runtime::block::Disk;
use ukvm_runtime::net::{self, Stack, TcpListener, TcpOptions, TcpStream};
use ukvm_runtime::{boot_info, println, shutdown, task, time};

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
    let service = Rc::new(AuthService {
        login: Login::new(disk, failures::report()),
        timeout: options.timeout,
        stop: Stop::new(),
        busy: Cell::new(0),
        quiet: OnceCell::new(),
    });
    service.accept(&listener).await;
    // Nobody else gets in; those inside may finish.
    drop(listener);
    service.drain().await;
    Ok(())
}

/// What the connections share.
struct AuthService<R> {
    login: Login<Disk, R>,
    timeout: Duration,
    stop: Stop,
    /// How many connections there are.
    busy: Cell<usize>,
    /// Set when the last connection has gone after the stop.
    quiet: OnceCell<()>,
}

impl<R: Fn(&LookupFailed) + 'static> AuthService<R> {
    /// Takes connections until the host wants an end.
    async fn accept(self: &Rc<Self>, listener: &TcpListener) {
        let mut end = pin!(shutdown::requested());
        while let Either::First((stream, _)) = select(listener.accept(), end.as_mut()).await {
            self.busy.set(self.busy.get() + 1);
            task::spawn(self.clone().serve(stream));
        }
    }

    /// Serves one connection to its end.
    async fn serve(self: Rc<Self>, mut stream: TcpStream) {
        let server = Server { service: &self.login, timer: &Clock, timeout: self.timeout, stop: &self.stop };
        match server.serve(&mut stream).await {
            // Whether the client still takes it is its own affair.
            End::Close => drop(stream.close().await),
            End::Abort => stream.abort(),
        }
        self.busy.set(self.busy.get() - 1);
        if self.busy.get() == 0 && self.stop.is_stopped() {
            self.quiet.get_or_init(async || ()).await;
        }
    }

    /// Ends the connections and waits for that.
    async fn drain(&self) {
        self.stop.stop().await;
        if self.busy.get() > 0 && time::timeout(DRAIN, self.quiet.wait()).await.is_err() {
            println!("auth-service: {} connections did not end in time", self.busy.get());
        }
    }
}

/// The runtime's timers.
struct Clock;

impl Timer for Clock {
    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        time::timeout(limit, future).await.ok()
    }
}
