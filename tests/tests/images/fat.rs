//! File systems that real programs made.

use crate::world::{FAT, Memory, assert_same, contents, directory, open, run, text, wait, write};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use ukvm_storage::{Entry, File, Format, Store};

ukvm_tests::tests! {
    every_size_of_fat_is_read .needs(FAT);
    names_match_whatever_their_case .needs(FAT);
    dates_are_those_of_the_directory .needs(FAT);
    fragments_are_put_together .needs(FAT);
}

/// The sizes of FAT, each with that of the disk and of a cluster in bytes.
pub(crate) const KINDS: [(&str, u64, u64); 3] =
    [("12", 2 << 20, 2048), ("16", 16 << 20, 512), ("32", 34 << 20, 512)];

/// An image with the files of a directory, made by `mkfs.vfat` and `mcopy`.
#[track_caller]
pub(crate) fn image(directory: &Path, (kind, size, cluster): (&str, u64, u64)) -> Vec<u8> {
    let image = directory.with_extension("img");
    fs::File::create(&image).and_then(|file| file.set_len(size)).unwrap();
    run(
        "mkfs.vfat",
        &["-F", kind, "-s", &(cluster / 512).to_string(), "-S", "512", "-n", "LABEL", text(&image)],
    );
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut arguments = vec!["-smi", text(&image)];
    arguments.extend(names.iter().map(|name| text(name)));
    arguments.push("::");
    if !names.is_empty() {
        run("mcopy", &arguments);
    }
    run("fsck.vfat", &["-n", text(&image)]);
    let bytes = fs::read(&image).unwrap();
    fs::remove_file(image).unwrap();
    bytes
}

fn file(store: &Store<Memory>, path: &str) -> File {
    match wait(store.find(path)).unwrap() {
        Some(Entry::File(file)) => file,
        other => panic!("{path}: {other:?}"),
    }
}

fn every_size_of_fat_is_read() {
    let directory = directory();
    let tree = directory.path();
    write(tree, "empty", "");
    write(tree, "index.html", "<p>hello</p>");
    write(tree, "a/b/c/deep.txt", vec![7; 100_000]);
    write(tree, "cluster", vec![1; 2048]);
    write(tree, "A rather long name that no 8.3 entry can hold.with.dots", "long");
    write(tree, &format!("{}.html", "n".repeat(150)), "long");
    write(tree, "J\u{fc}rgen \u{4e16}", "unicode");
    fs::create_dir(tree.join("nothing in it")).unwrap();
    for number in 0..300 {
        write(tree, &format!("many/a file with a long name {number:03}.txt"), number.to_string());
    }
    for kind in KINDS {
        let store = open(image(tree, kind)).unwrap();
        assert_eq!(store.format(), Format::Fat);
        assert_same(&store, tree);
    }
}

fn names_match_whatever_their_case() {
    let directory = directory();
    let tree = directory.path();
    write(tree, "Stra\u{df}e/\u{c4}pfel.TXT", "apples");
    write(tree, "README", "read me");
    let store = open(image(tree, KINDS[0])).unwrap();
    for path in ["Stra\u{df}e/\u{c4}pfel.TXT", "STRA\u{df}E/\u{e4}PFEL.txt"] {
        assert_eq!(contents(&store, path), b"apples");
    }
    assert_eq!(contents(&store, "readme"), b"read me");
    // Neither an alias of a long name, nor what only Windows takes for the same.
    for path in ["STRAE~1", "readme.", "readme ", "label", "LABEL", "stra\u{df}e/..", "stra\u{df}e/."] {
        assert_eq!(wait(store.find(path)), Ok(None), "{path}");
    }
    let names: Vec<_> =
        wait(store.list("")).unwrap().unwrap().into_iter().map(|listed| listed.name).collect();
    assert_eq!(names, ["README", "Stra\u{df}e"]);
    let names: Vec<_> =
        wait(store.list("STRA\u{df}e")).unwrap().unwrap().into_iter().map(|listed| listed.name).collect();
    assert_eq!(names, ["\u{c4}pfel.TXT"]);
}

fn dates_are_those_of_the_directory() {
    let directory = directory();
    let tree = directory.path();
    write(tree, "dated", "");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    fs::File::open(tree.join("dated")).unwrap().set_modified(time).unwrap();
    let store = open(image(tree, KINDS[0])).unwrap();
    assert_eq!(file(&store, "dated").modified(), Some(1_234_567_890));
}

fn fragments_are_put_together() {
    let directory = directory();
    let tree = directory.path();
    let noise: Vec<u8> = (0..200_000u32).map(|number| (number / 512 * 7 + number) as u8).collect();
    for number in 0..200 {
        write(tree, &format!("{number:03}"), [number as u8; 512]);
    }
    let image = image(tree, KINDS[1]);
    let path = tree.with_extension("img");
    fs::write(&path, image).unwrap();
    // Every other cluster becomes free, and one file takes them all.
    for number in (0..200).step_by(2) {
        run("mdel", &["-i", text(&path), &format!("::{number:03}")]);
        fs::remove_file(tree.join(format!("{number:03}"))).unwrap();
    }
    write(tree, "fragmented", &noise);
    let mut mcopy = Command::new("mcopy");
    assert!(
        mcopy.args(["-i", text(&path), text(&tree.join("fragmented")), "::"]).status().unwrap().success()
    );
    let store = open(fs::read(&path).unwrap()).unwrap();
    fs::remove_file(path).unwrap();
    assert_same(&store, tree);
    let file = file(&store, "fragmented");
    for (offset, length) in
        [(0, 1), (511, 2), (512, 512), (1000, 3000), (199_999, 10), (200_000, 1), (u64::MAX, 9)]
    {
        let mut bytes = vec![0; length];
        let count = wait(store.read_at(&file, offset, &mut bytes)).unwrap();
        let from = noise.len().min(offset as usize);
        assert!(
            bytes[..count] == noise[from..noise.len().min(from.saturating_add(length))],
            "{offset} {length}"
        );
    }
}
