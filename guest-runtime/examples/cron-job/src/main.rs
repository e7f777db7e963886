//! A unikernel that fetches a URL into a file of its FAT disk, and ends. See the README beside it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod network;

use alloc::format;
use core::time::Duration;
use cron_job::delivery::Delivery;
use cron_job::download::{download, unless_stopped};
use cron_job::failure::{Cause, Failure};
use cron_job::options::Options;
use cron_job::stages::{Stage, Stages};
use network::Network;
use ukvm_runtime::block::Disk;
use ukvm_runtime::http::Runtime;
use ukvm_runtime::http::client::Client;
use ukvm_runtime::net::Stack;
use ukvm_runtime::storage::WallClock;
use ukvm_runtime::{args, println, shutdown, task, time};

ukvm_runtime::program! {
    main = main;
    net outside;
    block data: writable;
    min_memory = 16 << 20;
}

/// Its name, for messages and for servers.
const NAME: &str = "cron-job";

/// How long the end of a connection may take to leave. Nobody waits for an answer to it.
const PARTING: Duration = Duration::from_millis(2);

async fn main() -> u8 {
    // Who waits for the wish that it end is not just ended: the disk is never left in the middle of something.
    drop(task::spawn(shutdown::requested()));
    let stages = Stages::new(time::monotonic);
    let ended = match Options::parse(args()) {
        Ok(options) => run(&options, &stages).await,
        Err(error) => Err(Failure::new(Cause::Usage, error)),
    };
    match ended {
        Ok(()) => 0,
        Err(failure) => {
            println!("{NAME}: {failure}");
            // A server that is left in the middle of an answer learns it.
            time::sleep(PARTING).await;
            failure.status()
        }
    }
}

/// Does the job, and tells what it has done.
async fn run(options: &Options, stages: &Stages) -> Result<(), Failure> {
    let Options { network, url, output, timeout: limit, max_size } = options;
    // From here on its driver asks for an address.
    let stack = Stack::open("outside", network.clone()).map_err(|error| Failure::new(Cause::Usage, error))?;
    let disk = Disk::open("data").map_err(|error| Failure::new(Cause::Disk, error))?;
    let delivery = Delivery::open::<WallClock>(disk, output).await?;
    stages.end(Stage::Disk);
    let configured = time::timeout(*limit, stack.configured());
    unless_stopped(configured, shutdown::requested()).await?.map_err(|_| {
        Failure::new(
            Cause::Address,
            format!("nobody has given this machine an address within {} s", limit.as_secs()),
        )
    })?;
    stages.end(Stage::Address);

    let client = Client::new(Network { stack, limit: *limit, stages }, Runtime, *limit, NAME);
    let mut answer = unless_stopped(client.get(url), shutdown::requested()).await??;
    stages.end(Stage::Answer);
    let mut file = delivery.begin().await?;
    let size = match download(&mut answer, &mut file, output, *max_size, shutdown::requested).await {
        Ok(size) => size,
        Err(failure) => {
            drop(file);
            // The old file is whole whether this works or not.
            let _ = delivery.discard().await;
            return Err(failure);
        }
    };
    stages.end(Stage::Body);
    let from = answer.url().clone();
    // Closes the connection while the disk works.
    drop(answer);
    delivery.finish(file).await?;
    stages.end(Stage::File);
    println!("{NAME}: {size} bytes of {from} are in {output}; ms: {stages}");
    Ok(())
}
