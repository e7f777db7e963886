//! A process that serves the files of an image as a guest does.

use static_site::capacity::{RECEIVE_BUFFER, SEND_BUFFER, Shares};
use static_site::site::Site;
use std::error::Error;
use std::future::pending;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use ukvm_hosted::{block, executor, net, time};
use ukvm_http::{Clock, Options, Platform, Server, Transport};
use ukvm_net_stack::TcpOptions;
use ukvm_storage::{Device, ReadFailed, Store};

/// The hardware address, which the guest has too.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The memory that is shared out as that of a guest is, in bytes: what `ukvm-run` gives if nothing is said.
pub(crate) const MEMORY: usize = 64 << 20;

/// The end of the program `name`.
pub(crate) fn end(name: &str, result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves an image at a TAP interface, by way of `transport`, for ever.
pub(crate) fn serve(
    tap: &str,
    image: &str,
    port: u16,
    options: &[String],
    shares: Shares,
    transport: impl Transport + 'static,
) -> Result<(), Box<dyn Error>> {
    let mut options = Options::parse(port, options.iter().map(String::as_str))?;
    options.network.max_connections = Some(shares.connections);
    let disk = Disk::open(image)?;
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
        let site = Site::new(store, |error| eprintln!("the site cannot be read: {error}"));
        let _ = Rc::new(Server::new(site, Process, shares.limits(options.timeout)))
            .run(listener, transport, pending::<()>(), Duration::ZERO)
            .await;
        Ok(())
    })
}

/// An image.
pub(crate) struct Disk(block::Disk);

impl Disk {
    /// Opens the file that it is.
    pub(crate) fn open(path: &str) -> io::Result<Self> {
        block::Disk::open(Path::new(path)).map(Self)
    }
}

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
