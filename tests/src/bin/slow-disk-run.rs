//! `ukvm-run` with disks on which every request hangs for a second.
//!
//! It takes the same command line, and shows that a slow disk holds up nothing but the requests to it.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use ukvm::cli::{self, Command};
use ukvm::config::DiskSource;
use ukvm::device::block::{BlockBackend, FileBackend};
use ukvm::error::Error;
use ukvm::vm::Vm;
use vm_memory::VolatileSlice;

/// How long each request takes.
const DELAY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("slow-disk-run: {error}");
            ExitCode::from(error.status())
        }
    }
}

fn run() -> Result<u8, Error> {
    let Command::Run { mut config, .. } = cli::parse(std::env::args_os(), Instant::now())? else {
        return Ok(0);
    };
    for disk in &mut config.disks {
        if let DiskSource::Path(path) = &disk.source {
            let file = FileBackend::open(path, disk.read_only)?;
            disk.source = DiskSource::Backend(Box::new(Slow(file)));
        }
    }
    let outcome = Vm::new(*config)?.run();
    Ok(outcome.cause.status())
}

/// A file that hangs.
#[derive(Debug)]
struct Slow(FileBackend);

impl BlockBackend for Slow {
    fn capacity(&self) -> u64 {
        self.0.capacity()
    }

    fn block_size(&self) -> u32 {
        self.0.block_size()
    }

    fn is_read_only(&self) -> bool {
        self.0.is_read_only()
    }

    // Nothing is there without waiting: `read_now` is the trait's own.

    fn read(&self, into: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        std::thread::sleep(DELAY);
        self.0.read(into, offset)
    }

    fn write(&self, from: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        std::thread::sleep(DELAY);
        self.0.write(from, offset)
    }

    fn flush(&self) -> io::Result<()> {
        std::thread::sleep(DELAY);
        self.0.flush()
    }

    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        std::thread::sleep(DELAY);
        self.0.write_zeroes(offset, length)
    }
}
