//! Files on disk images: tar archives and FAT file systems.
//!
//! There is no I/O here and no executor: a [`Device`] gives bytes at an offset, and `ukvm-runtime` makes one of a disk. The same code
//! runs in a guest and in a test on a host.
//!
//! [`Store`] reads: it tells tar from FAT by the bytes of the image, notes once where each file is, and from then on reads
//! only contents.
//!
//! 1. [`Device`]: what a disk must give.
//! 2. `window`: a few bytes of it in memory.
//! 3. `path`, `index`: names, and what is found by them.
//! 4. `tar`: how an archive becomes an index.
//! 5. [`Store`]: what programs use.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod blocks;
mod device;
mod error;
pub mod fat;
mod file;
mod index;
mod path;
mod store;
mod tar;
mod window;

pub use blocks::{Blocks, WritableBlocks, read_bytes, write_bytes};
pub use device::{Device, ReadFailed, ReadOnly, WritableDevice, WriteFailed};
pub use error::{Error, FatError, OpenError, TarError};
pub use file::File;
pub use store::{Entry, Format, INDEX_LIMIT, Listed, Store};
