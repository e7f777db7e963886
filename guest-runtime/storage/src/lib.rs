//! Files on disk images: tar archives and FAT file systems.
//!
//! There is no I/O here and no executor: a [`Device`] gives bytes at an offset, and `ukvm-runtime` makes one of a disk. The same code
//! runs in a guest and in a test on a host.
//!
//! [`Store`] reads: it tells tar from FAT by the bytes of the image, notes once where each file is, and from then on reads
//! only contents. [`fat::Volume`] reads and writes files on FAT.
//!
//! 1. [`Device`], [`WritableDevice`]: what a disk must give; `blocks`: the same for one that moves whole blocks.
//! 2. `path`, [`File`], `index`: names, and what is found by them.
//! 3. `tar`: how an archive becomes an index; `window`: the bytes of it that are looked at.
//! 4. [`fat`]: what its driver stands on, how a file system becomes an index, and files that are written.
//! 5. [`Store`]: what programs use to read either.
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
