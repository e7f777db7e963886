//! A file as a disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A disk that is a file, or a block device of the host. What it does it does at once, in the thread of all tasks: the page
/// cache answers in less time than another thread takes to wake.
#[derive(Debug)]
pub struct Disk {
    file: File,
    length: u64,
}

impl Disk {
    /// Opens a file to be read.
    ///
    /// # Errors
    ///
    /// Where that is not possible.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }

    /// The disk that an open file is.
    ///
    /// # Errors
    ///
    /// Where its length cannot be learnt.
    pub fn of(file: File) -> io::Result<Self> {
        // A block device says nothing of its length but where its end is.
        let length = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))?;
        Ok(Self { file, length })
    }

    /// Its size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a disk of no bytes is no special case")]
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads `buffer.len()` bytes at `offset`.
    ///
    /// # Errors
    ///
    /// What the kernel says, and an early end of the file.
    #[inline]
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_where_it_is_asked() {
        let path = std::env::temp_dir().join(format!("ukvm-hosted-{}", std::process::id()));
        std::fs::write(&path, [[1_u8; 512], [2; 512]].as_flattened()).unwrap();
        let disk = Disk::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut sector = [0; 512];
        disk.read(512, &mut sector).unwrap();
        assert_eq!((disk.len(), sector), (1024, [2; 512]));
        assert_eq!(disk.read(1024, &mut sector).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
