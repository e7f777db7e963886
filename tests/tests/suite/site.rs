//! `static-site`, with curl and clients that do not follow the rules.

use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use ukvm_tests::client::{self, Reply, connect};
use ukvm_tests::files::{self, call, noise};
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::site::{self, PEER, Served};
use ukvm_tests::suite::{Need, patience};

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
}

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
        let image = site::archive(directory.path(), &[("a.txt", b"a"), ("large", &large)]);
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
        let archive = site::archive(directory.path(), &[("a", &noise(1, 100_000))]);
        let short =
            files::file(directory.path(), "short", &fs::read(archive).expect("an archive")[..50 * 512]);
        let noise = files::file(directory.path(), "noise", &noise(2, 1 << 20));
        for (image, told) in [(short, "cut short"), (noise, "neither a tar archive nor a FAT file system")] {
            let ended = site::run(&format!("{},ro", image.display()), "64M").finish().status(1).quietly();
            assert!(
                ended.text().starts_with("static-site: ") && ended.text().contains(told),
                "{}",
                ended.text()
            );
        }
    });
}
