//! FAT file systems: FAT12, FAT16 and FAT32 with long names (Microsoft, "FAT: General Overview of On-Disk Format", 1.03).
//!
//! The crate `hadris-fat` drives them. Here is what it stands on, [`View`]; how a file system becomes an index; and files
//! that are written, [`Volume`].

mod error;
mod name;
mod tree;
mod view;
mod volume;

pub use error::VolumeError;
pub use name::fold;
pub(crate) use tree::{is_file_system, read};
pub use view::{LARGE_WINDOW, View, ViewError, WINDOW};
pub use volume::{Clock, Metadata, OpenFile, OpenOptions, Volume};
