//! HTTP/1.1 for servers and clients: the crate `ukvm-http`, the runtime as what it stands on, and what a program with a server does around it.
//!
//! ```ignore
//! async fn main() -> u8 {
//!     http::run("greeter", http::HTTP_PORT, async |options| {
//!         let endpoint = Endpoint::open("greeter", "service", &options, 100).map_err(|error| error.to_string())?;
//!         let listener = endpoint.listen(4096, 4096).map_err(|error| error.to_string())?;
//!         http::serve("greeter", Server::new(Greeter, Runtime, limits), listener, Plain).await;
//!         Ok(())
//!     })
//!     .await
//! }
//! ```

pub use ukvm_http::*;

use crate::net::{self, BindError, Stack, TcpListener, TcpOptions};
use crate::{args, println, shutdown, task, time};
use alloc::rc::Rc;
use alloc::string::String;
use core::time::Duration;
use ukvm_abi::exit_status;

/// How long replies may take to be sent once the host wants an end: less than the monitor waits if not told otherwise.
const DRAIN: Duration = Duration::from_secs(4);

/// The runtime's timers, clock and tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Runtime;

impl Clock for Runtime {
    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        time::timeout(limit, future).await.ok()
    }

    fn now(&self) -> Option<Duration> {
        Some(time::wall())
    }
}

impl Platform for Runtime {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        drop(task::spawn(task));
    }
}

/// Reads the program's arguments and has `program` do the rest. `port` is that of its protocol. Gives the exit
/// status: 0, [`USAGE`](exit_status::USAGE) for arguments that cannot be understood, or 1 where the program
/// fails; why is printed behind `name`.
pub async fn run(name: &str, port: u16, program: impl AsyncFnOnce(Options) -> Result<(), String>) -> u8 {
    let options = match Options::parse(port, args()) {
        Ok(options) => options,
        Err(error) => {
            println!("{name}: {error}");
            return exit_status::USAGE;
        }
    };
    match program(options).await {
        Ok(()) => 0,
        Err(error) => {
            println!("{name}: {error}");
            1
        }
    }
}

/// Where clients come in: a stack and a port of it.
#[derive(Debug)]
pub struct Endpoint {
    name: &'static str,
    stack: Stack,
    port: u16,
    connections: usize,
}

impl Endpoint {
    /// Opens the network on `device` for the program `name`, with at most `most` connections, or fewer where the arguments say so.
    ///
    /// # Errors
    ///
    /// As [`Stack::open`].
    pub fn open(
        name: &'static str,
        device: &str,
        options: &Options,
        most: usize,
    ) -> Result<Self, net::OpenError> {
        let mut config = options.network.clone();
        let connections = config.max_connections.unwrap_or(most).min(most);
        config.max_connections = Some(connections);
        Ok(Self { name, stack: Stack::open(device, config)?, port: options.port, connections })
    }

    /// Lets clients in, each with buffers of so many bytes, and prints each address at which they find the program.
    ///
    /// # Errors
    ///
    /// As [`listen`](ukvm_net_stack::Stack::listen).
    pub fn listen(self, receive_buffer: usize, send_buffer: usize) -> Result<TcpListener, BindError> {
        let Self { name, stack, port, connections } = self;
        let buffers =
            TcpOptions { backlog: connections, receive_buffer, send_buffer, ..TcpOptions::default() };
        let listener = stack.listen(port, buffers)?;
        drop(task::spawn(async move {
            let say = |address| println!("{name}: at {address} port {port}, up to {connections} connections");
            stack.for_each_address(say).await;
        }));
        Ok(listener)
    }
}

/// Serves, by way of `transport`, until the host wants an end. Requests that have come may finish then, for 4 s; if not all did, that is
/// printed behind `name`.
pub async fn serve<S: Service + 'static, T: Transport + 'static>(
    name: &str,
    server: Server<S, Runtime>,
    listener: TcpListener,
    transport: T,
) {
    match Rc::new(server).run(listener, transport, shutdown::requested(), DRAIN).await {
        0 => {}
        left => println!("{name}: {left} connections did not end in time"),
    }
}
