//! A directory for what a measurement needs on the disk.

use crate::error::Error;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A directory of this process and user alone, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Makes one in `parent` for the measurement `what`.
    pub(crate) fn create(parent: &Path, what: &str) -> Result<Self, Error> {
        let parent = std::path::absolute(parent).unwrap_or_else(|_| parent.to_owned());
        let directory = parent.join(format!("ukvm-bench-{}-{what}", std::process::id()));
        // It may be in a place where others can make one of that name first: theirs is neither used nor removed.
        let created = fs::DirBuilder::new().mode(0o700).create(&directory);
        created.map_err(|error| Error::output(&directory, &error))?;
        Ok(Self(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is not there any more needs no removing.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_nobody_elses() {
        let parent = std::env::temp_dir();
        let directory = Directory::create(&parent, "test").unwrap();
        let mode = fs::metadata(directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(Directory::create(&parent, "test").is_err());
        assert!(directory.path().exists(), "one that was refused removes nothing");
        let path = directory.path().to_owned();
        drop(directory);
        assert!(!path.exists());
    }
}
