//! A FAT file system as an image.

use super::Item;
use super::source::Kind;
use anyhow::{Context, Result, anyhow, bail};
use hadris_fat::FatOptions;
use hadris_fat::sync::write as write_tree;
use hadris_fs::{Content, DateTime, ErrorKind, NoClock, Node, PathError, SetAttr, Tree, host};
use hadris_storage::host::FileDevice;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use ukvm_storage::fat::fold;

/// The unit of a disk in bytes.
const SECTOR: u64 = 512;
/// The smallest image: room for a few files more.
const SMALLEST: u64 = 1 << 20;
/// The most entries of the root directory of a FAT12 or FAT16, a multiple of those in a sector.
const MOST_ROOT_ENTRIES: usize = 65520;
/// What a name may not have, and what it may not end in.
const FORBIDDEN: &[char] = &['"', '*', ':', '<', '>', '?', '\\', '|', '\x7f'];
/// The longest name, in UTF-16 units.
const LONGEST_NAME: usize = 255;

/// Writes the file system to an empty file, of `size` bytes or as large as is needed.
pub(super) fn write(items: &[Item], file: &File, output: &Path, size: Option<u64>) -> Result<()> {
    let tree = tree(items)?;
    let options = FatOptions::new().with_root_entries(root_entries(items));
    if let Some(size) = size {
        let size = size - size % SECTOR;
        return match attempt(&tree, file, output, &options, size) {
            Ok(()) => Ok(()),
            Err(Failed::Write(error)) if error.kind() == ErrorKind::NoSpace => {
                bail!("the files do not fit into {size} bytes; give a larger --size, or none")
            }
            Err(failed) => Err(failed.into_error()),
        };
    }
    // What the files need at least. The rest depends on the size of clusters, and that on the size.
    let mut size: u64 =
        items.iter().map(|item| if let Kind::File { size, .. } = item.kind { size } else { 0 }).sum();
    loop {
        size = (size + size / 64 + SECTOR).next_multiple_of(SMALLEST);
        match attempt(&tree, file, output, &options, size) {
            Ok(()) => return Ok(()),
            // Nothing is written before it is known whether all fits.
            Err(Failed::Write(error)) if error.kind() == ErrorKind::NoSpace => {}
            Err(failed) => return Err(failed.into_error()),
        }
    }
}

/// Why an image was not written.
enum Failed {
    File(anyhow::Error),
    Write(PathError),
}

impl Failed {
    fn into_error(self) -> anyhow::Error {
        match self {
            Self::File(error) => error,
            // It counts sectors in 32 bits.
            Self::Write(error) if error.kind() == ErrorKind::LimitExceeded => {
                anyhow!("a FAT file system is smaller than 2 TiB; give a smaller --size, or use --format tar")
            }
            Self::Write(error) => anyhow!("the FAT file system cannot be written: {error}"),
        }
    }
}

fn attempt(tree: &Tree, file: &File, output: &Path, options: &FatOptions, size: u64) -> Result<(), Failed> {
    // Nothing of an attempt before stays.
    let device = file
        .set_len(0)
        .and_then(|()| file.set_len(size))
        .and_then(|()| file.try_clone())
        .and_then(FileDevice::new)
        .with_context(|| format!("{} cannot be written", output.display()))
        .map_err(Failed::File)?;
    write_tree(device, tree, &options.with_size(size)).map(drop).map_err(Failed::Write)
}

/// The files as the FAT driver takes them, once it is sure that FAT can hold them.
fn tree(items: &[Item]) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut names = BTreeMap::new();
    for item in items {
        let path = &item.path;
        check_name(path)?;
        if let Some(other) = names.insert(fold(path), path) {
            bail!("{other} and {path} differ only in case, and have one name on FAT; rename one of them");
        }
        let node = match &item.kind {
            Kind::Directory => Node::dir(),
            Kind::Link(_) => {
                bail!("{path} is a symbolic link, which FAT cannot hold; replace it, or use --format tar")
            }
            Kind::File { size, .. } if *size > u64::from(u32::MAX) => {
                bail!("{path} has {size} bytes, and a file on FAT less than 4 GiB; use --format tar")
            }
            Kind::File { source, .. } => Node::file(contents(source)?),
        };
        let time = date(item.modified);
        let dates = SetAttr::new().with_created(time).with_modified(time).with_accessed(time);
        tree.insert(path, node.with_attrs(dates))
            .map_err(|error| anyhow!("{path} cannot be packed: {error}"))?;
    }
    Ok(tree)
}

fn contents(source: &Path) -> Result<Content> {
    host::file(source).map_err(|error| anyhow!("{} cannot be packed: {error}", source.display()))
}

/// A date as FAT can hold it: from 1980 to 2107.
fn date(seconds: u64) -> DateTime {
    let earliest = NoClock::TIME;
    let time = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_unix_seconds(seconds).ok());
    time.filter(|time| time.unix_seconds() > earliest.unix_seconds()).unwrap_or(earliest)
}

fn check_name(path: &str) -> Result<()> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.encode_utf16().count() > LONGEST_NAME {
        bail!("the name of {path} is longer than FAT allows, {LONGEST_NAME} characters; use --format tar");
    }
    let forbidden = |character: char| FORBIDDEN.contains(&character) || character.is_control();
    if let Some(character) = name.chars().find(|character| forbidden(*character)) {
        bail!("the name {path:?} has the character {character:?}, which FAT cannot hold; use --format tar");
    }
    if name.ends_with(['.', ' ']) {
        bail!("the name {path:?} ends in a dot or space, which FAT cannot hold; use --format tar");
    }
    Ok(())
}

/// The entries that the root directory of a FAT12 or FAT16 needs: one for each name, and one for each 13 units of a long one.
fn root_entries(items: &[Item]) -> u16 {
    let names = items.iter().map(|item| &item.path).filter(|path| !path.contains('/'));
    let needed: usize = names.map(|name| 1 + name.encode_utf16().count().div_ceil(13)).sum();
    // Where these are too few, the image grows until it is a FAT32, which knows no limit.
    needed.next_multiple_of(16).clamp(512, MOST_ROOT_ENTRIES) as u16
}
