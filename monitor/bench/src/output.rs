//! The files of results, opened before anything is measured: a bad path is told at once, not after a minute.

use crate::error::Error;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that a result goes to.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    /// Opens the files that are named.
    ///
    /// # Errors
    ///
    /// Where one cannot be written, or two are the same.
    pub fn create_all<const N: usize>(paths: [Option<&Path>; N]) -> Result<[Option<Self>; N], Error> {
        let mut outputs = [const { None }; N];
        let mut seen = HashSet::new();
        for (output, path) in outputs.iter_mut().zip(paths) {
            let Some(path) = path else { continue };
            let created = Self::create(path)?;
            let data = created.file.metadata().map_err(|error| Error::output(path, &error))?;
            if data.is_file() && !seen.insert((data.dev(), data.ino())) {
                return Err(Error::usage(format!(
                    "{} is named for two results; name a file for each",
                    path.display()
                )));
            }
            *output = Some(created);
        }
        Ok(outputs)
    }

    /// Opens the file. What is in it stays until the result is there.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    fn create(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        Ok(Self { path: path.to_owned(), file: file.map_err(|error| Error::output(path, &error))? })
    }

    /// Writes the result.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn write(mut self, text: &str) -> Result<(), Error> {
        // A pipe or a terminal has nothing to cut off.
        let emptied =
            self.file.metadata().and_then(|data| if data.is_file() { self.file.set_len(0) } else { Ok(()) });
        emptied
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .map_err(|error| Error::output(&self.path, &error))?;
        eprintln!("ukvm-bench: wrote {}", self.path.display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_old_result_stays_until_there_is_a_new_one() {
        let path = std::env::temp_dir().join(format!("ukvm-bench-output-{}", std::process::id()));
        fs::write(&path, "old and long").unwrap();
        let output = Output::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old and long");
        output.write("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_takes_one_result() {
        let path = std::env::temp_dir().join(format!("ukvm-bench-twice-{}", std::process::id()));
        let error = Output::create_all([Some(&*path), Some(&path)]).unwrap_err();
        assert_eq!(error.status(), 64, "{error}");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_told_with_its_status() {
        for (path, status) in [("/nowhere/a.json", 66), ("/", 74)] {
            let error = Output::create(Path::new(path)).unwrap_err();
            assert_eq!(error.status(), status, "{error}");
        }
        let null = Some(Path::new("/dev/null"));
        assert!(Output::create_all([null, None, null]).is_ok(), "a device is no file that is overwritten");
        let error = Output::create(Path::new("/dev/full")).unwrap().write("a").unwrap_err();
        assert_eq!(error.status(), 74, "{error}");
    }
}
