//! The disk image of the demo.

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// The bytes of the image: what FAT16 is made for. Hardly any of them are stored.
const SIZE: u64 = 16 << 20;

/// Writes an image with a FAT file system that has a file for each `(user, password)`.
pub(super) fn create(path: &Path, users: &[(&str, &str)]) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    file.set_len(SIZE)?;
    fatfs::format_volume(&file, FormatVolumeOptions::new().volume_label(*b"USERS      "))?;
    let volume = FileSystem::new(&file, FsOptions::new())?;
    for (name, password) in users {
        writeln!(volume.root_dir().create_file(name)?, "{password}")?;
    }
    volume.unmount()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_written_can_be_read() {
        let path = std::env::temp_dir().join(format!("ukvm-image-{}", std::process::id()));
        for users in [&[("alice", "a"), ("bob", "b")][..], &[("carol", "c")]] {
            create(&path, users).unwrap();
            let volume =
                FileSystem::new(std::fs::File::open(&path).map(ReadOnly).unwrap(), FsOptions::new()).unwrap();
            let read: Vec<(String, String)> = volume
                .root_dir()
                .iter()
                .map(Result::unwrap)
                .filter(fatfs::DirEntry::is_file)
                .map(|entry| {
                    let mut text = String::new();
                    entry.to_file().read_to_string(&mut text).unwrap();
                    (entry.file_name(), text)
                })
                .collect();
            let expected: Vec<_> =
                users.iter().map(|(name, word)| ((*name).into(), format!("{word}\n"))).collect();
            assert_eq!(read, expected);
        }
        std::fs::remove_file(path).unwrap();
    }

    /// A file that takes no writes, as fatfs asks for something writable also to read.
    struct ReadOnly(std::fs::File);

    impl Read for ReadOnly {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.0.read(bytes)
        }
    }
    impl Write for ReadOnly {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl io::Seek for ReadOnly {
        fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
}
