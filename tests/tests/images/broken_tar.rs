//! Archives that are cut short, damaged, or made to do harm.

use crate::world::{directory, open, refusal, run, tar, text, wait, write};
use std::fs;
use std::os::unix::fs::symlink;
use tar_core::builder::{EntryBuilder, PaxBuilder};
use tar_core::{EntryType, HeaderBuilder};
use ukvm_storage::{Entry, OpenError, Store};
use ukvm_tests::random::Random;
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    names_that_lead_out_are_refused .needs(&[Need::Program("tar")]);
    every_cut_is_noticed .needs(&[Need::Program("tar")]);
    sizes_that_lie;
    damaged_headers_are_refused;
    headers_without_end_are_refused;
    what_cannot_be_read_is_named .needs(&[Need::Program("tar")]);
    a_name_cannot_be_a_directory_and_something_else;
    an_index_has_a_limit;
    links_take_no_more_than_they_need;
    what_is_no_image_is_told_apart .needs(&[Need::Program("bzip2"), Need::Program("gzip"), Need::Program("tar"), Need::Program("xz")]);
    a_disk_that_cannot_be_read_is_an_error;
    random_damage_is_survived .needs(&[Need::Program("tar")]);
}

/// The end of an archive.
const END: [u8; 1024] = [0; 1024];

/// An entry with contents.
fn entry(name: &str, contents: &[u8]) -> Vec<u8> {
    let mut builder = EntryBuilder::new_ustar();
    builder.path(name).size(contents.len() as u64).unwrap().entry_type(EntryType::Regular);
    let mut bytes = builder.finish_bytes();
    bytes.extend(contents);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// An entry that has no contents, but a target.
fn link(kind: EntryType, name: &str, target: &str) -> Vec<u8> {
    let mut builder = EntryBuilder::new_gnu();
    builder.path(name).link_name(target).size(0).unwrap().entry_type(kind);
    builder.finish_bytes()
}

/// An extended header with these records, for the entry that follows.
fn extended(kind: u8, records: &[u8]) -> Vec<u8> {
    let mut builder = HeaderBuilder::new_ustar();
    builder
        .path("header")
        .unwrap()
        .size(records.len() as u64)
        .unwrap()
        .entry_type(EntryType::from_byte(kind));
    let mut bytes = builder.finish().as_bytes().to_vec();
    bytes.extend(records);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Computes the checksum of the header at `at` anew.
fn mend(bytes: &mut [u8], at: usize) {
    let header = &mut bytes[at..at + 512];
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn names_that_lead_out_are_refused() {
    for name in ["../x", "a/../../x", "a/..", ".."] {
        let reason = refusal([&entry(name, b"x")[..], &END].concat());
        assert_eq!(
            reason,
            format!("the tar archive has the name {name:?}, which leads out of its tree; make it without")
        );
    }
    let directory = directory();
    write(directory.path(), "x", "x");
    let bytes = tar(directory.path(), &["-P", "--transform=s,^,../,", "x"]);
    assert!(refusal(bytes).contains("\"../x\", which leads out"));
    // An absolute name counts from the root of the tree, as for `tar -x`.
    let store = open([&entry("/etc/passwd", b"x")[..], &END].concat()).unwrap();
    assert!(matches!(wait(store.find("etc/passwd")), Ok(Some(Entry::File(_)))));
}

fn every_cut_is_noticed() {
    let directory = directory();
    let tree = directory.path();
    write(tree, "a", vec![1; 700]);
    write(tree, &"n".repeat(150), "long");
    write(tree, "z", "");
    for format in ["gnu", "pax"] {
        let bytes = tar(tree, &[&format!("--format={format}"), "--sort=name", "."]);
        // What follows the mark is padding.
        let end = bytes.len() - bytes.iter().rev().position(|byte| *byte != 0).unwrap();
        let end = end.next_multiple_of(512) + 1024;
        assert!(open(&bytes[..end]).is_ok());
        for length in 512..end {
            let reason = refusal(&bytes[..length]);
            assert!(reason.starts_with("the tar archive is cut short: the disk ends "), "{length}: {reason}");
        }
    }
    assert_eq!(
        refusal(entry("file", &[1; 2000]).split_at(1000).0),
        "the tar archive is cut short: the disk ends within \"file\""
    );
}

fn sizes_that_lie() {
    // Of a header, in octal and in base 256, and of an extended one.
    for size in [
        &b"77777777777\0"[..],
        b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
        // More than 64 bits, of which the lower ones would do; and less than nothing.
        b"\x80\0\0\x01\0\0\0\0\0\0\0\x01",
        b"\x81\0\0\0\0\0\0\0\0\0\0\x01",
        b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x01",
    ] {
        let mut bytes = [&entry("liar", b"x")[..], &END].concat();
        bytes[124..136].copy_from_slice(size);
        mend(&mut bytes, 0);
        let reason = refusal(bytes);
        assert!(reason.starts_with("the tar archive is"), "{reason}");
    }
    for (records, expected) in [
        (&b"28 size=9999999999999999999\n"[..], "cut short"),
        (b"29 size=99999999999999999999\n", "the size in an extended header is no number"),
        (b"11 size=-1\n", "the size in an extended header is no number"),
        (b"11 size=1\n\n", "the size in an extended header is no number"),
        (b"9 size=\n1", "malformed"),
        (b"12 path=abc\nrubbish", "a record of an extended header is malformed"),
        (b"999 path=abc\n", "malformed"),
        (b"0 path=abc\n", "malformed"),
        (b"18446744073709551615 path=abc\n", "malformed"),
        (b"99999999999999999999 path=abc\n", "malformed"),
        (b"no number path=abc\n", "malformed"),
    ] {
        let reason = refusal([&extended(b'x', records)[..], &entry("liar", b"x"), &END].concat());
        assert!(reason.contains(expected), "{}: {reason}", String::from_utf8_lossy(records));
    }
    // The same of an extended header, and of a global one.
    for kind in [b'x', b'g'] {
        let mut header = extended(kind, b"16 comment=abcd\n");
        header[124..136].copy_from_slice(b"\x80\x01\0\0\0\0\0\0\0\0\0\x10");
        mend(&mut header, 0);
        let reason = refusal([&header[..], &entry("x", b"x"), &END].concat());
        assert!(reason.contains("a size is negative, or larger than that of any disk"), "{reason}");
    }
    // In base 256, what fits is good, and a time before 1970 is none.
    let mut based = entry("based", b"xyz");
    based[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x03");
    based[136..148].copy_from_slice(&[0xff; 12]);
    mend(&mut based, 0);
    let store = open([&based[..], &END].concat()).unwrap();
    assert_eq!(crate::world::contents(&store, "based"), b"xyz");
    assert!(matches!(wait(store.find("based")), Ok(Some(Entry::File(file))) if file.modified().is_none()));
    // A time before 1970 is no reason to refuse the rest.
    let store = open([&extended(b'x', b"16 mtime=-1.500\n")[..], &entry("old", b"x"), &END].concat());
    assert!(store.is_ok());
}

fn damaged_headers_are_refused() {
    let first = entry("first", &[1; 100]);
    let mut bytes = [&first[..], &entry("second", &[2; 100]), &END].concat();
    bytes[1024 + 3] ^= 1;
    let reason = refusal(&bytes[..]);
    assert!(reason.starts_with("the tar archive is broken at byte 1024: "), "{reason}");
    bytes[1024 + 3] ^= 1;
    bytes[2] ^= 1;
    let reason = refusal(bytes);
    assert!(reason.starts_with("the tar archive is broken at byte 0: "), "{reason}");
}

fn headers_without_end_are_refused() {
    let long = "n".repeat(5000);
    let mut name = PaxBuilder::new();
    name.path(&long);
    let reason = refusal([&extended(b'x', &name.finish())[..], &entry("x", b""), &END].concat());
    assert!(reason.contains("path exceeds limit"), "{reason}");
    let huge = extended(b'x', &vec![b'1'; 100_000]);
    assert!(refusal([&huge[..], &entry("x", b""), &END].concat()).contains("metadata exceeds limit"));
    assert!(
        refusal([&extended(b'g', &vec![b'1'; 100_000])[..], &END].concat())
            .contains("metadata exceeds limit")
    );
    let many = extended(b'x', b"12 path=abc\n").repeat(1000);
    assert!(refusal([&many[..], &END].concat()).contains("duplicate"));
    let reason = refusal([&extended(b'g', b"12 path=abc\n")[..], &entry("x", b""), &END].concat());
    assert!(reason.contains("a global header gives all files one name or size"), "{reason}");
    // A comment, as git writes it, is no harm.
    assert!(open([&extended(b'g', b"16 comment=abcd\n")[..], &entry("x", b""), &END].concat()).is_ok());
    // It comes before what belongs to one file, and not between that and the file.
    let comment = extended(b'g', b"16 comment=abcd\n");
    for pending in [extended(b'x', b"12 path=abc\n"), extended(b'L', b"abc\0"), extended(b'K', b"abc\0")] {
        let reason = refusal([&pending[..], &comment, &entry("x", b""), &END].concat());
        assert!(reason.contains("broken at byte 0: an extended header belongs to no file"), "{reason}");
        let sound = [&[0; 512][..], &comment, &pending, &entry("x", b""), &END].concat();
        assert!(open([&entry("first", b"")[..], &sound].concat()).is_ok());
    }
    // Zeroes between entries do not add up to anything.
    let zeroes = [&[0; 512][..], &entry("x", b"")].concat().repeat(2000);
    assert!(open([&entry("first", b"")[..], &zeroes, &END].concat()).is_ok());
}

fn what_cannot_be_read_is_named() {
    let directory = directory();
    let tree = directory.path();
    fs::File::create(tree.join("holes")).unwrap().set_len(1 << 20).unwrap();
    for format in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let reason = refusal(tar(tree, &[format, &["--sparse", "holes"]].concat()));
        assert_eq!(
            reason, "the tar archive has \"holes\" as a sparse file; make it without tar's option --sparse",
            "{format:?}"
        );
    }
    let mut name = entry("xx", b"x");
    name[0] = 0xff;
    mend(&mut name, 0);
    assert_eq!(
        refusal([&name[..], &END].concat()),
        "the tar archive has the name \"\u{fffd}x\", which is not in UTF-8; rename the file"
    );
    let part = link(EntryType::Other(b'M'), "part", "");
    assert!(refusal([&part[..], &END].concat()).contains("has only a part of \"part\""));
    let nothing = link(EntryType::Link, "link", "gone");
    assert!(refusal([&nothing[..], &END].concat()).contains("\"link\" as a hard link to \"gone\""));
}

fn a_name_cannot_be_a_directory_and_something_else() {
    let file = entry("a", b"x");
    let below = entry("a/b", b"x");
    let symlink = link(EntryType::Symlink, "a", "/etc");
    let directory = link(EntryType::Directory, "a/", "");
    for entries in
        [[&file, &below], [&below, &file], [&symlink, &below], [&directory, &file], [&file, &directory]]
    {
        let reason = refusal([&entries[0][..], entries[1], &END].concat());
        assert!(reason.contains("as a directory and as something else"), "{reason}");
    }
    // Special files are as if they were not there, and take the place of what was.
    let store = open([&file[..], &link(EntryType::Fifo, "a", ""), &END].concat()).unwrap();
    assert_eq!(wait(store.find("a")), Ok(None));
}

fn an_index_has_a_limit() {
    let entries: Vec<u8> = (0..1000).flat_map(|number| entry(&format!("file {number}"), b"")).collect();
    let image = [&entries[..], &END].concat();
    assert!(open(&image[..]).is_ok());
    let refused = wait(Store::open_within(crate::world::Memory::new(image), 50_000)).unwrap_err();
    assert_eq!(refused, OpenError::TooMany { limit: 50_000 });
    assert_eq!(
        refused.to_string(),
        "the disk holds more files than can be noted in 50000 bytes; allow for more"
    );
    // What is replaced or left out takes no room.
    let again = [entry("a/file", b""), link(EntryType::Fifo, "pipe", ""), entry("pipe", b"")].concat();
    let image = [&again.repeat(1000)[..], &link(EntryType::Fifo, "pipe", ""), &END].concat();
    let store = wait(Store::open_within(crate::world::Memory::new(image), 1000)).unwrap();
    assert!(matches!(wait(store.find("a/file")), Ok(Some(Entry::File(_)))));
    assert_eq!(wait(store.find("pipe")), Ok(None));
}

fn links_take_no_more_than_they_need() {
    // What leads nowhere is not noted.
    let padded: Vec<u8> = (0..50)
        .flat_map(|number| link(EntryType::Symlink, &format!("link {number}"), &("./".repeat(40) + "file")))
        .collect();
    let image = [&entry("file", b"x")[..], &padded, &END].concat();
    let store = wait(Store::open_within(crate::world::Memory::new(image), 10_000)).unwrap();
    assert_eq!(crate::world::contents(&store, "link 49"), b"x");
    // A way of many links, each of which goes back and forth.
    let chain = |turns: usize| {
        let links = (0..30).flat_map(|number| {
            let mut records = PaxBuilder::new();
            records.linkpath(format!("{}{}", "d/../".repeat(turns), number + 1));
            let header = extended(b'x', &records.finish());
            [header, link(EntryType::Symlink, &number.to_string(), "")].concat()
        });
        let links: Vec<u8> = links.collect();
        let ends = [entry("d/x", b""), entry("30", b"end")].concat();
        open([&links[..], &ends, &END].concat()).unwrap()
    };
    assert_eq!(crate::world::contents(&chain(30), "0"), b"end");
    assert_eq!(wait(chain(600).find("0")), Ok(None));
}

fn what_is_no_image_is_told_apart() {
    let unknown =
        "the disk holds neither a tar archive nor a FAT file system; make an image with tar or mkfs.vfat";
    assert_eq!(refusal([]), unknown);
    assert_eq!(refusal([0; 511]), unknown);
    assert_eq!(refusal([0; 1 << 16]), unknown);
    assert_eq!(refusal([b'x'; 1 << 16]), unknown);
    let directory = directory();
    write(directory.path(), "x", "x");
    let archive = directory.path().join("archive");
    for (option, format) in [("--gzip", "gzip"), ("--xz", "xz"), ("--bzip2", "bzip2")] {
        run("tar", &[option, "-cf", text(&archive), "-C", text(directory.path()), "x"]);
        // As a disk, it is padded.
        let mut bytes = fs::read(&archive).unwrap();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        assert_eq!(
            refusal(bytes),
            format!("the disk holds {format} data; an archive must not be compressed as a whole")
        );
    }
    let mut table = [0; 512];
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    assert!(refusal(table).starts_with("the disk has a partition table; "));
}

fn a_disk_that_cannot_be_read_is_an_error() {
    let bytes = [&entry("a", b"x")[..], &entry("b", b"y"), &END].concat();
    for broken in [0, 1024, 2500] {
        let mut memory = crate::world::Memory::new(bytes.clone());
        memory.broken = Some(broken);
        let refused = wait(Store::open(memory)).unwrap_err();
        assert_eq!(refused.to_string(), "the disk cannot be read");
    }
}

fn random_damage_is_survived() {
    let directory = directory();
    let tree = directory.path();
    write(tree, "a/b", vec![1; 700]);
    write(tree, &format!("a/{}", "n".repeat(90)), "long");
    symlink("a", tree.join("link")).unwrap();
    fs::hard_link(tree.join("a/b"), tree.join("a/z")).unwrap();
    let mut random = Random::new(1);
    for format in ["ustar", "gnu", "pax"] {
        let bytes = tar(tree, &[&format!("--format={format}"), "--sort=name", "a", "link"]);
        for _ in 0..1500 {
            let mut bytes = bytes.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(5000.min(bytes.len()));
                bytes[at] = [0, 0xff, b'0', b'9', random.below(256) as u8][random.below(5)];
                if random.below(4) > 0 {
                    let header = at / 512 * 512;
                    mend(&mut bytes, header);
                }
            }
            if let Ok(store) = open(bytes) {
                crate::world::read_all(&store);
            }
        }
    }
}
