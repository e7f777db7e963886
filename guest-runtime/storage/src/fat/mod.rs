//! FAT file systems: FAT12, FAT16 and FAT32 with long names (Microsoft, "FAT: General Overview of On-Disk Format", 1.03).
//!
//! The crate `hadris-fat` drives them. Here is what it stands on, [`View`], and how a file system becomes an index.

mod error;
mod name;
mod tree;
mod view;
mod volume;

pub use error::VolumeError;
pub(crate) use name::fold;
pub(crate) use tree::{is_file_system, read};
pub use view::{BLOCK, LARGE_WINDOW, View, ViewError, WINDOW};
pub use volume::{Clock, Metadata, OpenFile, OpenOptions, Volume};

use hadris_io::Error;

/// What is wrong, for a sentence that goes on after a colon.
pub(crate) fn reason(error: &Error<ViewError>) -> alloc::string::String {
    use alloc::string::ToString;
    error.to_string()
}
