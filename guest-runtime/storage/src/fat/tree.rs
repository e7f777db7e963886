//! How a file system becomes an index.

use super::name::fold;
use super::view::{BLOCK, View, ViewError};
use crate::device::{Device, ReadOnly};
use crate::error::{FatError, OpenError};
use crate::file::{File, Run};
use crate::index::{Index, Node, Refused};
use crate::path;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use hadris_fat::CacheOptions;
use hadris_fat::async_::FatFs;
use hadris_fat_raw::{BootError, parse_boot};
use hadris_fs::{DirCursor, DirEntry, Extent, MountOptions, NodeId};
use hadris_io::Error;

/// The driver of a file system that is only read.
type Driver<'d, D> = FatFs<View<'d, ReadOnly<&'d D>>>;

/// Whether the first block of a disk of `size` bytes is that of a file system, sound or not.
///
/// # Errors
///
/// If it is one that cannot be used.
pub(crate) fn is_file_system(block: &[u8; BLOCK as usize], size: u64) -> Result<bool, FatError> {
    match parse_boot(block) {
        Ok(geometry) if geometry.data_end() > size => {
            Err(FatError::CutShort { described: geometry.data_end(), size })
        }
        Ok(_) => Ok(true),
        Err(BootError::NotFat(_)) => Ok(false),
        Err(BootError::Corrupt(field)) => Err(broken(None, field)),
        Err(_) => Err(broken(None, "its boot sector has no signature, or no root directory")),
    }
}

fn broken(path: Option<&str>, reason: impl Into<String>) -> FatError {
    FatError::Broken { path: path.filter(|path| !path.is_empty()).map(str::to_owned), reason: reason.into() }
}

/// The error of a failed call of the driver that was about `path`, or about the whole if that is empty.
pub(super) fn failed(path: &str, error: &Error<ViewError>) -> OpenError {
    match error.device_error() {
        Some(ViewError::Read(failed)) => OpenError::Read(*failed),
        _ => broken(Some(path), error.to_string()).into(),
    }
}

/// Notes the files of a file system.
pub(crate) async fn read<D: Device>(device: &D, index: &mut Index) -> Result<(), OpenError> {
    let driver = FatFs::mount(View::of(device, u64::MAX), MountOptions::new().read_only())
        .await
        .map_err(|refused| failed("", &refused.into_error()))?;
    let clusters = u64::from(driver.info().max_cluster());
    let mut reader = Reader {
        // Directories are listed and entered in turn.
        driver: driver.with_cache(CacheOptions::new().with_directory_hint(true)),
        index,
        seen: BTreeSet::new(),
        clusters,
    };
    let mut ahead = vec![(reader.driver.root(), String::new())];
    while let Some((directory, path)) = ahead.pop() {
        reader.directory(directory, &path, &mut ahead).await?;
        reader.driver.forget(directory, 1);
    }
    Ok(())
}

/// What is read, and how far it may go on.
struct Reader<'r, 'd, D: Device> {
    driver: Driver<'d, D>,
    index: &'r mut Index,
    /// Where the directories start that were found.
    seen: BTreeSet<u64>,
    /// The clusters that nothing has had so far.
    clusters: u64,
}

impl<D: Device> Reader<'_, '_, D> {
    /// Notes what is in a directory, and adds the directories in it to those that are ahead.
    async fn directory(
        &mut self,
        directory: NodeId,
        path: &str,
        ahead: &mut Vec<(NodeId, String)>,
    ) -> Result<(), OpenError> {
        let mut cursor = DirCursor::START;
        while let Some(entry) =
            self.driver.readdir(directory, cursor).await.map_err(|error| failed(path, &error))?
        {
            cursor = entry.next_cursor();
            // The driver has checked that it is one name, and none of a dot or two.
            let name = entry.name();
            let mut path = path.to_owned();
            path::push(&mut path, &String::from_utf8_lossy(name.as_bytes()));
            // As for the driver's own lookups, the first of a name counts.
            let key = fold(&path);
            if self.index.get(&key).is_some() {
                continue;
            }
            let node = if entry.file_type().is_dir() {
                let node =
                    self.driver.lookup(directory, name).await.map_err(|error| failed(&path, &error))?;
                self.enter(node, &path).await?;
                ahead.push((node, path.clone()));
                Node::Directory
            } else {
                Node::File(self.file(&entry, &path).await?)
            };
            self.index.insert(&key, &path, node).map_err(|refused| match refused {
                // Both the directory above and the free place were looked at.
                Refused::Conflict => broken(Some(&path), "it is there twice").into(),
                Refused::Full => OpenError::TooMany { limit: self.index.limit() },
            })?;
        }
        Ok(())
    }

    /// Checks that a directory is none that was found before: it would have no end.
    async fn enter(&mut self, node: NodeId, path: &str) -> Result<(), OpenError> {
        let runs = self.runs(node, u64::MAX, path).await?;
        match runs.first() {
            Some(first) if self.seen.insert(first.start) => Ok(()),
            Some(_) => Err(FatError::Cycle(path.to_owned()).into()),
            None => Err(broken(Some(path), "it is a directory without a cluster").into()),
        }
    }

    /// The place of a file.
    async fn file(&mut self, entry: &DirEntry, path: &str) -> Result<File, OpenError> {
        let metadata = entry.metadata();
        let size = metadata.len();
        let modified = metadata.modified().and_then(|time| u64::try_from(time.unix_seconds()).ok());
        let runs = self.runs(entry.node(), size, path).await?;
        Ok(File::new(path, runs, size, modified))
    }

    /// Where `size` bytes of a file are, or all of a directory, whose size is not noted.
    async fn runs(&mut self, node: NodeId, size: u64, path: &str) -> Result<Vec<Run>, OpenError> {
        let mut runs: Vec<Run> = Vec::new();
        let mut room = 4;
        let mut end = 0;
        while end < size {
            // Twice as much each time, as the driver starts from the first cluster each time.
            let mut extents = vec![Extent::new(0, 0); room];
            let found = self.driver.extents(node, end, &mut extents).await;
            let count = found.map_err(|error| failed(path, &error))?;
            for extent in &extents[..count] {
                runs.push(Run { offset: end, start: extent.offset() });
                self.charge(extent.len(), path)?;
                end += extent.len();
            }
            if size_of_val(&*runs) > self.index.limit() {
                return Err(OpenError::TooMany { limit: self.index.limit() });
            }
            match count {
                0 if size == u64::MAX => break,
                0 => return Err(broken(Some(path), "it has fewer clusters than its size needs").into()),
                _ => room *= 2,
            }
        }
        Ok(runs)
    }

    /// Notes that these bytes have an owner. In a sound file system nothing has two, so that all together are no longer than the disk:
    /// what is longer takes more time, too.
    fn charge(&mut self, bytes: u64, path: &str) -> Result<(), FatError> {
        let clusters = bytes.div_ceil(u64::from(self.driver.info().cluster_size()));
        self.clusters =
            self.clusters.checked_sub(clusters).ok_or_else(|| FatError::Shared(path.to_owned()))?;
        Ok(())
    }
}
