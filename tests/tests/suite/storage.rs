//! Files on disks: images that ordinary programs made, and files that such programs then read.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;
use ukvm_tests::files::{self, call, checksum, noise};
use ukvm_tests::run::Run;
use ukvm_tests::suite::Need;
use xtask::image::{self, Format};

ukvm_tests::tests! {
    every_file_of_a_tar_archive .needs(&[Need::Program("tar")]);
    every_file_of_a_fat_file_system .needs(&[Need::Program("mkfs.vfat"), Need::Program("mcopy")]);
    files_that_a_guest_writes .needs(&[Need::Program("mkfs.vfat"), Need::Program("mcopy"), Need::Program("fsck.vfat")]);
    an_image_that_is_none;
    a_full_file_system;
}

/// A directory with files of many sizes.
fn tree(directory: &Path) -> std::path::PathBuf {
    let tree = directory.join("tree");
    fs::create_dir_all(tree.join("a/b")).expect("a directory");
    for (number, size) in [0, 1, 511, 512, 513, 4096, 100_000, 3_000_000].into_iter().enumerate() {
        let name = format!("a/b/a file with a long name {number}");
        let _ = files::file(&tree, &name, &noise(number as u64, size));
    }
    let _ = files::file(&tree, "index.html", b"<p>hello</p>\n");
    tree
}

/// What the guest prints of these files.
fn listing(format: &str, tree: &Path) -> Vec<String> {
    let mut lines = vec![format.to_owned()];
    let mut ahead = vec![String::new()];
    while let Some(directory) = ahead.pop() {
        for entry in fs::read_dir(tree.join(&directory)).expect("a directory") {
            let entry = entry.expect("an entry");
            let path = format!("{directory}{}", entry.file_name().to_str().expect("UTF-8"));
            if entry.file_type().expect("a type").is_dir() {
                lines.push(format!("{path}/"));
                ahead.push(format!("{path}/"));
            } else {
                let bytes = fs::read(entry.path()).expect("a file");
                lines.push(format!("{path} {} {:016x}", bytes.len(), checksum(&bytes)));
            }
        }
    }
    lines.sort();
    lines
}

/// Checks what a guest finds on an image, mapped and by requests.
#[track_caller]
fn check(image: &Path, expected: &[String]) {
    for option in ["", ",ro"] {
        let disk = format!("data={}{option}", image.display());
        let found = Run::guest("read-files").option("--disk", disk).finish().status(0).quietly().text();
        let mut found: Vec<_> = found.lines().map(str::to_owned).collect();
        found.sort();
        assert_eq!(found, expected, "{option:?}");
    }
}

fn every_file_of_a_tar_archive() {
    let directory = files::directory();
    let tree = tree(directory.path());
    let expected = listing("Tar", &tree);
    let path = directory.path().join("data.tar");
    let [archive, source] = [&path, &tree].map(|path| path.to_str().expect("UTF-8"));
    for format in ["--format=ustar", "--format=gnu", "--format=pax"] {
        let _ = call("tar", &[format, "-cf", archive, "-C", source, "."]);
        check(&path, &expected);
    }
    image::create(&tree, &path, Format::Tar, None).expect("an image");
    check(&path, &expected);
}

fn every_file_of_a_fat_file_system() {
    let directory = files::directory();
    let tree = tree(directory.path());
    let expected = listing("Fat", &tree);
    let path = files::sparse(directory.path(), "data.img", 16 << 20);
    let image = path.to_str().expect("UTF-8");
    let _ = call("mkfs.vfat", &[image]);
    let contents = ["a", "index.html"].map(|name| tree.join(name));
    let [a, index] = [&contents[0], &contents[1]].map(|path| path.to_str().expect("UTF-8"));
    let _ = call("mcopy", &["-si", image, a, index, "::"]);
    check(&path, &expected);
    image::create(&tree, &path, Format::Fat(None), None).expect("an image");
    check(&path, &expected);
}

fn files_that_a_guest_writes() {
    let directory = files::directory();
    let path =
        files::fat_image(directory.path(), 16 << 20, &[("old", b"a line from the host\n"), ("gone", b"x")]);
    let size = 3_000_000;
    let disk = format!("scratch={}", path.display());
    let before = SystemTime::now();
    let run = Run::guest("write-files").option("--disk", disk).args([size.to_string()]);
    let _ = run.finish().status(0).prints("changed\n").quietly();
    let image = path.to_str().expect("UTF-8");
    let _ = call("fsck.vfat", &["-n", image]);
    let copies = directory.path().join("copies");
    fs::create_dir(&copies).expect("a directory");
    let _ = call("mcopy", &["-smi", image, "::", copies.to_str().expect("UTF-8")]);
    let moved = fs::read_to_string(copies.join("kept/moved")).expect("a file");
    assert_eq!(moved, "a line from the host\nand a line from the guest\n");
    assert!(!copies.join("gone").exists() && !copies.join("old").exists());
    let large = fs::read(copies.join("large")).expect("a file");
    assert!(large.len() == size && large.iter().enumerate().all(|(at, byte)| *byte == (at / 512) as u8));
    // FAT's dates are local time without a zone; the guest writes UTC, which mcopy takes for the zone of this host.
    let listed = Command::new(files::program("mdir").expect("mtools"))
        .env("TZ", "UTC")
        .args(["-i", image, "::"])
        .output();
    let listed = String::from_utf8(listed.expect("mdir").stdout).expect("UTF-8");
    let year = 1970 + before.duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_secs() / 31_556_952;
    assert!(listed.contains(&format!("{year}-")), "{listed}");
    // A disk that is read-only stays as it is.
    let content = fs::read(&path).expect("the image");
    let run = Run::guest("read-files").option("--disk", format!("data={},ro", path.display()));
    assert!(run.finish().status(0).text().contains("kept/moved 47 "));
    assert!(fs::read(&path).expect("the image") == content);
}

fn an_image_that_is_none() {
    let directory = files::directory();
    let noise = files::file(directory.path(), "noise.img", &noise(7, 1 << 16));
    let tree = tree(directory.path());
    let cut = directory.path().join("cut.img");
    image::create(&tree, &cut, Format::Tar, None).expect("an image");
    let file = fs::File::options().write(true).open(&cut).expect("the image");
    file.set_len(1 << 20).expect("a shorter image");
    for (path, sentence) in [
        (&noise, "the disk holds neither a tar archive nor a FAT file system; "),
        (&cut, "the tar archive is cut short: the disk ends within \"a/b/a file with a long name 7\""),
    ] {
        let disk = format!("data={}", path.display());
        let said = Run::guest("read-files").option("--disk", disk).finish().status(1).quietly().text();
        assert!(said.starts_with(sentence), "{said}");
    }
}

fn a_full_file_system() {
    let directory = files::directory();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).expect("a directory");
    for name in ["old", "gone"] {
        let _ = files::file(&tree, name, b"x");
    }
    let path = directory.path().join("data.img");
    image::create(&tree, &path, Format::Fat(Some(1 << 20)), None).expect("an image");
    let disk = format!("scratch={}", path.display());
    let run = Run::guest("write-files").option("--disk", disk).args(["2000000"]);
    let _ = run.finish().status(1).prints("the file system has no room left\n").quietly();
}
