//! Web sites: trees of files, and images of them made with ordinary tools.

use crate::files::{self, call};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes files into a tree; parents come by themselves.
///
/// # Panics
///
/// Where that is not possible.
pub fn tree(root: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    }
}

/// An archive `site.tar` of a tree, made by `tar`.
#[must_use]
pub fn tar(directory: &Path, root: &Path) -> PathBuf {
    let image = directory.join("site.tar");
    let _ = call("tar", &["--create", "--file", text(&image), "--directory", text(root), "."]);
    image
}

/// A FAT image `site.img` of a tree, made by `mkfs.vfat` and `mcopy`, with `room` bytes for the files.
#[must_use]
pub fn fat(directory: &Path, root: &Path, room: u64) -> PathBuf {
    let image = files::sparse(directory, "site.img", room);
    let _ = call("mkfs.vfat", &[text(&image)]);
    // `-s` copies trees, `-m` keeps times.
    let mut arguments = vec!["-s", "-m", "-i", text(&image)];
    let entries: Vec<PathBuf> =
        fs::read_dir(root).expect("a tree").map(|entry| entry.expect("an entry").path()).collect();
    arguments.extend(entries.iter().map(|path| text(path)));
    arguments.push("::");
    let _ = call("mcopy", &arguments);
    image
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
