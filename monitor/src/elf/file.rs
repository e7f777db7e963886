//! The program's file: opened without side effects, read in checked pieces.

use super::error::Defect;
use crate::memory::{Memory, PAGE};
use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// What does not change is mapped rather than read from this many bytes on. Reading costs 0.2 µs for each KiB and more for large ones, all of
/// it before the first instruction; mapping costs a few microseconds at once, and some more for each page that is touched.
const MAP_FROM: u64 = 64 << 10;

/// An open regular file.
#[derive(Debug)]
pub(crate) struct ElfFile {
    file: File,
    /// Bytes when it was opened.
    length: u64,
}

impl ElfFile {
    pub(crate) fn open(path: &Path) -> Result<Self, Defect> {
        // O_NONBLOCK: opening a FIFO must not wait for a writer. It changes nothing for a regular file.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
            .map_err(Defect::of_open)?;
        let metadata = file.metadata().map_err(Defect::Host)?;
        if !metadata.is_file() {
            return Err(Defect::NotRegular(kind_of(metadata.file_type())));
        }
        match metadata.len() {
            0 => Err(Defect::Empty),
            length => Ok(Self { file, length }),
        }
    }

    /// The file's size in bytes.
    pub(crate) const fn len(&self) -> u64 {
        self.length
    }

    /// Fails unless `size` bytes from `offset` on are in the file. `part` names them.
    pub(crate) fn check(&self, offset: u64, size: u64, part: &'static str) -> Result<(), Defect> {
        let end = u128::from(offset) + u128::from(size);
        if end > u128::from(self.length) {
            return Err(Defect::Truncated { part, end, length: self.length });
        }
        Ok(())
    }

    /// Fills `buffer` from `offset` on. `part` names what is read.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8], part: &'static str) -> Result<(), Defect> {
        let size = buffer.len() as u64;
        self.check(offset, size, part)?;
        self.file.read_exact_at(buffer, offset).map_err(|error| self.failed(error, offset, size, part))
    }

    /// `size` bytes from `offset` on, at most `limit`.
    pub(crate) fn read_vec(
        &self,
        offset: u64,
        size: u64,
        limit: u64,
        part: &'static str,
    ) -> Result<Vec<u8>, Defect> {
        self.check(offset, size, part)?;
        if size > limit {
            return Err(Defect::TooLarge { part, size, limit });
        }
        let mut bytes = vec![0; size as usize];
        self.read(offset, &mut bytes, part)?;
        Ok(bytes)
    }

    /// The string at `offset`, for a message: as far as its NUL, the file's end or `limit` bytes, without
    /// control characters.
    pub(crate) fn read_string(&self, offset: u64, limit: u64) -> Option<String> {
        let size = self.length.checked_sub(offset)?.min(limit);
        let mut bytes = vec![0; size as usize];
        self.read(offset, &mut bytes, "string").ok()?;
        let text = bytes.split(|&byte| byte == 0).next()?;
        Some(printable(&String::from_utf8_lossy(text))).filter(|text| !text.is_empty())
    }

    /// Brings `size` bytes from `offset` on to guest memory at `gpa`. Where they are `constant`, whole pages of large ones are mapped, so that the
    /// cost does not grow with them.
    pub(crate) fn load(
        &self,
        offset: u64,
        size: u64,
        constant: bool,
        memory: &mut Memory,
        gpa: u64,
    ) -> Result<(), Defect> {
        let mapped = if constant { self.map(offset, size, memory, gpa) } else { 0 };
        let (offset, size, gpa) = (offset + mapped, size - mapped, gpa + mapped);
        memory.populate(&(gpa / PAGE * PAGE..(gpa + size).next_multiple_of(PAGE)));
        memory
            .read_file(gpa..gpa + size, &self.file, offset)
            .map_err(|error| self.failed(error, offset, size, "segment data"))
    }

    /// Maps what may be mapped: whole pages from the start on. How many bytes that are; not every file system has its files mapped.
    fn map(&self, offset: u64, size: u64, memory: &mut Memory, gpa: u64) -> u64 {
        let size = size / PAGE * PAGE;
        let may = gpa.is_multiple_of(PAGE) && offset.is_multiple_of(PAGE) && size >= MAP_FROM;
        if may && memory.map_file(gpa..gpa + size, &self.file, offset).is_ok() { size } else { 0 }
    }

    /// Whether it has become shorter since it was opened.
    pub(crate) fn was_cut(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.len() < self.length)
    }

    /// The end of the file comes up early where somebody truncated it after it was opened.
    fn failed(&self, error: io::Error, offset: u64, size: u64, part: &'static str) -> Defect {
        if error.kind() != io::ErrorKind::UnexpectedEof {
            return Defect::Host(error);
        }
        let length = self.file.metadata().map_or(self.length, |metadata| metadata.len());
        Defect::Truncated { part, end: u128::from(offset) + u128::from(size), length }
    }
}

/// `text` with control characters replaced, so that a file cannot write escape sequences to a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn kind_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_block_device() {
        "a block device"
    } else if kind.is_char_device() {
        "a character device"
    } else {
        "a special file"
    }
}

/// The little-endian words of `bytes`, `N` at a time; a shorter rest is left out.
pub(crate) fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u64; N]> {
    bytes.as_chunks::<8>().0.as_chunks::<N>().0.iter().map(|chunk| chunk.map(u64::from_le_bytes))
}
