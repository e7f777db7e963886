//! `static-site`, with curl, wget and clients that do not follow the rules.

use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use ukvm_tests::client::{self, Reply, connect, wait_for_listener};
use ukvm_tests::files::{self, call, noise};
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::{Run, Running};
use ukvm_tests::site;
use ukvm_tests::suite::{Need, in_rig, patience};
use xtask::image::{self, Format};

ukvm_tests::tests! {
    pages_of_a_tar_archive .needs(&[Need::Network, Need::Program("curl"), Need::Program("tar")]);
    pages_of_a_fat_image
        .needs(&[Need::Network, Need::Program("curl"), Need::Program("mkfs.vfat"), Need::Program("mcopy")]);
    parts_and_conditions .needs(&[Need::Network, Need::Program("curl"), Need::Program("tar")]);
    compressed_siblings
        .needs(&[Need::Network, Need::Program("curl"), Need::Program("tar"), Need::Program("gzip")]);
    paths_stay_in_the_site .needs(&[Need::Network, Need::Program("curl"), Need::Program("tar")]);
    requests_against_the_rules .needs(&[Need::Network, Need::Program("tar")]);
    half_sent_requests_time_out .needs(&[Need::Network, Need::Program("tar")]);
    a_download_ends_before_the_guest_does .needs(&[Need::Network, Need::Program("tar")]);
    a_disk_that_fails_is_an_internal_error .needs(&[Need::Network, Need::Program("tar")]);
    disks_that_are_no_site .needs(&[Need::Network, Need::Program("tar")]);
    two_thousand_files_of_a_tar_archive
        .needs(&[Need::Network, Need::Program("wget"), Need::Program("diff")]) .alone();
    two_thousand_files_of_a_fat_image
        .needs(&[Need::Network, Need::Program("wget"), Need::Program("diff")]) .alone();
    ten_thousand_connections .needs(&[Need::Network, Need::Program("tar")]) .alone();
}

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// The pages that most tests have.
const PAGES: [(&str, &[u8]); 12] = [
    ("index.html", b"<h1>Home</h1>\n"),
    ("style.css", b"h1 { color: teal }\n"),
    ("empty.txt", b""),
    ("data.bin", b"0123456789"),
    ("README", b"no extension\n"),
    ("two words & more.txt", b"two words\n"),
    ("\u{fc}ber.txt", b"umlaut\n"),
    ("100%.txt", b"percent\n"),
    (".well-known/security.txt", b"hidden\n"),
    ("docs/index.html", b"<h1>Docs</h1>\n"),
    ("docs/deep/page.HTML", b"<h1>Deep</h1>\n"),
    ("bare/file.json", b"{}"),
];

/// A guest that serves an image, with the directory where that is.
struct Served {
    guest: Running,
    directory: tempfile::TempDir,
}

impl Served {
    /// An archive of these files.
    fn files(files: &[(&str, &[u8])], arguments: &[&str]) -> Self {
        let directory = files::directory();
        site::tree(&directory.path().join("tree"), files);
        let image = site::tar(directory.path(), &directory.path().join("tree"));
        Self::image(directory, &format!("{},ro", image.display()), "64M", arguments)
    }

    /// An image, as `--disk` has it.
    fn image(directory: tempfile::TempDir, disk: &str, memory: &str, arguments: &[&str]) -> Self {
        network::make_tap_with_address("tap0");
        let guest = run(disk, memory).args(arguments).deadline(Duration::from_secs(600)).start();
        wait_for_listener(PEER, 80);
        Self { guest, directory }
    }

    /// Ends the guest, which must have had nothing to complain of.
    fn end(self) {
        self.guest.signal(Signal::SIGTERM);
        let ended = self.guest.wait().status(0).quietly();
        let text = ended.text();
        assert!(text.lines().all(|line| line.starts_with("static-site: at ")), "{text}");
    }
}

fn run(disk: &str, memory: &str) -> Run {
    Run::guest("static-site").option("--net", "tap0").option("--disk", disk).option("--mem", memory).args([
        "--ip",
        "10.0.0.2/24",
        "--ip",
        "fd00::2/64",
    ])
}

fn get(path: &str, arguments: &[&str]) -> Reply {
    let url = format!("http://10.0.0.2{path}");
    Reply::of_curl(&[arguments, &[&url]].concat())
}

fn pages_of_a_tar_archive() {
    in_namespace(|| {
        let served = Served::files(&PAGES, &[]);
        pages();
        served.end();
    });
}

fn pages_of_a_fat_image() {
    in_namespace(|| {
        let directory = files::directory();
        site::tree(&directory.path().join("tree"), &PAGES);
        let image = site::fat(directory.path(), &directory.path().join("tree"), 4 << 20);
        // Writable, so that nothing of it is mapped.
        let served = Served::image(directory, &image.display().to_string(), "64M", &[]);
        pages();
        served.end();
    });
}

fn pages() {
    for (path, kind, body) in [
        ("/", "text/html; charset=utf-8", "<h1>Home</h1>\n"),
        ("/index.html", "text/html; charset=utf-8", "<h1>Home</h1>\n"),
        ("/style.css?version=3", "text/css; charset=utf-8", "h1 { color: teal }\n"),
        ("/empty.txt", "text/plain; charset=utf-8", ""),
        ("/data.bin", "application/octet-stream", "0123456789"),
        ("/README", "application/octet-stream", "no extension\n"),
        ("/two%20words%20&%20more.txt", "text/plain; charset=utf-8", "two words\n"),
        ("/%C3%BCber.txt", "text/plain; charset=utf-8", "umlaut\n"),
        ("/100%25.txt", "text/plain; charset=utf-8", "percent\n"),
        ("/.well-known/security.txt", "text/plain; charset=utf-8", "hidden\n"),
        ("/docs/", "text/html; charset=utf-8", "<h1>Docs</h1>\n"),
        ("/docs/deep/page.HTML", "text/html; charset=utf-8", "<h1>Deep</h1>\n"),
        ("/b%61re%2Ffile.json", "application/json", "{}"),
    ] {
        let reply = get(path, &[]);
        assert_eq!((reply.status, &*reply.text()), (200, body), "{path}");
        assert_eq!(reply.field("Content-Type"), Some(kind), "{path}");
        assert_eq!(reply.field("Content-Length"), Some(&*body.len().to_string()), "{path}");
        assert_eq!(reply.field("Accept-Ranges"), Some("bytes"), "{path}");
        assert!(reply.field("ETag").is_some() && reply.field("Last-Modified").is_some(), "{path}");
        assert!(reply.field("Date").is_some_and(|date| date.ends_with(" GMT")), "{path}");
        // The same without the body.
        let head = get(path, &["--head"]);
        assert_eq!((head.status, &*head.text()), (200, ""), "{path}");
        for field in ["Content-Type", "Content-Length", "Accept-Ranges", "ETag", "Last-Modified"] {
            assert_eq!(head.field(field), reply.field(field), "{path}: {field}");
        }
    }
    for path in
        ["/nothing", "/docs/nothing", "/bare/", "/docs/deep/", "/style.css/", "/docs/index.html/x", "/%ff"]
    {
        for arguments in [&[][..], &["--head"]] {
            let reply = get(path, arguments);
            assert_eq!((reply.status, reply.field("ETag")), (404, None), "{path}");
        }
    }
    for (path, location) in [
        ("/docs", "/docs/"),
        ("/docs/deep?a=b", "/docs/deep/?a=b"),
        ("//docs", "/docs/"),
        ("/.well-known", "/.well-known/"),
    ] {
        let reply = get(path, &[]);
        assert_eq!((reply.status, reply.field("Location")), (301, Some(location)), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
        let reply = get("/", &["--request", method]);
        assert_eq!((reply.status, reply.field("Allow")), (405, Some("GET, HEAD")), "{method}");
    }
    // One connection for several requests, and over IPv6.
    let url = "http://[fd00::2]/docs/";
    let output = call("curl", &["--silent", "--write-out", "%{num_connects}\n", url, url, url]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "<h1>Docs</h1>\n1\n<h1>Docs</h1>\n0\n<h1>Docs</h1>\n0\n");
}

fn parts_and_conditions() {
    in_namespace(|| {
        let served = Served::files(&PAGES, &[]);
        let whole = get("/data.bin", &[]);
        let etag = whole.field("ETag").expect("an entity tag").to_owned();
        let modified = whole.field("Last-Modified").expect("a date").to_owned();
        let with = |fields: &[String]| {
            let arguments: Vec<&str> = fields.iter().flat_map(|field| ["--header", field]).collect();
            get("/data.bin", &arguments)
        };
        for (range, part, said) in [
            ("0-3", "0123", "bytes 0-3/10"),
            ("4-", "456789", "bytes 4-9/10"),
            ("-2", "89", "bytes 8-9/10"),
            ("8-100", "89", "bytes 8-9/10"),
        ] {
            let reply = get("/data.bin", &["--range", range]);
            assert_eq!((reply.status, &*reply.text()), (206, part), "{range}");
            assert_eq!(reply.field("Content-Range"), Some(said), "{range}");
            assert_eq!(reply.field("ETag"), Some(&*etag), "{range}");
        }
        let reply = get("/data.bin", &["--range", "10-"]);
        assert_eq!((reply.status, reply.field("Content-Range")), (416, Some("bytes */10")));
        // Several ranges, other units and nonsense are answered with the whole.
        for range in ["bytes=0-1,4-5", "lines=1-2", "bytes=5-2", "bytes=x"] {
            let reply = with(&[format!("Range: {range}")]);
            assert_eq!((reply.status, &reply.body), (200, &whole.body), "{range}");
        }
        for (condition, status) in [
            (etag.clone(), 206),
            (modified.clone(), 206),
            ("\"other\"".into(), 200),
            (format!("W/{etag}"), 200),
            ("Thu, 01 Jan 1970 00:00:00 GMT".into(), 200),
        ] {
            let reply = with(&["Range: bytes=0-3".into(), format!("If-Range: {condition}")]);
            assert_eq!(reply.status, status, "{condition}");
        }
        for (fields, status) in [
            (format!("If-None-Match: {etag}"), 304),
            (format!("If-None-Match: \"x\", W/{etag}"), 304),
            ("If-None-Match: *".into(), 304),
            ("If-None-Match: \"x\"".into(), 200),
            (format!("If-Modified-Since: {modified}"), 304),
            ("If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT".into(), 200),
            (format!("If-Match: {etag}"), 200),
            ("If-Match: \"x\"".into(), 412),
            ("If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT".into(), 412),
        ] {
            let reply = with(std::slice::from_ref(&fields));
            assert_eq!(reply.status, status, "{fields}");
            if status == 304 {
                assert_eq!((reply.field("ETag"), &*reply.body), (Some(&*etag), &b""[..]), "{fields}");
                assert_eq!(reply.field("Content-Length"), None, "{fields}");
            }
        }
        // Different files have different tags.
        assert_ne!(get("/README", &[]).field("ETag"), Some(&*etag));
        served.end();
    });
}

fn compressed_siblings() {
    in_namespace(|| {
        let directory = files::directory();
        let tree = directory.path().join("tree");
        let text = "much of the same. ".repeat(5000);
        site::tree(
            &tree,
            &[("page.html", text.as_bytes()), ("plain.html", b"plain"), ("404.html", b"<h1>Lost</h1>")],
        );
        let _ = call("gzip", &["--keep", tree.join("page.html").to_str().expect("a path in UTF-8")]);
        let compressed = fs::read(tree.join("page.html.gz")).expect("what gzip made");
        let image = site::tar(directory.path(), &tree);
        let served = Served::image(directory, &format!("{},ro", image.display()), "64M", &[]);
        let plain = get("/page.html", &[]);
        assert_eq!((plain.text() == text, plain.field("Content-Encoding")), (true, None));
        assert_eq!(plain.field("Vary"), Some("Accept-Encoding"));
        let accept = |value: &str| get("/page.html", &["--header", &format!("Accept-Encoding: {value}")]);
        for value in ["gzip", "br, gzip;q=0.5", "*"] {
            let reply = accept(value);
            assert_eq!((reply.status, &reply.body), (200, &compressed), "{value}");
            assert_eq!(reply.field("Content-Encoding"), Some("gzip"), "{value}");
            assert_eq!(reply.field("Content-Type"), Some("text/html; charset=utf-8"), "{value}");
            assert_eq!(reply.field("Vary"), Some("Accept-Encoding"), "{value}");
            assert_ne!(reply.field("ETag"), plain.field("ETag"), "{value}");
        }
        for value in ["identity", "br", "gzip;q=0", "gzip;q=0, *"] {
            assert_eq!(accept(value).body, plain.body, "{value}");
        }
        // curl unpacks it itself.
        let url = "http://10.0.0.2/page.html";
        assert!(call("curl", &["--silent", "--compressed", url]).stdout == text.as_bytes());
        // Where there is no sibling nothing varies; the sibling itself is just a file.
        let reply = get("/plain.html", &["--header", "Accept-Encoding: gzip"]);
        assert_eq!((&*reply.text(), reply.field("Vary")), ("plain", None));
        let reply = get("/page.html.gz", &["--header", "Accept-Encoding: gzip"]);
        assert_eq!(
            (reply.field("Content-Type"), reply.field("Content-Encoding")),
            (Some("application/gzip"), None)
        );
        assert_eq!(reply.body, compressed);
        // The site's own page for what is not there.
        let reply = get("/nowhere", &[]);
        assert_eq!((reply.status, &*reply.text()), (404, "<h1>Lost</h1>"));
        assert_eq!(reply.field("Content-Type"), Some("text/html; charset=utf-8"));
        served.end();
    });
}

fn paths_stay_in_the_site() {
    in_namespace(|| {
        let served = Served::files(&PAGES, &[]);
        for path in [
            "/../index.html",
            "/docs/../index.html",
            "/docs/deep/../../.././index.html",
            "/%2e%2E/index.html",
            "/..%2findex.html",
            "/./index.html",
            "///index.html",
        ] {
            let reply = get(path, &[]);
            assert_eq!((reply.status, &*reply.text()), (200, "<h1>Home</h1>\n"), "{path}");
        }
        assert_eq!(get("/docs/..", &[]).text(), "<h1>Home</h1>\n");
        for path in ["/../../../../etc/passwd", "/..\\index.html", "/docs/.../index.html"] {
            assert_eq!(get(path, &[]).status, 404, "{path}");
        }
        for path in ["/%", "/%4", "/%zz", "/index.html%00", "/%00"] {
            assert_eq!(get(path, &[]).status, 400, "{path}");
        }
        // A redirect never names a host that the client chose.
        for path in ["//docs", "///docs", "/%2Fdocs", "/docs/..//docs"] {
            assert_eq!(get(path, &[]).field("Location"), Some("/docs/"), "{path}");
        }
        served.end();
    });
}

/// A request whose answer ends the connection.
const LAST: &str = "GET /data.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

fn answer(request: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(&client::answer(PEER, request.as_ref())).into_owned()
}

/// The statuses of the replies in a text, in order.
fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ").skip(1).map(|reply| &reply[..3]).collect()
}

fn requests_against_the_rules() {
    in_namespace(|| {
        let served = Served::files(&PAGES, &[]);
        for (request, expected) in [
            ("nonsense\r\n\r\n".to_owned(), &["400"][..]),
            ("GET / HTTP/3.0\r\n\r\n".into(), &["400"]),
            ("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n".into(), &["400"]),
            ("GET / HTTP/1.1\r\n\r\n".into(), &["400"]),
            (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(9000)), &["414"]),
            (format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "x".repeat(9000)), &["431"]),
            (format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(100)), &["431"]),
            // Each head is a request of its own, and the last one ends the connection.
            (["GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(9), LAST.into()].concat(), &["200"; 10]),
            (format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde{LAST}"), &["405", "200"]),
            // Nothing behind a body whose end only its sender knows is taken for a request.
            (
                format!("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{LAST}"),
                &["200"],
            ),
            (
                format!("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{LAST}"),
                &["200"],
            ),
            (
                format!(
                    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{LAST}"
                ),
                &["405"],
            ),
            (
                format!(
                    "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{LAST}"
                ),
                &["400"],
            ),
            (
                format!(
                    "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab{LAST}"
                ),
                &["400"],
            ),
        ] {
            let text = answer(&request);
            let start: String = request.chars().take(60).collect();
            assert_eq!(statuses(&text), expected, "{start:?}: {text}");
            assert!(answer(LAST).ends_with("\r\n\r\n0123456789"), "after {start:?}");
        }
        // Many at once, in pieces, over one connection.
        let requests = "GET /data.bin HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500) + LAST;
        let mut stream = connect(PEER, 80);
        let mut writer = stream.try_clone().expect("a descriptor");
        let text = std::thread::scope(|scope| {
            let _ = scope.spawn(|| {
                for piece in requests.as_bytes().chunks(777) {
                    writer.write_all(piece).expect("the peer takes everything");
                }
            });
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text).expect("all replies");
            text
        });
        assert_eq!((statuses(&text).len(), text.matches("\r\n\r\n0123456789").count()), (501, 501));
        served.end();
    });
}

fn half_sent_requests_time_out() {
    in_namespace(|| {
        let large = noise(7, 3 << 20);
        let served = Served::files(&[("index.html", b"home"), ("large", &large)], &["--timeout", "1"]);
        for (half, told) in [("", ""), ("GET /ind", "408"), ("GET / HTTP/1.1\r\nHost: x\r\n", "408")] {
            let mut stream = connect(PEER, 80);
            stream.write_all(half.as_bytes()).expect("the peer takes everything");
            let start = Instant::now();
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text).expect("an end");
            let took = start.elapsed();
            assert!(took < patience(Duration::from_secs(4)), "still open after {took:?}");
            assert_eq!(text.get(9..12).unwrap_or_default(), told, "{text}");
        }
        // One that asks for much and takes nothing is given up, too; it learns of it when it looks.
        let mut deaf = connect(PEER, 80);
        deaf.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").expect("the peer takes everything");
        std::thread::sleep(patience(Duration::from_secs(3)));
        let mut got = Vec::new();
        let _ = deaf.read_to_end(&mut got).expect_err("a reset");
        assert!(got.len() < large.len(), "{} bytes", got.len());
        served.end();
    });
}

fn a_download_ends_before_the_guest_does() {
    in_namespace(|| {
        let large = noise(9, 8 << 20);
        let served = Served::files(&[("large", &large)], &[]);
        let mut idle = connect(PEER, 80);
        let mut stream = connect(PEER, 80);
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").expect("the peer takes everything");
        let mut first = [0; 1000];
        stream.read_exact(&mut first).expect("the beginning");
        served.guest.signal(Signal::SIGTERM);
        assert_eq!(idle.read(&mut [0; 10]).expect("an end in order"), 0, "an idle connection gets a byte");
        std::thread::sleep(Duration::from_millis(200));
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).expect("the rest");
        let whole = [&first[..], &rest].concat();
        assert!(Reply::parse(&whole).body == large, "{} bytes came", whole.len());
        let _ = served.guest.wait().status(0).quietly();
    });
}

fn a_disk_that_fails_is_an_internal_error() {
    in_namespace(|| {
        let directory = files::directory();
        let large = noise(11, 4 << 20);
        site::tree(&directory.path().join("tree"), &[("a.txt", b"a"), ("large", &large)]);
        let image = site::tar(directory.path(), &directory.path().join("tree"));
        // With `,ro` the user promises that this does not happen.
        let served = Served::image(directory, &image.display().to_string(), "64M", &[]);
        assert_eq!(Reply::parse(&client::answer(PEER, b"GET /a.txt HTTP/1.0\r\n\r\n")).text(), "a");
        // The host takes the image away from under the guest, at first half of it.
        let file = fs::OpenOptions::new().write(true).open(&image).expect("the image");
        file.set_len(2 << 20).expect("half an image");
        let text = client::answer(PEER, b"GET /large HTTP/1.0\r\n\r\n");
        assert!(text.starts_with(b"HTTP/1.1 200 ") && text.len() < large.len(), "{} bytes", text.len());
        file.set_len(0).expect("no image");
        let reply = Reply::parse(&client::answer(PEER, b"GET /large HTTP/1.0\r\n\r\n"));
        assert_eq!((reply.status, reply.field("Connection")), (500, Some("close")));
        served.guest.signal(Signal::SIGTERM);
        let text = served.guest.wait().status(0).text();
        assert!(text.contains("static-site: the site cannot be read: "), "{text}");
    });
}

fn disks_that_are_no_site() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let directory = files::directory();
        site::tree(&directory.path().join("tree"), &[("a", &noise(1, 100_000))]);
        let archive = site::tar(directory.path(), &directory.path().join("tree"));
        let short =
            files::file(directory.path(), "short", &fs::read(archive).expect("an archive")[..50 * 512]);
        let noise = files::file(directory.path(), "noise", &noise(2, 1 << 20));
        for (image, told) in [(short, "cut short"), (noise, "neither a tar archive nor a FAT file system")] {
            let ended = run(&format!("{},ro", image.display()), "64M").finish().status(1).quietly();
            assert!(
                ended.text().starts_with("static-site: ") && ended.text().contains(told),
                "{}",
                ended.text()
            );
        }
    });
}

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
        let served = Served::files(&PAGES, &[]);
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
