//! What can go wrong, as sentences.

use crate::device::ReadFailed;
use alloc::string::String;
use core::fmt;

/// Why an image could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The disk refused to read.
    Read(ReadFailed),
    /// It is neither a tar archive nor a FAT file system.
    Unknown,
    /// It has a partition table.
    Partitioned,
    /// It is a tar archive, where files are to be written.
    Archive,
    /// It is compressed; the name of the format.
    Compressed(&'static str),
    /// To note where its files are takes more than this many bytes.
    TooMany {
        /// The bytes that the index may have.
        limit: usize,
    },
    /// It is a tar archive that cannot be used.
    Tar(TarError),
    /// It is a FAT file system that cannot be used.
    Fat(FatError),
}

/// What is wrong with a FAT file system.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FatError {
    /// The disk is smaller than the file system says.
    CutShort {
        /// The bytes that it says.
        described: u64,
        /// The bytes of the disk.
        size: u64,
    },
    /// Something in it makes no sense.
    Broken {
        /// The file or directory; none where it is about the whole.
        path: Option<String>,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory that is inside itself, or has two names.
    Cycle(String),
    /// A file or directory with which all together are longer than the disk, so that some have clusters in common.
    Shared(String),
}

/// What is wrong with a tar archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TarError {
    /// A header is broken.
    Header {
        /// The byte of the archive at which it starts, or its extended headers do.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk ends before the archive does.
    CutShort {
        /// The name of the entry whose contents end too early; none where the next header or the end mark is missing.
        name: Option<String>,
    },
    /// A name leads out of the tree.
    LeadsOut(String),
    /// A name is not in UTF-8; it is shown with replacement characters.
    NotUnicode(String),
    /// A name stands for a directory and for something else.
    Conflict(String),
    /// A sparse file.
    Sparse(String),
    /// A part of an archive of several volumes.
    Volumes(String),
    /// A hard link to a file that does not precede it.
    HardLink {
        /// The link.
        name: String,
        /// The name of the file.
        target: String,
    },
}

/// Why a file of an open image could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The disk refused to read.
    Read(ReadFailed),
}

impl From<ReadFailed> for OpenError {
    fn from(failed: ReadFailed) -> Self {
        Self::Read(failed)
    }
}

impl From<TarError> for OpenError {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}

impl From<FatError> for OpenError {
    fn from(error: FatError) -> Self {
        Self::Fat(error)
    }
}

impl From<ReadFailed> for Error {
    fn from(failed: ReadFailed) -> Self {
        Self::Read(failed)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(failed) => failed.fmt(f),
            Self::Unknown => f.write_str(
                "the disk holds neither a tar archive nor a FAT file system; make an image with tar or mkfs.vfat",
            ),
            Self::Archive => f.write_str(
                "the disk holds a tar archive, whose files can only be read; make a FAT file system with mkfs.vfat",
            ),
            Self::Compressed(format) => {
                write!(f, "the disk holds {format} data; an archive must not be compressed as a whole")
            }
            Self::TooMany { limit } => {
                write!(f, "the disk holds more files than can be noted in {limit} bytes; allow for more")
            }
            Self::Partitioned => {
                f.write_str("the disk has a partition table; make a file system on the whole disk instead")
            }
            Self::Tar(error) => error.fmt(f),
            Self::Fat(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for TarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { offset, reason } => {
                write!(f, "the tar archive is broken at byte {offset}: {reason}")
            }
            Self::CutShort { name: Some(name) } => {
                write!(f, "the tar archive is cut short: the disk ends within {name:?}")
            }
            Self::CutShort { name: None } => {
                f.write_str("the tar archive is cut short: the disk ends without an end-of-archive mark")
            }
            Self::LeadsOut(name) => {
                write!(
                    f,
                    "the tar archive has the name {name:?}, which leads out of its tree; make it without"
                )
            }
            Self::NotUnicode(name) => {
                write!(f, "the tar archive has the name {name:?}, which is not in UTF-8; rename the file")
            }
            Self::Conflict(name) => {
                write!(f, "the tar archive has {name:?} as a directory and as something else; make it anew")
            }
            Self::Sparse(name) => {
                write!(
                    f,
                    "the tar archive has {name:?} as a sparse file; make it without tar's option --sparse"
                )
            }
            Self::Volumes(name) => {
                write!(
                    f,
                    "the tar archive has only a part of {name:?}; make it without tar's option --multi-volume"
                )
            }
            Self::HardLink { name, target } => {
                write!(
                    f,
                    "the tar archive has {name:?} as a hard link to {target:?}, which does not precede it; make it anew"
                )
            }
        }
    }
}

impl fmt::Display for FatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutShort { described, size } => write!(
                f,
                "the FAT file system is cut short: it says that it has {described} bytes, and the disk has {size}"
            ),
            Self::Broken { path: Some(path), reason } => {
                write!(f, "the FAT file system is broken at {path:?}: {reason}; fsck.vfat may mend it")
            }
            Self::Broken { path: None, reason } => {
                write!(f, "the FAT file system is broken: {reason}; fsck.vfat may mend it")
            }
            Self::Cycle(path) => write!(
                f,
                "the FAT file system is broken: the directory {path:?} is inside itself, or is there twice; fsck.vfat may mend it"
            ),
            Self::Shared(path) => write!(
                f,
                "the FAT file system is broken: its files are longer than the disk, the last of them {path:?}; fsck.vfat may mend it"
            ),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(failed) => failed.fmt(f),
        }
    }
}

impl core::error::Error for OpenError {}
impl core::error::Error for TarError {}
impl core::error::Error for FatError {}
impl core::error::Error for Error {}
