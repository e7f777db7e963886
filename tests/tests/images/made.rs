//! Images that `cargo xtask image` makes, as `tar`, `fsck.vfat`, `mcopy` and guests read them.

use crate::world::{Memory, run, text, wait};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use ukvm_storage::{Entry, Store};
use ukvm_tests::suite::Need;
use xtask::image::{Format, create};

ukvm_tests::tests! {
    tar_unpacks_what_was_packed .needs(&[Need::Program("diff"), Need::Program("tar")]);
    fat_is_sound_and_has_all_files .needs(&[Need::Program("diff"), Need::Program("fsck.vfat"), Need::Program("mcopy")]);
    the_same_files_give_the_same_bytes;
    what_fat_cannot_hold_is_refused;
    what_no_image_can_hold_is_refused .needs(&[Need::Program("mkfifo")]);
}

/// A directory with files of all kinds, and a place for images beside it.
fn tree() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let site = directory.path().join("site");
    fs::create_dir_all(site.join("a/b/empty directory")).unwrap();
    for (name, bytes) in [
        ("index.html", &b"<p>hello</p>"[..]),
        ("empty", b""),
        ("a/b/big", &[7; 300_000]),
        ("a/J\u{fc}rgen's file with a long name.txt", b"x"),
        (&format!("{}.html", "n".repeat(150)), b"long"),
    ] {
        fs::write(site.join(name), bytes).unwrap();
    }
    for number in 0..300 {
        fs::write(site.join(format!("a file with a long name {number}.txt")), number.to_string()).unwrap();
    }
    directory
}

/// Makes an image of the tree.
#[track_caller]
fn image(tree: &TempDir, format: Format) -> Vec<u8> {
    let image = tree.path().join("data.img");
    create(&tree.path().join("site"), &image, format, None).unwrap();
    let bytes = fs::read(image).unwrap();
    assert!(bytes.len().is_multiple_of(512));
    bytes
}

/// Why no image can be made of the tree; there must be none then.
#[track_caller]
fn refusal(tree: &TempDir, format: Format) -> String {
    let image = tree.path().join("data.img");
    let error = create(&tree.path().join("site"), &image, format, None).unwrap_err();
    let left: Vec<_> = fs::read_dir(tree.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["site"]);
    format!("{error:#}").replace(text(tree.path()), "DIR")
}

/// The files that a guest finds, with their contents; none for a directory.
fn found(bytes: Vec<u8>) -> Vec<(String, Option<Vec<u8>>)> {
    wait(async {
        let store = Store::open(Memory::new(bytes)).await.unwrap();
        let mut files = Vec::new();
        let mut ahead = vec![String::new()];
        while let Some(directory) = ahead.pop() {
            for listed in store.list(&directory).await.unwrap().unwrap() {
                let path =
                    if directory.is_empty() { listed.name } else { format!("{directory}/{}", listed.name) };
                let contents = match listed.entry {
                    Entry::Directory => {
                        ahead.push(path.clone());
                        None
                    }
                    Entry::File(file) => {
                        let mut bytes = vec![0; file.size() as usize];
                        store.read_at(&file, 0, &mut bytes).await.unwrap();
                        Some(bytes)
                    }
                };
                files.push((path, contents));
            }
        }
        files.sort();
        files
    })
}

fn tar_unpacks_what_was_packed() {
    let tree = tree();
    let site = tree.path().join("site");
    symlink("index.html", site.join("start")).unwrap();
    symlink("x/".repeat(80), site.join("a long way to nowhere")).unwrap();
    fs::set_permissions(site.join("empty"), fs::Permissions::from_mode(0o700)).unwrap();
    let bytes = image(&tree, Format::Tar);
    let copy = tree.path().join("copy");
    fs::create_dir(&copy).unwrap();
    run("tar", &["-xf", text(&tree.path().join("data.img")), "-C", text(&copy)]);
    run("diff", &["-r", "--no-dereference", text(&site), text(&copy)]);
    for (name, mode) in [("empty", 0o755), ("index.html", 0o644)] {
        assert_eq!(fs::metadata(copy.join(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    let seconds = |path: &Path| {
        let time = fs::metadata(path).unwrap().modified().unwrap();
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    };
    assert_eq!(seconds(&site.join("index.html")), seconds(&copy.join("index.html")));
    let files = found(bytes);
    assert!(files.contains(&("start".into(), Some(b"<p>hello</p>".to_vec()))));
    assert_eq!(files.len(), 309);
}

fn fat_is_sound_and_has_all_files() {
    let tree = tree();
    let site = tree.path().join("site");
    let without = found(image(&tree, Format::Tar));
    // FAT12, FAT16, FAT32, and as small as possible.
    for size in [None, Some(2 << 20), Some(100 << 20), Some(600 << 20)] {
        let bytes = image(&tree, Format::Fat(size));
        assert_eq!(size.unwrap_or(1 << 20), bytes.len() as u64);
        let image = tree.path().join("data.img");
        run("fsck.vfat", &["-n", text(&image)]);
        let copy = tree.path().join("copy");
        fs::create_dir(&copy).unwrap();
        run("mcopy", &["-smi", text(&image), "::", text(&copy)]);
        run("diff", &["-r", text(&site), text(&copy)]);
        let mut expected = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        expected -=
            fs::metadata(copy.join("index.html")).unwrap().modified().unwrap().elapsed().unwrap().as_secs();
        let modified = fs::metadata(site.join("index.html")).unwrap().modified().unwrap();
        let modified = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!(expected.abs_diff(modified) <= 3, "dates are kept to two seconds: {expected} {modified}");
        fs::remove_dir_all(copy).unwrap();
        assert!(found(bytes) == without, "{size:?}");
    }
}

fn the_same_files_give_the_same_bytes() {
    let tree = tree();
    let site = tree.path().join("site");
    for format in [Format::Tar, Format::Fat(None)] {
        let first = image(&tree, format);
        // Other times of access and of creation, and another order in the directory.
        let index = site.join("index.html");
        let modified = fs::metadata(&index).unwrap().modified().unwrap();
        let bytes = fs::read(&index).unwrap();
        fs::remove_file(&index).unwrap();
        fs::write(&index, bytes).unwrap();
        fs::File::options().write(true).open(&index).unwrap().set_modified(modified).unwrap();
        fs::File::open(&site).unwrap().set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
        assert!(first == image(&tree, format), "{format:?}");
        // With a latest date, times do not matter either.
        let dated = |latest| {
            let image = tree.path().join("data.img");
            create(&site, &image, format, Some(latest)).unwrap();
            fs::read(image).unwrap()
        };
        let first = dated(1_000_000_000);
        fs::File::options().write(true).open(&index).unwrap().set_modified(SystemTime::now()).unwrap();
        assert!(first == dated(1_000_000_000));
        assert!(first != dated(1_000_000_002));
    }
}

fn what_fat_cannot_hold_is_refused() {
    let tree = tree();
    let site = tree.path().join("site");
    let refused = |name: &str, expected: &str| {
        let reason = refusal(&tree, Format::Fat(None));
        assert_eq!(reason, expected);
        fs::remove_file(site.join(name)).unwrap();
    };
    symlink("index.html", site.join("start")).unwrap();
    refused("start", "start is a symbolic link, which FAT cannot hold; replace it, or use --format tar");
    fs::File::create(site.join("huge")).unwrap().set_len(4 << 30).unwrap();
    refused("huge", "huge has 4294967296 bytes, and a file on FAT less than 4 GiB; use --format tar");
    fs::write(site.join("a:b"), "").unwrap();
    refused("a:b", "the name \"a:b\" has the character ':', which FAT cannot hold; use --format tar");
    fs::write(site.join("dot."), "").unwrap();
    refused("dot.", "the name \"dot.\" ends in a dot or space, which FAT cannot hold; use --format tar");
    fs::write(site.join("INDEX.html"), "").unwrap();
    refused(
        "INDEX.html",
        "INDEX.html and index.html differ only in case, and have one name on FAT; rename one of them",
    );
    // Nor has FAT one name for these.
    for name in ["stra\u{df}e", "STRASSE"] {
        fs::write(site.join(name), name).unwrap();
    }
    let files = found(image(&tree, Format::Fat(None)));
    assert!(files.contains(&("STRASSE".into(), Some(b"STRASSE".to_vec()))));
    fs::remove_file(tree.path().join("data.img")).unwrap();
    assert_eq!(
        refusal(&tree, Format::Fat(Some(1 << 18))),
        "the files do not fit into 262144 bytes; give a larger --size, or none"
    );
    assert_eq!(
        refusal(&tree, Format::Fat(Some(1 << 42))),
        "a FAT file system is smaller than 2 TiB; give a smaller --size, or use --format tar"
    );
}

fn what_no_image_can_hold_is_refused() {
    let tree = tree();
    let site = tree.path().join("site");
    run("mkfifo", &[text(&site.join("pipe"))]);
    let reason = refusal(&tree, Format::Tar);
    assert_eq!(reason, "DIR/site/pipe is neither a file nor a directory nor a link; remove it");
    fs::remove_file(site.join("pipe")).unwrap();
    symlink(OsStr::from_bytes(b"\xff"), site.join("link")).unwrap();
    let reason = refusal(&tree, Format::Tar);
    assert_eq!(reason, "the target of the link DIR/site/link is not in UTF-8; replace it");
    fs::remove_file(site.join("link")).unwrap();
    // What is no image stays, and so does what looks like one that is not done.
    let image = tree.path().join("data.img");
    symlink("elsewhere", &image).unwrap();
    let link = create(&site, &image, Format::Tar, None).unwrap_err().to_string();
    assert!(link.ends_with("is there and is no regular file; give another name"), "{link}");
    assert!(image.is_symlink());
    fs::remove_file(&image).unwrap();
    let other = image.with_added_extension(format!("{}.new", std::process::id()));
    fs::write(&other, "mine").unwrap();
    create(&site, &image, Format::Tar, None).unwrap();
    assert_eq!(fs::read(other).unwrap(), b"mine");
    let inside = create(&site, &site.join("a/data.img"), Format::Tar, None).unwrap_err().to_string();
    assert!(inside.ends_with("which goes into it; put it elsewhere"), "{inside}");
    let nowhere =
        create(&site, &tree.path().join("gone/data.img"), Format::Tar, None).unwrap_err().to_string();
    assert!(nowhere.ends_with("gone cannot be found"), "{nowhere}");
    let nothing = create(&tree.path().join("gone"), &tree.path().join("data.img"), Format::Tar, None);
    assert!(nothing.unwrap_err().to_string().ends_with("gone cannot be read"));
}
