//! `static-site` with many files, much data, and many connections.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use ukvm_tests::client::connect;
use ukvm_tests::files::{self, call, noise};
use ukvm_tests::network::in_namespace;
use ukvm_tests::site::{PEER, Served};
use ukvm_tests::suite::{Need, in_rig};
use xtask::image::{self, Format};

ukvm_tests::tests! {
    two_thousand_files_of_a_tar_archive
        .needs(&[Need::Network, Need::Program("wget"), Need::Program("diff")]) .alone();
    two_thousand_files_of_a_fat_image
        .needs(&[Need::Network, Need::Program("wget"), Need::Program("diff")]) .alone() .not_in_rig(SLOW);
    ten_thousand_connections .needs(&[Need::Network, Need::Program("tar")]) .alone() .not_in_rig(SLOW);
}

/// Why some are left out in the emulated machine.
const SLOW: &str = "it takes minutes there, and what it tests is the same on every KVM";

/// A request whose answer ends the connection.
const LAST: &str = "GET /data.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// How many bytes a site of much data has: `UKVM_TEST_BULK` MiB, at most 1 GiB, by default enough for a few seconds.
fn much() -> usize {
    let mib = std::env::var("UKVM_TEST_BULK").ok().and_then(|text| text.parse().ok());
    mib.unwrap_or(if in_rig() { 16_usize } else { 96 }).min(1024) << 20
}

fn two_thousand_files_of_a_tar_archive() {
    two_thousand_files(Format::Tar, much());
}

fn two_thousand_files_of_a_fat_image() {
    two_thousand_files(Format::Fat(None), much().min(256 << 20));
}

/// Has wget fetch a site of so many bytes, and compares every file.
fn two_thousand_files(format: Format, bytes: usize) {
    in_namespace(|| {
        let directory = files::directory();
        let tree = directory.path().join("tree");
        large_site(&tree, bytes);
        let image = directory.path().join("site.img");
        image::create(&tree, &image, format, None).expect("an image");
        // The site is larger than the guest's memory, and so is one of its files.
        let served = Served::image(directory, &format!("{},ro", image.display()), "16M", &[]);
        let copy = served.directory.path().join("copy");
        let start = Instant::now();
        let output = Command::new(files::program("wget").expect("checked before"))
            .args(["--recursive", "--level=inf", "--no-verbose", "--no-host-directories", "--tries=1"])
            // Nor `robots.txt`, which the site does not have.
            .args(["--execute=robots=off", "--timeout=60", "--directory-prefix"])
            .arg(&copy)
            .arg("http://10.0.0.2/")
            .output()
            .expect("wget");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}", &told[told.len().saturating_sub(2000)..]);
        println!("wget: {} MiB of {format:?} in {:?}", bytes >> 20, start.elapsed());
        let [tree, copy] = [&tree, &copy].map(|path| path.to_str().expect("a path in UTF-8"));
        let _ = call("diff", &["--recursive", "--brief", tree, copy]);
        assert_eq!(count(Path::new(copy)), 2000);
        served.end();
    });
}

/// How many files there are in a tree.
fn count(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.iter().map(|path| if path.is_dir() { count(path) } else { 1 }).sum()
}

/// A site of 2,000 files with `bytes` bytes, in 20 directories, all of which `/` leads to.
fn large_site(root: &Path, bytes: usize) {
    let piece = noise(23, 1 << 20);
    let mut home = String::new();
    for directory in 0..20 {
        let mut index = String::new();
        // An index page each, and the home page: the last directory has one file less.
        let names = if directory == 19 { 98 } else { 99 };
        fs::create_dir_all(root.join(format!("part {directory}/sub"))).expect("a directory");
        for number in 0..names {
            let name = format!("sub/file {number}.bin");
            index += &format!("<a href=\"sub/file%20{number}.bin\">{number}</a>\n");
            // Of any size: one has half of all, the others up to twice the mean of the rest.
            let size = match (directory, number) {
                (0, 0) => bytes / 2,
                _ => bytes / 2 / 2000 * (number + 1) / 50,
            };
            let mut file = fs::File::create(root.join(format!("part {directory}/{name}"))).expect("a file");
            let (mut left, mut salt) = (size, directory * 100 + number);
            while left > 0 {
                // Each piece begins with another number.
                let mut piece = piece[..left.min(piece.len())].to_vec();
                let length = piece.len().min(8);
                piece[..length].copy_from_slice(&(salt as u64).to_le_bytes()[..length]);
                file.write_all(&piece).expect("room for a site");
                (left, salt) = (left - piece.len(), salt + 10_000);
            }
        }
        fs::write(root.join(format!("part {directory}/index.html")), index).expect("a page");
        home += &format!("<a href=\"part%20{directory}/index.html\">{directory}</a>\n");
    }
    fs::write(root.join("index.html"), home).expect("a page");
}

fn ten_thousand_connections() {
    in_namespace(|| {
        let served = Served::files(&[("data.bin", b"0123456789")], &[]);
        // What is not given back is missed: the guest has room for some hundred connections.
        for round in 0..2 {
            for number in 0..10_000 {
                let mut stream = connect(PEER, 80);
                match number % 4 {
                    // With a request and its answer; the guest closes.
                    0 => {
                        stream.write_all(LAST.as_bytes()).expect("the peer takes everything");
                        let mut text = String::new();
                        let _ = stream.read_to_string(&mut text).expect("an answer");
                        assert!(text.ends_with("0123456789"), "{round}, {number}: {text}");
                    }
                    // With a request, and gone before the answer.
                    1 => stream.write_all(LAST.as_bytes()).expect("the peer takes everything"),
                    // With half a request.
                    2 => stream.write_all(b"GET / HT").expect("the peer takes everything"),
                    // Without a word.
                    _ => {}
                }
            }
        }
        // All room is there again: as many as before are served at the same time.
        let text = String::from_utf8_lossy(&served.guest.output_so_far()).into_owned();
        let most = text.split("up to ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        let most: usize = most.unwrap_or_else(|| panic!("{text}"));
        let mut crowd: Vec<TcpStream> = (0..most).map(|_| connect(PEER, 80)).collect();
        for stream in &mut crowd {
            stream.write_all(LAST.as_bytes()).expect("the peer takes everything");
        }
        for stream in &mut crowd {
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text).expect("an answer");
            assert!(text.ends_with("0123456789"), "{text}");
        }
        served.end();
    });
}
