//! The site that is served, and what the client reads.

use crate::directory::Directory;
use crate::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The small page, of [`SMALL_SIZE`] bytes.
pub(super) const SMALL: &str = "small.html";
const SMALL_SIZE: usize = 1 << 10;
/// The large page, of [`LARGE_SIZE`] bytes.
pub(super) const LARGE: &str = "large.html";
const LARGE_SIZE: usize = 100 << 10;
/// A file of [`BULK_SIZE`] bytes.
pub(super) const BULK: &str = "bulk.html";
const BULK_SIZE: usize = 1 << 20;

/// A directory with all of it, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Files(Directory);

impl Files {
    pub(super) fn create(parent: &Path) -> Result<Self, Error> {
        let files = Self(Directory::create(parent, "site")?);
        files.fill().map_err(|error| Error::output(files.directory(), &error))?;
        Ok(files)
    }

    fn fill(&self) -> io::Result<()> {
        let tree = self.tree();
        fs::create_dir(&tree)?;
        let mut archive = tar::Builder::new(fs::File::create(self.image())?);
        for (name, size) in [(SMALL, SMALL_SIZE), (LARGE, LARGE_SIZE), (BULK, BULK_SIZE)] {
            let page: Vec<u8> = (0..size).map(|at| b' ' + (at % 95) as u8).collect();
            let path = tree.join(name);
            fs::write(&path, page)?;
            archive.append_path_with_name(&path, name)?;
        }
        archive.into_inner()?.sync_all()?;
        fs::write(self.script(), super::wrk::SCRIPT)
    }

    fn tree(&self) -> PathBuf {
        self.directory().join("tree")
    }

    pub(super) fn directory(&self) -> &Path {
        self.0.path()
    }

    /// The archive of the tree.
    pub(super) fn image(&self) -> PathBuf {
        self.directory().join("site.tar")
    }

    /// The script of wrk.
    pub(super) fn script(&self) -> PathBuf {
        self.directory().join("figures.lua")
    }
}
