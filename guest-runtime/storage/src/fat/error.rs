//! Why an operation on a file system failed.

use super::view::ViewError;
use crate::device::{ReadFailed, WriteFailed};
use alloc::string::{String, ToString};
use core::fmt;
use hadris_io::{Error, ErrorKind};

/// Why an operation on a [`Volume`](super::Volume) failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VolumeError {
    /// The disk refused to read.
    Read(ReadFailed),
    /// The disk refused to write.
    Write(WriteFailed),
    /// There is nothing of this name.
    NotFound,
    /// There is something of this name.
    AlreadyExists,
    /// It is no directory, but is used as one.
    NotADirectory,
    /// It is a directory, but is used as a file.
    IsADirectory,
    /// The directory is not empty.
    NotEmpty,
    /// The file system is full, or the root directory of a FAT12 or FAT16.
    Full,
    /// The file system is read-only.
    ReadOnly,
    /// It is open.
    Busy,
    /// The name is none that FAT can hold, or the call makes no sense.
    Invalid,
    /// The file would be longer than FAT allows.
    TooLarge,
    /// The file system is broken: what is wrong.
    Broken(String),
}

impl From<Error<ViewError>> for VolumeError {
    fn from(error: Error<ViewError>) -> Self {
        match (error.device_error(), error.kind()) {
            (Some(ViewError::Read(failed)), _) => Self::Read(*failed),
            (Some(ViewError::Write(failed)), _) => Self::Write(*failed),
            (_, ErrorKind::NotFound) => Self::NotFound,
            (_, ErrorKind::AlreadyExists) => Self::AlreadyExists,
            (_, ErrorKind::NotADirectory) => Self::NotADirectory,
            (_, ErrorKind::IsADirectory) => Self::IsADirectory,
            (_, ErrorKind::DirectoryNotEmpty) => Self::NotEmpty,
            (_, ErrorKind::NoSpace) => Self::Full,
            (_, ErrorKind::ReadOnly) => Self::ReadOnly,
            (_, ErrorKind::Busy) => Self::Busy,
            (_, ErrorKind::InvalidInput | ErrorKind::NameTooLong | ErrorKind::Unsupported) => Self::Invalid,
            (_, ErrorKind::FileTooLarge) => Self::TooLarge,
            _ => Self::Broken(error.to_string()),
        }
    }
}

impl fmt::Display for VolumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read(failed) => return failed.fmt(f),
            Self::Write(failed) => return failed.fmt(f),
            Self::NotFound => "there is no file or directory of this name",
            Self::AlreadyExists => "there is a file or directory of this name already",
            Self::NotADirectory => "a part of the path is no directory",
            Self::IsADirectory => "it is a directory",
            Self::NotEmpty => "the directory is not empty",
            Self::Full => "the file system has no room left",
            Self::ReadOnly => "the file system is read-only",
            Self::Busy => "the file is open",
            Self::Invalid => "FAT cannot hold such a name or value",
            Self::TooLarge => "FAT cannot hold a file of 4 GiB or more",
            Self::Broken(reason) => {
                return write!(f, "the FAT file system is broken: {reason}; fsck.vfat may mend it");
            }
        })
    }
}

impl core::error::Error for VolumeError {}

impl embedded_io_async::Error for VolumeError {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        use embedded_io_async::ErrorKind as Kind;
        match self {
            Self::NotFound => Kind::NotFound,
            Self::AlreadyExists => Kind::AlreadyExists,
            Self::Full | Self::TooLarge | Self::Write(WriteFailed::NoSpace) => Kind::OutOfMemory,
            Self::ReadOnly | Self::Write(WriteFailed::ReadOnly) => Kind::PermissionDenied,
            Self::NotADirectory | Self::IsADirectory | Self::NotEmpty | Self::Invalid => Kind::InvalidInput,
            Self::Busy | Self::Broken(_) | Self::Read(_) | Self::Write(WriteFailed::Io) => Kind::Other,
        }
    }
}
