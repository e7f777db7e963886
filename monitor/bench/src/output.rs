//! The files of results, opened before anything is measured: a bad path is told at once, not after a minute.

use crate::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file that a result goes to.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    /// Opens the file. What is in it stays until the result is there.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn create(path: &Path) -> Result<Self, Error> {
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
    fn what_cannot_be_written_is_told_with_its_status() {
        for (path, status) in [("/nowhere/a.json", 66), ("/", 74)] {
            let error = Output::create(Path::new(path)).unwrap_err();
            assert_eq!(error.status(), status, "{error}");
        }
        let error = Output::create(Path::new("/dev/full")).unwrap().write("a").unwrap_err();
        assert_eq!(error.status(), 74, "{error}");
    }
}
