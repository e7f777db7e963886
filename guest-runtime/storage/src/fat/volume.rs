//! Files on a FAT file system that are read and written.

use super::error::VolumeError;
use super::tree::failed;
use super::view::View;
use crate::device::WritableDevice;
use crate::error::OpenError;
use crate::store::Format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use hadris_fat::async_::FatFs;
use hadris_fat::{CacheOptions, FatKind};
use hadris_fs::{DateTime, MountOptions, NoClock, SetAttr, local};

pub use hadris_fs::OpenOptions;

/// The driver of a file system.
type Driver<D> = FatFs<View<'static, Rc<D>>>;

/// What time it is, for the dates of files.
pub trait Clock {
    /// Seconds since 1970-01-01 00:00 UTC.
    fn now() -> u64;
}

/// A [`Clock`] as the driver asks it.
struct Stamp<C>(PhantomData<fn() -> C>);

impl<C: Clock + 'static> Stamp<C> {
    const STATIC: &'static dyn hadris_fs::Clock = &Self(PhantomData);
}

impl<C: Clock + 'static> hadris_fs::Clock for Stamp<C> {
    fn now(&self) -> DateTime {
        let seconds = i64::try_from(C::now()).unwrap_or(i64::MAX);
        DateTime::from_unix_seconds(seconds).unwrap_or(NoClock::TIME)
    }
}

/// A FAT file system whose files are read and written; clones are the same one.
///
/// Paths are like `a/b.txt`; names match whatever their case. Calls take turns. What is written is on the disk in an order that leaves,
/// wherever it is broken off, a file system that `fsck.vfat` mends; it is durable after a [`sync`](Self::sync). Files that were not
/// being changed keep their contents. One that was may have some of its changes, and a [`rename`](Self::rename) has states of its own.
pub struct Volume<D: WritableDevice + 'static> {
    files: local::Volume<Driver<D>>,
    was_dirty: bool,
    has_mark: bool,
}

impl<D: WritableDevice + 'static> Clone for Volume<D> {
    fn clone(&self) -> Self {
        Self { files: self.files.clone(), ..*self }
    }
}

impl<D: WritableDevice + 'static> fmt::Debug for Volume<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume").finish_non_exhaustive()
    }
}

/// What is known of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Whether it is a directory.
    pub directory: bool,
    /// Its size in bytes; 0 for a directory.
    pub size: u64,
    /// When it was last modified, in seconds since 1970-01-01 00:00 UTC, to two seconds.
    pub modified: Option<u64>,
}

impl From<hadris_fs::Metadata> for Metadata {
    fn from(metadata: hadris_fs::Metadata) -> Self {
        Self {
            directory: metadata.file_type().is_dir(),
            size: metadata.len(),
            modified: metadata.modified().and_then(|time| u64::try_from(time.unix_seconds()).ok()),
        }
    }
}

impl<D: WritableDevice + 'static> Volume<D> {
    /// Mounts the file system on a device; read-only if the device is. Dates come from the clock `C`.
    ///
    /// # Errors
    ///
    /// Where the device refuses to read, or holds no sound FAT12, FAT16 or FAT32 file system.
    pub async fn mount<C: Clock + 'static>(device: D) -> Result<Self, OpenError> {
        if Format::of(&device).await? == Format::Tar {
            return Err(OpenError::Archive);
        }
        let options = MountOptions::new().with_clock(Stamp::<C>::STATIC);
        let view = View::new(Rc::new(device), u64::MAX);
        let driver = FatFs::mount(view, options).await;
        let driver = driver.map_err(|refused| failed("", &refused.into_error()))?;
        let was_dirty = driver.was_dirty();
        let has_mark = driver.info().kind() != FatKind::Fat12;
        Ok(Self { files: local::Volume::new(driver.with_cache(CacheOptions::new())), was_dirty, has_mark })
    }

    /// Whether the file system was marked when it was mounted, as its last changes had not been [synced](Self::sync): `fsck.vfat` should
    /// look at it. Never so where there [is no mark](Self::has_mark).
    pub const fn was_dirty(&self) -> bool {
        self.was_dirty
    }

    /// Whether the file system has a mark for what was not synced: FAT16 and FAT32 have one, FAT12 has none.
    pub const fn has_mark(&self) -> bool {
        self.has_mark
    }

    /// Opens a file. The options are those of `std::fs`; `create` does not create directories.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn open(&self, path: &str, options: OpenOptions) -> Result<OpenFile<D>, VolumeError> {
        Ok(OpenFile(self.files.open(path, options).await?))
    }

    /// The contents of a file, all of them in memory.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, VolumeError> {
        Ok(self.files.read(path).await?)
    }

    /// Makes `contents` those of a file, which is created if there is none.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`]; what the file then has is not defined.
    pub async fn write(&self, path: &str, contents: &[u8]) -> Result<(), VolumeError> {
        Ok(self.files.write(path, contents).await?)
    }

    /// What is known of a file or directory.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`], [`NotFound`](VolumeError::NotFound) among them.
    pub async fn metadata(&self, path: &str) -> Result<Metadata, VolumeError> {
        Ok(self.files.metadata(path).await?.into())
    }

    /// The names in a directory, and what is known of each, in the order of the disk.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn list(&self, directory: &str) -> Result<Vec<(String, Metadata)>, VolumeError> {
        let mut entries = self.files.read_dir(directory).await?;
        let mut listed = Vec::new();
        while let Some(entry) = entries.next_entry().await {
            let entry = entry?;
            let name = String::from_utf8_lossy(entry.name().as_bytes()).into_owned();
            listed.push((name, (*entry.metadata()).into()));
        }
        Ok(listed)
    }

    /// Creates a directory.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn create_directory(&self, path: &str) -> Result<(), VolumeError> {
        Ok(self.files.create_dir(path).await?)
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`]; [`Busy`](VolumeError::Busy) while it is open.
    pub async fn remove_file(&self, path: &str) -> Result<(), VolumeError> {
        Ok(self.files.remove_file(path).await?)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn remove_directory(&self, path: &str) -> Result<(), VolumeError> {
        Ok(self.files.remove_dir(path).await?)
    }

    /// Gives a file or directory another path, in place of a file or empty directory that has it.
    ///
    /// This is not atomic. Broken off, it may leave the file under both names, with one chain of clusters, of which `fsck.vfat` keeps
    /// one whole and cuts the other; and what is replaced goes first, so that the file may be under `from` alone, and what had the name
    /// `to` is lost. If it was synced before, it is whole under one of the two names. A program that needs one version or the other
    /// uses two names in turn: it writes and [syncs](Self::sync) the new version over the older one, with a number and a checksum in
    /// it, and reads the newest one that is whole.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), VolumeError> {
        Ok(self.files.rename(from, to).await?)
    }

    /// Sets when a file or directory was last modified, in seconds since 1970-01-01 00:00 UTC, to two seconds; from 1980 on.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn set_modified(&self, path: &str, seconds: u64) -> Result<(), VolumeError> {
        let time = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_unix_seconds(seconds).ok());
        let time = time.ok_or(VolumeError::Invalid)?;
        Ok(self.files.set_attr(path, &SetAttr::new().with_modified(time)).await?)
    }

    /// The bytes of the whole, and of what is free.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn space(&self) -> Result<(u64, u64), VolumeError> {
        let stats = self.files.lock().await?.statfs().await?;
        Ok((stats.total_bytes(), stats.free_bytes()))
    }

    /// Makes durable all that was written, and marks the file system as clean, unless it [was dirty](Self::was_dirty) at mount: then
    /// only `fsck.vfat` takes the mark away.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`]; what is durable is then not known.
    pub async fn sync(&self) -> Result<(), VolumeError> {
        Ok(self.files.lock().await?.sync().await?)
    }
}

/// An open file of a [`Volume`]: an `embedded_io_async` reader, writer and seeker.
///
/// Its size is sure to be in the directory only after [`close`](Self::close), [`sync`](Self::sync) or the volume's.
pub struct OpenFile<D: WritableDevice + 'static>(local::File<Driver<D>>);

impl<D: WritableDevice + 'static> fmt::Debug for OpenFile<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenFile").field(&self.0).finish()
    }
}

impl<D: WritableDevice + 'static> OpenFile<D> {
    /// Reads from byte `offset` on, and gives the number of bytes: 0 at the end.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, VolumeError> {
        Ok(self.0.read_at(offset, buffer).await?)
    }

    /// Writes from byte `offset` on, and gives the number of bytes: fewer only where the file would be longer than FAT
    /// allows, 4 GiB less one. What was not written before it reads as zeroes.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, VolumeError> {
        Ok(self.0.write_at(offset, bytes).await?)
    }

    /// Makes the file so long: cuts it, or adds zeroes.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn set_size(&mut self, size: u64) -> Result<(), VolumeError> {
        Ok(self.0.set_len(size).await?)
    }

    /// What is known of it.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn metadata(&self) -> Result<Metadata, VolumeError> {
        Ok(self.0.metadata().await?.into())
    }

    /// Makes durable what was written to it.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`]; what is durable is then not known.
    pub async fn sync(&self) -> Result<(), VolumeError> {
        Ok(self.0.sync_all().await?)
    }

    /// Ends the work on it and notes its size in the directory. If it is dropped instead, the next call on the volume does that.
    ///
    /// # Errors
    ///
    /// A [`VolumeError`].
    pub async fn close(self) -> Result<(), VolumeError> {
        Ok(self.0.close().await?)
    }
}

impl<D: WritableDevice + 'static> embedded_io_async::ErrorType for OpenFile<D> {
    type Error = VolumeError;
}

impl<D: WritableDevice + 'static> embedded_io_async::Read for OpenFile<D> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, VolumeError> {
        Ok(self.0.read(buffer).await?)
    }
}

impl<D: WritableDevice + 'static> embedded_io_async::Write for OpenFile<D> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, VolumeError> {
        Ok(self.0.write(bytes).await?)
    }

    /// Nothing is held back; [`sync`](OpenFile::sync) makes it durable.
    async fn flush(&mut self) -> Result<(), VolumeError> {
        Ok(())
    }
}

impl<D: WritableDevice + 'static> embedded_io_async::Seek for OpenFile<D> {
    async fn seek(&mut self, position: embedded_io_async::SeekFrom) -> Result<u64, VolumeError> {
        use embedded_io_async::SeekFrom;
        Ok(self
            .0
            .seek(match position {
                SeekFrom::Start(offset) => hadris_io::SeekFrom::Start(offset),
                SeekFrom::End(offset) => hadris_io::SeekFrom::End(offset),
                SeekFrom::Current(offset) => hadris_io::SeekFrom::Current(offset),
            })
            .await?)
    }
}
