//! The library of the example `static-site`, on the host: paths, media types, shares of the memory, and answers.

use embassy_futures::block_on;
use static_site::capacity::{self, CONNECTION, LARGE_PIECE};
use static_site::media_type;
use static_site::path::{BadPath, LONGEST_NAME, LONGEST_REDIRECT, SitePath};
use static_site::site::Site;
use std::cell::{Cell, RefCell};
use ukvm_http::{Body, Response, Service, Source, Status, request};
use ukvm_storage::{Device, ReadFailed, Store};

/// The name that a target stands for, with a slash behind it if it is a directory's.
fn name(target: &str) -> Result<String, BadPath> {
    SitePath::of_target(target).map(|path| path.name + if path.directory { "/" } else { "" })
}

#[test]
fn targets_are_names() {
    for (target, expected) in [
        ("/", "/"),
        ("/a", "a"),
        ("/a/", "a/"),
        ("/a/b.html?c=/d/", "a/b.html"),
        ("/a#b", "a"),
        ("/a?b#c", "a"),
        ("?a", "/"),
        ("http://host/a/b", "a/b"),
        ("HTTP://host:80", "/"),
        ("http://host?a", "/"),
        ("/http://host/a", "http:/host/a"),
        ("/%61%2f%62", "a/b"),
        ("/%C3%BC", "\u{fc}"),
        ("/a+b", "a+b"),
        ("/a%3Fb%23c%25d", "a?b#c%d"),
        ("/a%0Ab", "a\nb"),
        ("//a///b//", "a/b/"),
        ("/./a/./b/.", "a/b/"),
        ("/a/b/../c", "a/c"),
        ("/a/..", "/"),
        ("/..", "/"),
        ("/../../a", "a"),
        ("/a/%2e%2E/b", "b"),
        ("/a/..%2f..%2fb", "b"),
        ("/...", "..."),
        ("/a/..b/c..", "a/..b/c.."),
        ("/\\..\\a", "\\..\\a"),
    ] {
        assert_eq!(name(target).as_deref(), Ok(expected), "{target}");
    }
    for target in ["/%", "/a%", "/a%4", "/%zz", "/%4z/a", "/%%41", "/a%00b", "/%\u{fc}a"] {
        assert_eq!(name(target), Err(BadPath::Malformed), "{target}");
    }
    let longest = format!("/{}", "x".repeat(LONGEST_NAME - 1));
    assert_eq!(name(&longest).as_deref(), Ok(&longest[1..]));
    for target in ["/%ff", "/%c3", "/%C0%AE%C0%AE/a", &format!("{longest}x")] {
        assert_eq!(name(target), Err(BadPath::NoName), "{target}");
    }
}

#[test]
fn redirects_stay_on_the_host() {
    for (target, expected) in [
        ("/a", "/a/"),
        ("/a?b=c", "/a/?b=c"),
        ("/a?\u{fc}=%20\"&c=+", "/a/?%C3%BC=%20\"&c=+"),
        ("//host", "/host/"),
        ("/%2Fhost", "/host/"),
        ("/\\host", "/%5Chost/"),
        ("/a%0d%0aSet-Cookie:%20b", "/a%0D%0ASet-Cookie:%20b/"),
        ("/\u{fc}%3F%25", "/%C3%BC%3F%25/"),
    ] {
        let location = SitePath::of_target(target).unwrap().with_slash().unwrap();
        assert_eq!(location, expected, "{target}");
        assert_eq!(SitePath::of_target(&location).unwrap().name, SitePath::of_target(target).unwrap().name);
    }
}

#[test]
fn long_redirects_are_refused() {
    for (target, length) in [("/a?", LONGEST_REDIRECT), ("/%C3%BC?", LONGEST_REDIRECT)] {
        let target = format!("{target}{}", "x".repeat(length - target.len() - 1));
        assert_eq!(SitePath::of_target(&target).unwrap().with_slash().unwrap().len(), length);
        assert_eq!(SitePath::of_target(&format!("{target}x")).unwrap().with_slash(), None);
    }
    let long = "\u{fc}".repeat(LONGEST_NAME / 2 - 1);
    for encoded in [format!("/{long}"), format!("/a?{long}")] {
        assert_eq!(SitePath::of_target(&encoded).unwrap().with_slash(), None);
    }
}

#[test]
fn media_types_follow_the_extension() {
    for (path, kind) in [
        ("index.html", "text/html; charset=utf-8"),
        ("a/b/INDEX.HTM", "text/html; charset=utf-8"),
        ("a.tar.gz", "application/gzip"),
        ("7.7z", "application/x-7z-compressed"),
        ("z.zip", "application/zip"),
        ("app.webmanifest", "application/manifest+json"),
        ("noextension", "application/octet-stream"),
        ("dir.html/file", "application/octet-stream"),
        ("a.", "application/octet-stream"),
        ("a.averylongextensionofmanyletters", "application/octet-stream"),
        ("a.h\u{fc}", "application/octet-stream"),
        ("", "application/octet-stream"),
    ] {
        assert_eq!(media_type::of(path), kind, "{path}");
    }
}

#[test]
fn the_shares_are_not_more_than_there_is() {
    for memory in [0, 1 << 20, 10 << 20, 45 << 20, 1 << 30, 1 << 40] {
        for transport in [0, 100 << 10] {
            let shares = capacity::share(memory, transport);
            let connection = CONNECTION + transport;
            let taken =
                shares.index + shares.large_streams * 2 * LARGE_PIECE + shares.connections * connection;
            assert!(taken <= memory.max(connection), "{shares:?} of {memory}");
        }
    }
    assert!(capacity::share(45 << 20, 0).connections >= 200);
}

/// A disk in memory, of which a part cannot be read.
struct Disk {
    bytes: Vec<u8>,
    good: Cell<bool>,
}

impl Device for &Disk {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
        let start = offset as usize;
        buffer.copy_from_slice(self.bytes.get(start..start + buffer.len()).ok_or(ReadFailed)?);
        if self.good.get() { Ok(()) } else { Err(ReadFailed) }
    }
}

fn archive(files: &[(&str, &[u8])]) -> Disk {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mtime(784_111_777);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    Disk { bytes: archive.into_inner().unwrap(), good: Cell::new(true) }
}

/// What a site answers to a request with these fields.
fn ask<S: Service>(site: &S, method: &str, target: &str, fields: &str) -> Response<S::Source> {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let parsed = request::parse(head.as_bytes()).unwrap().unwrap();
    block_on(site.answer(parsed.request(head.as_bytes())))
}

#[test]
fn answers_are_parts_of_files() {
    let disk = archive(&[("a.txt", b"0123456789"), ("a.txt.gz", b"packed"), ("d/index.html", b"index")]);
    let site = Site::new(block_on(Store::open(&disk)).unwrap(), |error| panic!("{error}"));
    for (target, fields, status, body) in [
        ("/a.txt", "", Status::Ok, "0123456789"),
        ("/a.txt", "Range: bytes=2-4\r\n", Status::PartialContent, "234"),
        ("/a.txt", "Accept-Encoding: gzip\r\n", Status::Ok, "packed"),
        ("/a.txt", "Accept-Encoding: gzip\r\nRange: bytes=-2\r\n", Status::PartialContent, "ed"),
        ("/a.txt.gz", "Accept-Encoding: gzip\r\n", Status::Ok, "packed"),
        ("/d/", "", Status::Ok, "index"),
    ] {
        let reply = ask(&site, "GET", target, fields);
        let Body::Stream { length, mut source } = reply.body else { panic!("{target} has no contents") };
        let mut bytes = vec![0; length as usize];
        block_on(source.read(&mut bytes)).unwrap();
        assert_eq!((reply.status, &*String::from_utf8_lossy(&bytes)), (status, body), "{target} {fields}");
    }
    for (method, target, fields, status) in [
        ("GET", "/a.txt", "If-None-Match: *\r\n", Status::NotModified),
        ("GET", "/a.txt", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", Status::NotModified),
        ("GET", "/a.txt", "If-Match: \"x\"\r\n", Status::PreconditionFailed),
        ("GET", "/a.txt", "Range: bytes=10-\r\n", Status::RangeNotSatisfiable),
        ("HEAD", "/a.txt", "Range: bytes=10-\r\n", Status::Ok),
        ("GET", "/d", "", Status::MovedPermanently),
        ("GET", "/d/x", "", Status::NotFound),
        ("GET", "/%zz", "", Status::BadRequest),
        ("PUT", "/a.txt", "", Status::MethodNotAllowed),
    ] {
        assert_eq!(ask(&site, method, target, fields).status, status, "{method} {target} {fields}");
    }
}

#[test]
fn what_cannot_be_read_is_reported() {
    let disk = archive(&[("a.txt", b"0123456789")]);
    let reports = RefCell::new(Vec::new());
    let report = |error: &ukvm_storage::Error| reports.borrow_mut().push(error.to_string());
    let site = Site::new(block_on(Store::open(&disk)).unwrap(), report);
    disk.good.set(false);
    // An archive's index needs no disk, its files do.
    let reply = ask(&site, "GET", "/a.txt", "");
    let Body::Stream { mut source, .. } = reply.body else { panic!("{:?}", reply.status) };
    assert!(block_on(source.read(&mut [0; 10])).is_err());
    assert_eq!(*reports.borrow(), ["the disk cannot be read"]);
}
