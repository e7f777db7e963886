//! Web sites: trees of files, images of them made with ordinary tools, and guests that serve them.

use crate::client::wait_for_listener;
use crate::files::{self, call};
use crate::network;
use crate::run::{Run, Running};
use nix::sys::signal::Signal;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The address of the guest.
pub const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

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

/// An archive of these files, `site.tar` in a directory that is made if need be.
#[must_use]
pub fn archive(directory: &Path, files: &[(&str, &[u8])]) -> PathBuf {
    let root = directory.join("tree");
    tree(&root, files);
    tar(directory, &root)
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

/// A guest that serves an image, with the directory where that is.
#[derive(Debug)]
pub struct Served {
    /// The guest.
    pub guest: Running,
    /// The directory.
    pub directory: TempDir,
}

impl Served {
    /// An archive of these files.
    #[must_use]
    pub fn files(files: &[(&str, &[u8])], arguments: &[&str]) -> Self {
        let directory = files::directory();
        let image = archive(directory.path(), files);
        Self::image(directory, &format!("{},ro", image.display()), "64M", arguments)
    }

    /// An image, as `--disk` has it.
    #[must_use]
    pub fn image(directory: TempDir, disk: &str, memory: &str, arguments: &[&str]) -> Self {
        network::make_tap_with_address("tap0");
        let guest = run(disk, memory).args(arguments).deadline(Duration::from_secs(600)).start();
        wait_for_listener(PEER, 80);
        Self { guest, directory }
    }

    /// Ends the guest, which must have had nothing to complain of.
    pub fn end(self) {
        self.guest.signal(Signal::SIGTERM);
        let ended = self.guest.wait().status(0).quietly();
        let text = ended.text();
        assert!(text.lines().all(|line| line.starts_with("static-site: at ")), "{text}");
    }
}

/// `static-site` with an image, as `--disk` has it.
#[must_use]
pub fn run(disk: &str, memory: &str) -> Run {
    Run::guest("static-site").option("--net", "tap0").option("--disk", disk).option("--mem", memory).args([
        "--ip",
        "10.0.0.2/24",
        "--ip",
        "fd00::2/64",
    ])
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
