//! A unikernel that keeps keys and values on a disk: the Redis protocol in front, redb behind. See the README beside it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::time::Duration;
use kv_server::capacity::{self, RECEIVE_BUFFER, SEND_BUFFER};
use kv_server::device::{Device, DeviceError};
use kv_server::session::{Budget, Service, Timer};
use kv_server::store::{Options, Store};
use kv_server::writer::Writer;
use ukvm_runtime::abi::exit_status;
use ukvm_runtime::block::{self, Disk};
use ukvm_runtime::console::Notices;
use ukvm_runtime::net::{self, Endpoint, TcpListener, TcpOptions};
use ukvm_runtime::{args, println, shutdown, task, time};

ukvm_runtime::program! {
    main = main;
    net service;
    block data: writable;
    min_memory = 32 << 20;
}

/// Its name, for messages.
const NAME: &str = "kv-server";
/// The port of Redis.
const PORT: u16 = 6379;
/// How long a client may take for the rest of a request, and for taking more of a reply.
const PATIENCE: Duration = Duration::from_secs(30);
/// After how long a silence to ask whether a client is still there: one that is gone would keep its connection for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

async fn main() -> u8 {
    match arguments() {
        Err(error) => {
            println!("{NAME}: {error}");
            exit_status::USAGE
        }
        Ok((options, check)) => match serve(options, check).await {
            Ok(()) => 0,
            Err(error) => {
                println!("{NAME}: {error}");
                1
            }
        },
    }
}

/// What the arguments say of the network, and whether the whole store is to be checked.
fn arguments() -> Result<(net::Options, bool), String> {
    let (options, others) = net::Options::parse(args()).map_err(|error| error.to_string())?;
    match others.iter().find(|&&argument| argument != "--check") {
        None => Ok((options, !others.is_empty())),
        Some(other) => {
            Err(format!("`{other}` is not known here: use one of --check, {}", net::Options::KNOWN))
        }
    }
}

/// Serves until the host wants an end.
async fn serve(options: net::Options, check: bool) -> Result<(), String> {
    let disk = Disk::open("data").map_err(|error| error.to_string())?;
    let shares = capacity::share(net::spare_memory("service").map_err(|error| error.to_string())?);
    let port = options.port.unwrap_or(PORT);
    let endpoint = Endpoint::open(NAME, "service", options.config, port, shares.connections)
        .map_err(|error| error.to_string())?;
    let opening =
        Options { cache: shares.cache, transaction: shares.transaction, small: shares.small, check };
    let store = Store::open(DataDisk(disk), opening).await.map_err(|error| error.to_string())?;
    let (store, writer) = (Rc::new(store), Rc::new(Writer::default()));
    // Before anybody can know that it serves: an end that is asked for from then on is one in order.
    let closer = writer.clone();
    drop(task::spawn(async move {
        shutdown::requested().await;
        closer.close();
    }));
    let options = TcpOptions {
        receive_buffer: RECEIVE_BUFFER,
        send_buffer: SEND_BUFFER,
        keep_alive: Some(KEEP_ALIVE),
        ..TcpOptions::default()
    };
    let listener = endpoint.listen(options).map_err(|error| error.to_string())?;
    drop(task::spawn(accept(
        listener,
        Service {
            store: store.clone(),
            writer: writer.clone(),
            budget: Budget::new(shares.long),
            timer: Clock,
            patience: PATIENCE,
        },
    )));
    let notices = Notices::new();
    writer.run(&store, |failure| notices.say(format_args!("{NAME}: {failure}"))).await;
    store.close().await.map_err(|error| error.to_string())
}

async fn accept(listener: TcpListener, service: Service<DataDisk, Clock>) {
    let service = Rc::new(service);
    loop {
        let (mut stream, _) = listener.accept().await;
        let service = service.clone();
        drop(task::spawn(async move {
            service.serve(&mut stream).await;
            let _ = time::timeout(PATIENCE, stream.close()).await;
        }));
    }
}

/// The runtime's timers.
#[derive(Clone, Copy, Debug)]
struct Clock;

impl Timer for Clock {
    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        time::timeout(limit, future).await.ok()
    }
}

/// The disk that the store is on.
#[derive(Debug)]
struct DataDisk(Disk);

/// What is wrong, as the store sees it.
const fn error(error: block::Error) -> DeviceError {
    match error {
        block::Error::NoSpace => DeviceError::NoSpace,
        _ => DeviceError::Failed,
    }
}

impl Device for DataDisk {
    fn size(&self) -> u64 {
        self.0.len()
    }

    fn read_blocking(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read_blocking(offset, buffer).map_err(error)
    }

    async fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.0.write(offset, bytes).await.map_err(error)
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.0.flush().await.map_err(error)
    }
}
