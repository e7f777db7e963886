//! Tar archives: ustar, pax and GNU (POSIX.1-2017, "pax"; GNU tar manual, "Basic Tar Format").
//!
//! `tar-core` takes headers apart. This is what they mean for a tree of files, which is what `tar -x` would make of them.

use crate::device::Device;
use crate::error::{OpenError, TarError};
use crate::file::{File, Run};
use crate::index::{Index, Node, Refused};
use crate::path;
use crate::window::Window;
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec;
use tar_core::parse::{Limits, ParseEvent, ParsedEntry, Parser};
use tar_core::{EntryType, HEADER_SIZE, Header, PaxExtensions};

/// The longest path, in bytes: `PATH_MAX` of Linux.
const LONGEST_PATH: u32 = 4096;
/// The most bytes of extended headers of one file. They hold its names, and whatever attributes the archiver added.
const MOST_METADATA: u32 = 64 << 10;
/// The most parts of a sparse file: it is refused anyway, by its name.
const MOST_PARTS: usize = 1000;
/// The most bytes of headers that belong together: extended ones, and a header of their own for each.
const MOST_HEADERS: usize = 2 * MOST_METADATA as usize;

/// Whether the first block of a disk is the header of an archive, sound or not.
pub(crate) fn is_archive(block: &[u8; HEADER_SIZE]) -> bool {
    let header = Header::from_bytes(block);
    header.is_ustar() || header.is_gnu() || (!header.is_empty() && header.verify_checksum().is_ok())
}

/// Notes the files of an archive.
pub(crate) async fn read<D: Device>(device: &D, index: &mut Index) -> Result<(), OpenError> {
    let limits = Limits {
        max_metadata_size: MOST_METADATA,
        max_path_len: Some(LONGEST_PATH),
        max_pending_entries: 4,
        max_sparse_entries: MOST_PARTS,
    };
    let mut parser = Parser::new(limits);
    // A time before 1970 is no reason to refuse an archive; what matters is looked at below.
    parser.set_ignore_pax_errors(true);
    let mut window = Window::new(device);
    let mut offset = 0;
    let mut needed = HEADER_SIZE;
    loop {
        let broken = |reason: String| TarError::Header { offset, reason };
        let Some(bytes) = window.at(offset, needed).await? else {
            return Err(TarError::CutShort { name: None }.into());
        };
        match parser.parse(bytes) {
            Ok(ParseEvent::NeedData { min_bytes }) => {
                needed = min_bytes.max(bytes.len() + HEADER_SIZE);
                if needed > MOST_HEADERS {
                    return Err(broken("its headers are too long".to_owned()).into());
                }
                continue;
            }
            Ok(ParseEvent::Entry { consumed, entry }) => {
                let start = offset + consumed as u64;
                let length = contents(&entry);
                let name = || String::from_utf8_lossy(&entry.path).into_owned();
                check_sizes(&bytes[..consumed]).map_err(|reason| broken(reason.to_owned()))?;
                check_records(entry.pax.unwrap_or_default()).map_err(|reason| broken(reason.to_owned()))?;
                let padded = length.checked_next_multiple_of(HEADER_SIZE as u64);
                offset = match padded.and_then(|padded| start.checked_add(padded)) {
                    Some(next) if next <= device.size() => next,
                    _ => return Err(TarError::CutShort { name: Some(name()) }.into()),
                };
                note(index, &entry, start, length)?;
            }
            Ok(ParseEvent::SparseEntry { entry, .. }) => {
                return Err(TarError::Sparse(String::from_utf8_lossy(&entry.path).into_owned()).into());
            }
            Ok(ParseEvent::GlobalExtensions { consumed, pax_data }) => {
                check_sizes(&bytes[..consumed]).map_err(|reason| broken(reason.to_owned()))?;
                check_global(pax_data).map_err(|reason| broken(reason.to_owned()))?;
                // The parser drops what was there for a file, so that the next one would have the wrong name or size.
                if !starts_with_global(bytes) {
                    return Err(broken("an extended header belongs to no file".to_owned()).into());
                }
                offset += consumed as u64;
            }
            Ok(ParseEvent::End { .. }) => return Ok(()),
            Err(error) => return Err(broken(error.to_string()).into()),
        }
        needed = HEADER_SIZE;
    }
}

/// The bytes of contents that follow an entry's header: its size, but for what has none whatever it says.
fn contents(entry: &ParsedEntry<'_>) -> u64 {
    match entry.entry_type {
        EntryType::Link
        | EntryType::Symlink
        | EntryType::Char
        | EntryType::Block
        | EntryType::Directory
        | EntryType::Fifo => 0,
        _ => entry.size,
    }
}

/// Notes one entry, whose contents are `length` bytes from `start` on.
fn note(index: &mut Index, entry: &ParsedEntry<'_>, start: u64, length: u64) -> Result<(), OpenError> {
    let name = text(&entry.path)?;
    let path = path::confine(name).ok_or_else(|| TarError::LeadsOut(name.to_owned()))?;
    let target = || text(entry.link_target.as_deref().unwrap_or_default());
    let node = match entry.entry_type {
        EntryType::Directory => Node::Directory,
        // Before there was a type for it, a slash at the end said so.
        EntryType::Regular if name.ends_with('/') => Node::Directory,
        EntryType::Symlink => Node::Link(path::plain(target()?).into()),
        EntryType::Link => {
            let target = target()?;
            match path::confine(target).as_deref().and_then(|target| index.get(target)) {
                Some(Node::File(file)) => Node::File(file.clone()),
                Some(Node::Link(target)) => Node::Link(target.clone()),
                Some(Node::Directory) | None => {
                    let (name, target) = (name.to_owned(), target.to_owned());
                    return Err(TarError::HardLink { name, target }.into());
                }
            }
        }
        EntryType::Char | EntryType::Block | EntryType::Fifo => {
            // Nothing that could be read.
            index.remove(&path);
            return Ok(());
        }
        // GNU tar's label of an archive, and its list of what was in a directory.
        EntryType::Other(b'V') => return Ok(()),
        EntryType::Other(b'D') => Node::Directory,
        EntryType::Other(b'M') => return Err(TarError::Volumes(name.to_owned()).into()),
        _ => {
            // A time before 1970 looks like one that is farther away than any clock goes.
            let modified = Some(entry.mtime).filter(|seconds| i64::try_from(*seconds).is_ok());
            Node::File(File::new(&path, vec![Run { offset: 0, start }], length, modified))
        }
    };
    index.insert(&path, &path, node).map_err(|refused| match refused {
        Refused::Conflict => TarError::Conflict(name.to_owned()).into(),
        Refused::Full => OpenError::TooMany { limit: index.limit() },
    })
}

fn text(bytes: &[u8]) -> Result<&str, TarError> {
    core::str::from_utf8(bytes).map_err(|_| TarError::NotUnicode(String::from_utf8_lossy(bytes).into_owned()))
}

/// Checks the sizes in headers and the contents of all but the last: the parser drops what of a number in base 256 is above 64 bits.
fn check_sizes(mut bytes: &[u8]) -> Result<(), &'static str> {
    while let Some((block, rest)) = bytes.split_first_chunk::<HEADER_SIZE>() {
        let header = Header::from_bytes(block);
        // 12 bytes, of which the first one has the sign and the mark (GNU tar manual, "Basic Tar Format").
        let size = &header.as_ustar().size;
        if size[0] & 0x80 != 0 && size[..4] != [0x80, 0, 0, 0] {
            return Err("a size is negative, or larger than that of any disk");
        }
        let length = header.entry_size().ok().and_then(|size| usize::try_from(size).ok());
        let padded = length.and_then(|length| length.checked_next_multiple_of(HEADER_SIZE));
        bytes = padded.and_then(|padded| rest.get(padded..)).unwrap_or_default();
    }
    Ok(())
}

/// Checks what the parser passes over in extended headers: records that are none, and sizes that are no numbers.
fn check_records(mut records: &[u8]) -> Result<(), &'static str> {
    const MALFORMED: &str = "a record of an extended header is malformed";
    while !records.is_empty() {
        let digits = records.iter().position(|byte| *byte == b' ').ok_or(MALFORMED)?;
        let length = core::str::from_utf8(&records[..digits]).ok().and_then(|text| text.parse().ok());
        let length: usize =
            length.filter(|length| (digits + 2..=records.len()).contains(length)).ok_or(MALFORMED)?;
        let record = records[digits + 1..length].strip_suffix(b"\n").ok_or(MALFORMED)?;
        if let Some(size) = record.strip_prefix(b"size=") {
            let size = core::str::from_utf8(size).ok().and_then(|text| text.parse().ok());
            let _: u64 = size.ok_or("the size in an extended header is no number")?;
        }
        records = &records[length..];
    }
    Ok(())
}

/// Whether the first header is one that is about all files after it, and none for the next file alone.
fn starts_with_global(bytes: &[u8]) -> bool {
    let (blocks, _) = bytes.as_chunks::<HEADER_SIZE>();
    // A block of zeroes may precede it.
    let first = blocks.iter().map(Header::from_bytes).find(|header| !header.is_empty());
    first.is_some_and(|header| header.entry_type() == EntryType::XGlobalHeader)
}

/// Checks a header that is about all files after it. Comments and the like do not matter here; what would give every file the
/// same name or size is refused.
fn check_global(records: &[u8]) -> Result<(), &'static str> {
    check_records(records)?;
    let decisive =
        |key: &[u8]| matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.");
    if PaxExtensions::new(records).flatten().any(|record| decisive(record.key_bytes())) {
        return Err("a global header gives all files one name or size");
    }
    Ok(())
}
