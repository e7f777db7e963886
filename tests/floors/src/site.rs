//! The floor of a web site: what the example `static-site` does, in a process, with the same TAP interface and the same image.
//!
//! `site-floor TAP IMAGE --ip ADDRESS/PREFIX...` serves until it is killed.

use static_site::capacity::{self, RECEIVE_BUFFER, SEND_BUFFER};
use static_site::site::Site;
use std::error::Error;
use std::future::pending;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use ukvm_hosted::{block, executor, net, time};
use ukvm_http::{Clock, Options, Plain, Platform, Server};
use ukvm_net_stack::TcpOptions;
use ukvm_storage::{Device, ReadFailed, Store};

/// The hardware address, which the guest has too.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The memory that is shared out as that of a guest is, in bytes: what `ukvm-run` gives if nothing is said.
const MEMORY: usize = 64 << 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tap, image, options @ ..] = &arguments[..] else {
        eprintln!("site-floor: name a TAP interface and an image, as ukvm-bench does");
        return ExitCode::FAILURE;
    };
    match serve(tap, image, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("site-floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(tap: &str, image: &str, options: &[String]) -> Result<(), Box<dyn Error>> {
    let mut options = Options::parse(ukvm_http::HTTP, options.iter().map(String::as_str))?;
    let shares = capacity::share(MEMORY, 0);
    options.network.max_connections = Some(shares.connections);
    let disk = Disk(block::Disk::open(Path::new(image))?);
    let stack = net::open(tap, MAC, &options.network)?;
    executor::block_on(async move {
        let store = Store::open_within(disk, shares.index).await?;
        let buffers = TcpOptions {
            backlog: shares.connections,
            receive_buffer: RECEIVE_BUFFER,
            send_buffer: SEND_BUFFER,
            ..TcpOptions::default()
        };
        let listener = stack.listen(options.port, buffers)?;
        let site = Site::new(store, |error| eprintln!("site-floor: the site cannot be read: {error}"));
        let _ = Rc::new(Server::new(site, Process, shares.limits(options.timeout)))
            .run(listener, Plain, pending::<()>(), Duration::ZERO)
            .await;
        Ok(())
    })
}

/// The image.
struct Disk(block::Disk);

impl Device for Disk {
    fn size(&self) -> u64 {
        self.0.len()
    }

    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
        self.0.read(offset, buffer).map_err(|_| ReadFailed)
    }
}

/// The thread's timers and tasks.
struct Process;

impl Clock for Process {
    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        time::timeout(limit, future).await
    }

    fn now(&self) -> Option<Duration> {
        Some(time::wall())
    }
}

impl Platform for Process {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        executor::spawn(task).detach();
    }
}
