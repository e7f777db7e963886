//! HTTP/1.1 for servers and clients: the crate `ukvm-http`, the runtime as what it stands on, and what a program with a server does
//! around it.
//!
//! ```ignore
//! async fn main() -> u8 {
//!     http::run("greeter", http::HTTP_PORT, async |options| {
//!         let endpoint = Endpoint::open("greeter", "service", options.network, options.port, 100)
//!             .map_err(|error| error.to_string())?;
//!         let listener = endpoint.listen(TcpOptions::default()).map_err(|error| error.to_string())?;
//!         http::serve("greeter", Server::new(Greeter, Runtime, limits), listener, Plain).await;
//!         Ok(())
//!     })
//!     .await
//! }
//! ```

pub use ukvm_http::*;

use crate::net::TcpListener;
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
