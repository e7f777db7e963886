//! What programs use to read an image.

use crate::device::Device;
use crate::error::{Error, OpenError};
use crate::file::File;
use crate::index::{Index, Node};
use crate::{fat, tar};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// The bytes that an index may have unless the program says otherwise. A file takes about 160 and its path.
pub const INDEX_LIMIT: usize = 16 << 20;

/// The format of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A tar archive: ustar, pax or GNU.
    Tar,
    /// A FAT file system: FAT12, FAT16 or FAT32.
    Fat,
}

impl Format {
    /// The format of the image on a device.
    ///
    /// # Errors
    ///
    /// If the device refuses to read, the image has none of these formats, or a FAT file system does not fit on the device.
    pub(crate) async fn of<D: Device>(device: &D) -> Result<Self, OpenError> {
        let mut first = [0; 512];
        if device.size() < first.len() as u64 {
            return Err(OpenError::Unknown);
        }
        device.read_at(0, &mut first).await?;
        if tar::is_archive(&first) {
            return Ok(Self::Tar);
        }
        if fat::is_file_system(&first, device.size())? {
            return Ok(Self::Fat);
        }
        if first.ends_with(&[0x55, 0xaa]) {
            return Err(OpenError::Partitioned);
        }
        Err(compression(&first).map_or(OpenError::Unknown, OpenError::Compressed))
    }
}

/// The files of an image, to be read.
///
/// Opening notes where each of them is and checks all that the image says about that, so that what is wrong with it is found then and
/// there. The image must not change from then on.
#[derive(Debug)]
pub struct Store<D> {
    device: D,
    format: Format,
    index: Index,
}

/// What a path stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File(File),
    /// A directory.
    Directory,
}

/// What a directory lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name, without the directory.
    pub name: String,
    /// What it stands for.
    pub entry: Entry,
    /// Whether it does that as a symbolic link. Who walks a tree does not enter such a directory: it may lead back.
    pub link: bool,
}

impl<D: Device> Store<D> {
    /// Opens the image on a device.
    ///
    /// # Errors
    ///
    /// An [`OpenError`] that says what is wrong with the image, or that it has more files than can be noted in [`INDEX_LIMIT`] bytes.
    pub async fn open(device: D) -> Result<Self, OpenError> {
        Self::open_within(device, INDEX_LIMIT).await
    }

    /// Opens the image on a device with an index of at most `limit` bytes of memory.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_within(device: D, limit: usize) -> Result<Self, OpenError> {
        let format = Format::of(&device).await?;
        let mut index = Index::new(limit);
        match format {
            Format::Tar => tar::read(&device, &mut index).await?,
            Format::Fat => fat::read(&device, &mut index).await?,
        }
        Ok(Self { device, format, index })
    }

    /// The format of the image.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The device.
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// What is at `path`: `a/b.html`, without a slash at an end; the root's is empty. Symbolic links are followed inside the
    /// tree; one that leads out of it, to nothing or in a circle is not there.
    ///
    /// # Errors
    ///
    /// None at present.
    pub async fn find(&self, path: &str) -> Result<Option<Entry>, Error> {
        let Some(key) = self.key(path) else { return Ok(None) };
        Ok(self.index.resolve(&key).and_then(|(_, node)| entry(node)))
    }

    /// Reads into `buffer` what a file of this store has from byte `offset` on, and gives the number of bytes: fewer than there is room
    /// for only at its end.
    ///
    /// # Errors
    ///
    /// Where the device refuses to read.
    pub async fn read_at(&self, file: &File, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        while done < buffer.len()
            && let Some((start, length)) = file.piece(offset.saturating_add(done as u64))
        {
            let rest = &mut buffer[done..];
            let count = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
            self.device.read_at(start, &mut rest[..count]).await?;
            done += count;
        }
        Ok(done)
    }

    /// The path as the index has it, if it is one of names only.
    fn key<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        if !path.is_empty() && path.split('/').any(|component| matches!(component, "" | "." | "..")) {
            return None;
        }
        Some(match self.format {
            Format::Tar => path.into(),
            Format::Fat => fat::fold(path).into(),
        })
    }

    /// What is in a directory, in the order of the names' bytes (of their upper case on FAT); `None` where there is no such directory.
    ///
    /// # Errors
    ///
    /// None at present.
    pub async fn list(&self, directory: &str) -> Result<Option<Vec<Listed>>, Error> {
        let Some(key) = self.key(directory) else { return Ok(None) };
        let Some((directory, Node::Directory)) = self.index.resolve(&key) else { return Ok(None) };
        let listed = self.index.children(directory).filter_map(|(path, name)| {
            let (_, node) = self.index.resolve(path)?;
            let link = matches!(self.index.get(path), Some(Node::Link(_)));
            Some(Listed { name: name.into(), entry: entry(node)?, link })
        });
        Ok(Some(listed.collect()))
    }
}

fn entry(node: &Node) -> Option<Entry> {
    match node {
        Node::Directory => Some(Entry::Directory),
        Node::File(file) => Some(Entry::File(file.clone())),
        Node::Link(_) => None,
    }
}

/// The format of compressed data, by the bytes that it starts with.
fn compression(bytes: &[u8]) -> Option<&'static str> {
    const STARTS: [(&[u8], &str); 4] = [
        (&[0x1f, 0x8b], "gzip"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
        (b"BZh", "bzip2"),
    ];
    STARTS.into_iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| name)
}
