//! `https`, with curl, `openssl s_client` and `gnutls-cli`, and clients that do not follow the rules.

use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ukvm_tests::certificates::{Authorities, GOOD, Issued, P256};
use ukvm_tests::client::{Reply, connect, wait_for_listener};
use ukvm_tests::files::{self, call, noise};
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::{Run, Running};
use ukvm_tests::site::{self, PEER};
use ukvm_tests::suite::{Need, patience};

ukvm_tests::tests! {
    curl_gets_pages_and_parts .needs(CURL);
    openssl_resumes_and_updates_keys .needs(CURL);
    gnutls_resumes .needs(GNUTLS);
    keys_of_all_kinds .needs(CURL) .not_in_rig(SLOW);
    a_large_file_arrives_whole .needs(CURL) .not_in_rig(SLOW);
    older_protocols_and_plain_http_are_refused .needs(CURL) .not_in_rig(SLOW);
    half_handshakes_time_out .needs(CURL) .not_in_rig(SLOW);
    no_connection_leaves_anything_behind .needs(CURL) .alone() .not_in_rig(SLOW);
    identities_that_are_none_end_the_start .needs(CURL) .not_in_rig(SLOW);
    the_key_is_no_page .needs(CURL) .not_in_rig(SLOW);
    an_expired_certificate_is_served_with_a_warning .needs(CURL) .not_in_rig(SLOW);
    a_download_ends_before_the_guest_does .needs(CURL) .not_in_rig(SLOW);
}

/// What nearly all are made with.
const CURL: &[Need] = &[Need::Network, Need::Program("openssl"), Need::Program("curl"), Need::Program("tar")];
/// And one of them.
const GNUTLS: &[Need] =
    &[Need::Network, Need::Program("openssl"), Need::Program("gnutls-cli"), Need::Program("tar")];

/// Why some are left out in the emulated machine.
const SLOW: &str = "it takes minutes there, and what it tests is the same on every KVM";

/// The port.
const PORT: u16 = 443;

/// A guest that serves pages over TLS, and what its clients trust.
struct Served {
    guest: Running,
    authorities: Authorities,
    directory: TempDir,
}

impl Served {
    /// These pages, with a certificate of ECDSA.
    fn pages(pages: &[(&str, &[u8])], arguments: &[&str]) -> Self {
        let authorities = Authorities::new();
        let issued = authorities.issue("server", P256, GOOD);
        Self::with(authorities, &issued, pages, |run| run.args(arguments))
    }

    fn with(
        authorities: Authorities,
        issued: &Issued,
        pages: &[(&str, &[u8])],
        change: impl FnOnce(Run) -> Run,
    ) -> Self {
        let directory = files::directory();
        network::make_tap_with_address("tap0");
        let disks =
            [site::archive(&directory.path().join("site"), pages), identity(directory.path(), issued)];
        let guest = change(run(&disks)).deadline(Duration::from_secs(600)).start();
        wait_for_listener(PEER, PORT);
        Self { guest, authorities, directory }
    }

    /// What curl says to a path, with the root's certificate.
    fn curl(&self, path: &str, arguments: &[&str]) -> Output {
        let (root, url) = (self.authorities.root(), format!("https://10.0.0.2{path}"));
        let program = files::program("curl").expect("checked before");
        let given = ["--silent", "--show-error", "--cacert", &root, "--tlsv1.3"];
        Command::new(program).args(given).args(arguments).arg(url).output().expect("curl")
    }

    /// The reply that curl gets.
    fn get(&self, path: &str, arguments: &[&str]) -> Reply {
        let output = self.curl(path, &[arguments, &["--include"]].concat());
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        Reply::parse(&output.stdout)
    }

    /// What a client prints of a connection on which it is told words, each once it has printed what the one before is answered by.
    fn talk(&self, program: &str, arguments: &[&str], words: &[(&str, &str)]) -> String {
        let root = self.authorities.root();
        let arguments = arguments.iter().map(|argument| if *argument == "ROOT" { &root } else { *argument });
        let path = self.directory.path().join("printed");
        let printed = fs::File::create(&path).expect("a new file");
        let mut child = Command::new(files::program(program).expect("checked before"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stderr(printed.try_clone().expect("a descriptor"))
            .stdout(printed)
            .spawn()
            .expect("a client");
        let text = || String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
        let mut input = child.stdin.take().expect("a pipe");
        for (word, answer) in words {
            let count = text().matches(answer).count();
            // One that has ended says why.
            let _ = input.write_all(word.as_bytes());
            let begun = Instant::now();
            while text().matches(answer).count() == count {
                let ended = child.try_wait().expect("a client").is_some();
                assert!(
                    !ended && begun.elapsed() < patience(Duration::from_secs(20)),
                    "no {answer:?} after {word:?}: {}",
                    text()
                );
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        drop(input);
        let _ = child.wait().expect("a client that ends");
        text()
    }

    /// What the guest and its monitor have of the host's memory, in bytes.
    fn memory(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.guest.pid());
        let text = fs::read_to_string(path).expect("a running process");
        let size = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
        size.expect("a size").parse::<u64>().expect("kibibytes") << 10
    }

    /// Ends the guest, which must have had nothing to complain of.
    fn end(self) {
        self.guest.signal(Signal::SIGTERM);
        let ended = self.guest.wait().status(0).quietly();
        let text = ended.text();
        assert!(text.lines().all(|line| line.starts_with("https: at ")), "{text}");
        drop(self.directory);
    }
}

/// `https` with these disks.
fn run(disks: &[PathBuf]) -> Run {
    let disks: Vec<String> = disks.iter().map(|image| format!("{},ro", image.display())).collect();
    disks
        .iter()
        .fold(Run::guest("https").option("--net", "tap0"), |run, disk| run.option("--disk", disk))
        .args(["--ip", "10.0.0.2/24", "--ip", "fd00::2/64"])
}

/// A disk with a certificate and a key.
fn identity(directory: &Path, issued: &Issued) -> PathBuf {
    let [certificate, key] = issued.read();
    site::archive(&directory.join("identity"), &[("certificate.pem", &certificate), ("key.pem", &key)])
}

fn curl_gets_pages_and_parts() {
    in_namespace(|| {
        let served = Served::pages(&[("index.html", b"<h1>Home</h1>\n"), ("data.bin", b"0123456789")], &[]);
        let home = served.get("/", &[]);
        assert_eq!((home.status, &*home.text()), (200, "<h1>Home</h1>\n"));
        assert_eq!(home.field("Content-Type"), Some("text/html; charset=utf-8"));
        let part = served.get("/data.bin", &["--range", "2-4"]);
        assert_eq!((part.status, &*part.text()), (206, "234"));
        assert_eq!(served.get("/nothing", &[]).status, 404);
        // One connection for several requests, by name, and over IPv6.
        for (address, url) in [
            ("guest.test:443:10.0.0.2", "https://guest.test/"),
            ("guest.test:443:[fd00::2]", "https://guest.test/data.bin"),
        ] {
            let output = served.curl(
                "/",
                &[
                    "--resolve",
                    address,
                    "--output",
                    "/dev/null",
                    "--write-out",
                    "%{num_connects} %{ssl_verify_result} %{http_version}\n",
                    url,
                    url,
                ],
            );
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("0 0 1.1\n"), "{text}");
        }
        let output = served.curl("/", &["--verbose"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            told.contains("SSL connection using TLSv1.3") && told.contains("server accepted http/1.1"),
            "{told}"
        );
        // Who does not trust the root gets nothing.
        let output = call_failing("curl", &["--silent", "--show-error", "https://10.0.0.2/"]);
        assert!(output.contains("unable to get local issuer certificate"), "{output}");
        served.end();
    });
}

/// What a program says that must fail.
fn call_failing(name: &str, arguments: &[&str]) -> String {
    let program = files::program(name).expect("checked before");
    let output = Command::new(program).args(arguments).output().expect("a program");
    assert!(!output.status.success(), "{name} {arguments:?} did not fail");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// A request that keeps the connection open, and its answer.
const ASK: (&str, &str) = ("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK");

fn openssl_resumes_and_updates_keys() {
    in_namespace(|| {
        let served = Served::pages(&[("index.html", b"home")], &[]);
        let session = served.directory.path().join("session");
        let session = session.to_str().expect("a path in UTF-8");
        let base = ["s_client", "-connect", "10.0.0.2:443", "-CAfile", "ROOT", "-verify_return_error"];
        // `K` has both sides change their keys, `k` the client alone.
        let first = served.talk(
            "openssl",
            &[&base[..], &["-sess_out", session]].concat(),
            &[ASK, ("K\n", "KEYUPDATE"), ASK, ("k\n", "KEYUPDATE"), ASK],
        );
        for expected in ["Verification: OK", "New, TLSv1.3, Cipher is TLS_", "Max Early Data: 0", "KEYUPDATE"]
        {
            assert!(first.contains(expected), "no {expected:?} in {first}");
        }
        assert_eq!(first.matches("HTTP/1.1 200 OK").count(), 3, "{first}");
        let second = served.talk("openssl", &[&base[..], &["-sess_in", session]].concat(), &[ASK]);
        assert!(
            second.contains("Reused, TLSv1.3, Cipher is TLS_") && second.contains("HTTP/1.1 200 OK"),
            "{second}"
        );
        // A ticket is good for once.
        let third = served.talk("openssl", &[&base[..], &["-sess_in", session]].concat(), &[ASK]);
        assert!(
            third.contains("New, TLSv1.3, Cipher is TLS_") && third.contains("HTTP/1.1 200 OK"),
            "{third}"
        );
        served.end();
    });
}

fn gnutls_resumes() {
    in_namespace(|| {
        let served = Served::pages(&[("index.html", b"home")], &[]);
        let base = ["--x509cafile", "ROOT", "--port", "443", "10.0.0.2"];
        let text =
            served.talk("gnutls-cli", &[&["--resume", "--waitresumption"], &base[..]].concat(), &[ASK]);
        for expected in ["Status: The certificate is trusted.", "(TLS1.3-", "This is a resumed session"] {
            assert!(text.contains(expected), "no {expected:?} in {text}");
        }
        assert!(text.contains("HTTP/1.1 200 OK"), "{text}");
        served.end();
    });
}

fn keys_of_all_kinds() {
    for kind in [&["ec", "-pkeyopt", "ec_paramgen_curve:P-384"][..], &["ed25519"], &["rsa:2048"]] {
        in_namespace(|| {
            let authorities = Authorities::new();
            let issued = authorities.issue("server", kind, GOOD);
            let served = Served::with(authorities, &issued, &[("index.html", b"home")], |run| run);
            assert_eq!(served.get("/", &[]).text(), "home", "{kind:?}");
            served.end();
        });
    }
}

fn a_large_file_arrives_whole() {
    in_namespace(|| {
        let large = noise(31, 24 << 20);
        let served = Served::pages(&[("large", &large)], &[]);
        // Several at once, and one that is slow.
        std::thread::scope(|scope| {
            for arguments in [&[][..], &[], &["--limit-rate", "8M"]] {
                let (served, large) = (&served, &large);
                scope.spawn(move || {
                    let output = served.curl("/large", arguments);
                    assert!(
                        output.status.success() && output.stdout == *large,
                        "{} bytes",
                        output.stdout.len()
                    );
                });
            }
        });
        served.end();
    });
}

fn older_protocols_and_plain_http_are_refused() {
    in_namespace(|| {
        let served = Served::pages(&[("index.html", b"home")], &[]);
        let text = call_failing("openssl", &["s_client", "-connect", "10.0.0.2:443", "-tls1_2"]);
        assert!(text.contains("alert protocol version"), "{text}");
        let text =
            call_failing("curl", &["--verbose", "--insecure", "--tls-max", "1.2", "https://10.0.0.2/"]);
        assert!(text.contains("alert protocol version"), "{text}");
        let text = call_failing("openssl", &["s_client", "-connect", "10.0.0.2:443", "-alpn", "h2"]);
        assert!(text.contains("no application protocol"), "{text}");
        let reply = Reply::of_curl(&["http://10.0.0.2:443/"]);
        assert_eq!((reply.status, &*reply.text()), (400, "This port speaks HTTPS: use https://"));
        // Nonsense gets an alert: `decode_error`, from a server that goes on.
        let mut stream = connect(PEER, PORT);
        stream.write_all(&[0; 1000]).expect("the peer takes everything");
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got).expect("an end in order");
        assert_eq!(got, [21, 3, 3, 0, 2, 2, 50]);
        assert_eq!(served.get("/", &[]).text(), "home");
        served.end();
    });
}

fn half_handshakes_time_out() {
    in_namespace(|| {
        let served = Served::pages(&[("index.html", b"home")], &["--timeout", "1"]);
        // Silence, a part of a record, and bytes that come without an end.
        for (first, next) in [(&[][..], None), (&[22, 3, 1, 2, 0, 1], None), (&[22, 3, 1, 2, 0, 1], Some(0))]
        {
            let mut stream = connect(PEER, PORT);
            stream.write_all(first).expect("the peer takes everything");
            stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
            let start = Instant::now();
            while stream
                .read(&mut [0; 100])
                .map_or_else(|error| error.kind() == std::io::ErrorKind::WouldBlock, |count| count > 0)
            {
                assert!(start.elapsed() < patience(Duration::from_secs(4)), "still open");
                // Whoever has closed its side says so to the next one.
                let _ = next.map(|byte| stream.write_all(&[byte]));
            }
        }
        assert_eq!(served.get("/", &[]).text(), "home");
        served.end();
    });
}

/// How many connections of a kind make a leak show.
const ROUND: usize = 600;

fn no_connection_leaves_anything_behind() {
    in_namespace(|| {
        let authorities = Authorities::new();
        let issued = authorities.issue("server", P256, GOOD);
        // A huge page would be two megabytes for a byte.
        let served =
            Served::with(authorities, &issued, &[("index.html", b"home")], |run| run.odd("no-huge-pages"));
        let text = String::from_utf8_lossy(&served.guest.output_so_far()).into_owned();
        let most = text.split("up to ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        let most: usize = most.unwrap_or_else(|| panic!("{text}"));
        let beginnings = [&[0; 100][..], &[22, 3, 1, 2, 0, 1], b"GET / HTTP/1.0\r\n\r\n", b""];
        // One after the other, so that none takes what others gave back: handshakes, each of which leaves two sessions, more than are
        // kept; and connections that never come so far.
        let round = || {
            let urls = vec!["https://10.0.0.2/"; ROUND];
            let output = served.curl("/", &[&["--header", "Connection: close"], &urls[..]].concat());
            assert_eq!(String::from_utf8_lossy(&output.stdout), "home".repeat(ROUND + 1));
            assert!(output.status.success());
            for bytes in beginnings.iter().cycle().take(ROUND) {
                let mut stream = connect(PEER, PORT);
                stream.write_all(bytes).expect("the peer takes everything");
                stream.shutdown(Shutdown::Write).expect("a connection");
                let _ = stream.read_to_end(&mut Vec::new());
            }
        };
        round();
        let before = served.memory();
        round();
        let more = served.memory().saturating_sub(before);
        // Half a kibibyte for each connection.
        assert!(more < 512 * 2 * ROUND as u64, "{more} bytes more");
        // More than there is room for, ten times over: a place that is not given back is missed.
        for bytes in beginnings.iter().cycle().take(10 * most) {
            connect(PEER, PORT).write_all(bytes).expect("the peer takes everything");
        }
        assert_eq!(served.get("/", &[]).text(), "home");
        served.end();
    });
}

fn identities_that_are_none_end_the_start() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let authorities = Authorities::new();
        let one = authorities.issue("one", P256, GOOD);
        let other = authorities.issue("other", P256, GOOD);
        let directory = files::directory();
        let pages = site::archive(&directory.path().join("site"), &[("index.html", b"home")]);
        let [certificate, key] = one.read();
        let other = fs::read(&other.key).expect("a key");
        let encrypted = call(
            "openssl",
            &["pkey", "-aes256", "-passout", "pass:x", "-in", one.key.to_str().expect("a path in UTF-8")],
        );
        for (number, (files, told)) in [
            (&[("certificate.pem", &certificate), ("key.pem", &other)][..], "https: certificate.pem and key.pem belong to different keys: take the two that were made together"),
            (&[("certificate.pem", &certificate)], "https: the disk `identity` has no file key.pem: put the certificate into certificate.pem, its key into key.pem"),
            (&[("certificate.pem", &certificate), ("key.pem", &encrypted.stdout)], "https: key.pem is encrypted, and nobody is here to type its password: decrypt it with `openssl pkey`"),
            (&[("certificate.pem", &key), ("key.pem", &key)], "https: certificate.pem has no certificate in it: it wants PEM, from `-----BEGIN CERTIFICATE-----` on"),
            (&[("certificate.pem", &certificate), ("key.pem", &noise(1, 1000))], "https: key.pem has no private key in it: it wants PEM, from `-----BEGIN PRIVATE KEY-----` on"),
        ]
        .into_iter()
        .enumerate()
        {
            let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
            let disk = site::archive(&directory.path().join(format!("identity-{number}")), &files);
            let ended = run(&[pages.clone(), disk]).finish().status(1).quietly();
            assert_eq!(ended.text().trim_end(), told);
        }
    });
}

fn the_key_is_no_page() {
    in_namespace(|| {
        let served = Served::pages(&[("index.html", b"home")], &[]);
        for path in ["/key.pem", "/certificate.pem", "/../identity/key.pem", "/%2e%2e/key.pem"] {
            assert_eq!(served.get(path, &["--path-as-is"]).status, 404, "{path}");
        }
        let disks = ["site", "identity"].map(|name| served.directory.path().join(name).join("site.tar"));
        served.guest.signal(Signal::SIGTERM);
        let _ = served.guest.wait().status(0).quietly();
        let [pages, identity] = disks;
        // The disks exchanged, and one disk for both.
        let ended = run(&[identity.clone(), pages]).finish().status(1).quietly();
        assert!(
            ended.text().starts_with("https: the disk `identity` has no file certificate.pem: "),
            "{}",
            ended.text()
        );
        let ended = run(&[identity.clone(), identity]).finish().status(1).quietly();
        assert!(
            ended.text().starts_with("https: the site has a file key.pem, which everybody could download: "),
            "{}",
            ended.text()
        );
    });
}

fn an_expired_certificate_is_served_with_a_warning() {
    for (dates, warning, told) in [
        (
            ["20200101000000Z", "20210101000000Z"],
            "https: certificate.pem was valid until Fri, 01 Jan 2021 00:00:00 GMT: clients refuse it, make a new one",
            "certificate has expired",
        ),
        (
            ["20480101000000Z", "20490101000000Z"],
            "https: certificate.pem is not valid before Wed, 01 Jan 2048 00:00:00 GMT: until then clients refuse it",
            "certificate is not yet valid",
        ),
    ] {
        in_namespace(|| {
            let authorities = Authorities::new();
            let issued = authorities.issue("server", P256, dates);
            let served = Served::with(authorities, &issued, &[("index.html", b"home")], |run| run);
            let refused = served.curl("/", &[]);
            let text = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && text.contains(told), "{text}");
            assert_eq!(served.get("/", &["--insecure"]).text(), "home");
            served.guest.signal(Signal::SIGTERM);
            let ended = served.guest.wait().status(0).quietly();
            assert!(ended.text().starts_with(&format!("{warning}\n")), "{}", ended.text());
        });
    }
}

fn a_download_ends_before_the_guest_does() {
    in_namespace(|| {
        let large = noise(37, 12 << 20);
        let served = Served::pages(&[("large", &large)], &[]);
        let (root, out) = (served.authorities.root(), served.directory.path().join("out"));
        let mut curl = Command::new(files::program("curl").expect("checked before"))
            .args([
                "--silent",
                "--show-error",
                "--cacert",
                &root,
                "--limit-rate",
                "10M",
                "https://10.0.0.2/large",
                "--output",
            ])
            .arg(&out)
            .spawn()
            .expect("curl");
        let begun = Instant::now();
        while fs::metadata(&out).map_or(0, |file| file.len()) == 0 {
            assert!(begun.elapsed() < patience(Duration::from_secs(10)), "nothing comes");
            std::thread::sleep(Duration::from_millis(10));
        }
        served.guest.signal(Signal::SIGTERM);
        assert!(curl.wait().expect("curl").success());
        assert!(fs::read(&out).expect("a file") == large);
        let _ = served.guest.wait().status(0).quietly();
    });
}
