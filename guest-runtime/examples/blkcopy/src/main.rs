//! Copies the disk `source` onto the disk `target`, then reads the target again and compares the checksums.
//!
//! Several tasks each carry one piece at a time, so that the host always has requests to work on.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use ukvm_runtime::block::{self, Disk, OpenError};
use ukvm_runtime::{println, task, time};

ukvm_runtime::program! {
    main = main;
    block source;
    block target: writable;
    min_memory = 8 << 20;
}

/// Bytes of a piece, as far as the disks can move that much at once.
const PIECE: usize = 256 << 10;
/// Pieces under way at once.
const DEPTH: usize = 8;

/// Why the copy failed.
enum Error {
    Open(&'static str, OpenError),
    Sizes { source: u64, target: u64 },
    Disk(&'static str, block::Error),
    Differs { offset: u64 },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(name, error) => write!(f, "disk {name}: {error}"),
            Self::Sizes { source, target } => {
                write!(f, "the source has {source} bytes and the target {target}, make them equal")
            }
            Self::Disk(what, error) => write!(f, "{what}: {error}"),
            Self::Differs { offset } => {
                write!(f, "the piece at {offset} of the target differs from what was written")
            }
        }
    }
}

/// What all tasks work on: the copy, and after it the check.
struct Job {
    source: Disk,
    target: Disk,
    piece: usize,
    /// Where the next piece starts.
    next: Cell<u64>,
    /// The checksum of each piece, by its number.
    checksums: Vec<Cell<u32>>,
}

impl Job {
    /// The offset and length of a piece that nobody has taken yet.
    fn take(&self) -> Option<(u64, usize)> {
        let offset = self.next.get();
        let left = self.source.len() - offset;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.piece);
        self.next.set(offset + length as u64);
        (length > 0).then_some((offset, length))
    }

    fn checksum(&self, offset: u64) -> &Cell<u32> {
        &self.checksums[(offset / self.piece as u64) as usize]
    }

    async fn copy(self: Rc<Self>) -> Result<(), Error> {
        let mut buffer = vec![0; self.piece];
        while let Some((offset, length)) = self.take() {
            let piece = &mut buffer[..length];
            self.source
                .read(offset, piece)
                .await
                .map_err(|error| Error::Disk("reading the source", error))?;
            self.checksum(offset).set(crc32fast::hash(piece));
            self.target
                .write(offset, piece)
                .await
                .map_err(|error| Error::Disk("writing the target", error))?;
        }
        Ok(())
    }

    async fn verify(self: Rc<Self>) -> Result<(), Error> {
        let mut buffer = vec![0; self.piece];
        while let Some((offset, length)) = self.take() {
            let piece = &mut buffer[..length];
            self.target
                .read(offset, piece)
                .await
                .map_err(|error| Error::Disk("reading the target", error))?;
            if self.checksum(offset).get() != crc32fast::hash(piece) {
                return Err(Error::Differs { offset });
            }
        }
        Ok(())
    }
}

/// Runs [`DEPTH`] tasks of a kind over the whole disk, until the last one has ended.
async fn run<F>(job: &Rc<Job>, work: fn(Rc<Job>) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + 'static,
{
    job.next.set(0);
    let tasks: Vec<_> = (0..DEPTH).map(|_| task::spawn(work(job.clone()))).collect();
    let mut result = Ok(());
    for task in tasks {
        result = result.and(task.await);
    }
    result
}

fn open(name: &'static str) -> Result<Disk, Error> {
    Disk::open(name).map_err(|error| Error::Open(name, error))
}

async fn main() -> Result<(), Error> {
    let (source, target) = (open("source")?, open("target")?);
    let length = source.len();
    if length != target.len() {
        return Err(Error::Sizes { source: length, target: target.len() });
    }
    // A multiple of both block sizes, which are powers of two.
    let unit = source.block_size().max(target.block_size());
    if !length.is_multiple_of(unit as u64) {
        return Err(Error::Disk("the last piece", block::Error::Unaligned));
    }
    let piece = PIECE.min(source.max_transfer()).min(target.max_transfer()) / unit * unit;
    let pieces = length.div_ceil(piece as u64) as usize;
    let job =
        Rc::new(Job { source, target, piece, next: Cell::new(0), checksums: vec![Cell::new(0); pieces] });

    let start = time::monotonic();
    run(&job, Job::copy).await?;
    job.target.flush().await.map_err(|error| Error::Disk("flushing the target", error))?;
    let copied = time::monotonic() - start;
    run(&job, Job::verify).await?;
    let verified = time::monotonic() - start - copied;
    println!("copied {length} bytes in {copied:.1?}, verified them in {verified:.1?}");
    Ok(())
}
