//! The example `cron-job`: its file as other programs read it, its exit status, and the file that was there before.

mod servers;

use nix::sys::signal::Signal;
use servers::{dnsmasq_for_all, nginx};
use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ukvm_tests::files::{self, call, noise};
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::{Finished, Run};
use ukvm_tests::suite::{Need, patience, slowness};
use ukvm_tests::web::{Reply, WebServer};

ukvm_tests::tests! {
    a_whole_life_beside_real_servers .needs(&[NETWORK, DNSMASQ, Need::Program("nginx"), MKFS, MCOPY, FSCK]);
    answers_of_all_kinds .needs(&[NETWORK, MKFS, MCOPY, FSCK]) .not_in_rig(SLOW);
    a_body_larger_than_memory .needs(&[NETWORK, MKFS, MCOPY, FSCK]) .not_in_rig(SLOW);
    what_fails_in_the_network_has_its_status .needs(&[NETWORK, DNSMASQ, MKFS, MCOPY, FSCK]) .not_in_rig(SLOW);
    what_fails_with_the_answer_has_its_status .needs(&[NETWORK, MKFS, MCOPY, FSCK]) .not_in_rig(SLOW);
    what_fails_with_the_disk_has_its_status .needs(&[NETWORK, MKFS, MCOPY, FSCK]);
    arguments_that_cannot_be_understood .not_in_rig(SLOW);
    the_second_address_serves_where_the_first_is_dead .needs(&[NETWORK, DNSMASQ, MKFS, MCOPY, FSCK]) .not_in_rig(SLOW);
    a_job_that_is_told_to_end_cleans_up .needs(&[NETWORK, MKFS, MCOPY, FSCK]) .not_in_rig(SLOW);
    a_job_that_is_killed_leaves_the_old_file .needs(&[NETWORK, MKFS, MCOPY, FSCK]) .not_in_rig(SLOW);
}

/// Why most are left out in the emulated machine.
const SLOW: &str = "it takes long there, and what it tests is the same on every KVM";

const NETWORK: Need = Need::Network;
const DNSMASQ: Need = Need::Program("dnsmasq");
const MKFS: Need = Need::Program("mkfs.vfat");
const MCOPY: Need = Need::Program("mcopy");
const FSCK: Need = Need::Program("fsck.vfat");

/// The host, and the job's address where no server gives one.
const HOST: &str = "10.0.0.1";
const STATIC: [&str; 2] = ["--ip", "10.0.0.2/24"];

/// The file's name, and what is in it before.
const NAME: &str = "data.bin";
const OLD: &[u8] = b"what yesterday's job has fetched\n";

/// A FAT16 image with yesterday's file.
struct Image {
    directory: TempDir,
    path: PathBuf,
}

impl Image {
    fn new() -> Self {
        Self::of(32 << 20, &["-F", "16"])
    }

    fn of(size: u64, options: &[&str]) -> Self {
        let directory = files::directory();
        let path = files::sparse(directory.path(), "data.img", size);
        let image = Self { path, directory };
        let _ = call("mkfs.vfat", &[options, &[image.text()]].concat());
        let old = files::file(image.directory.path(), NAME, OLD);
        let _ = call("mcopy", &["-i", image.text(), old.to_str().expect("UTF-8"), "::"]);
        image
    }

    fn text(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    /// A job with this disk on the TAP.
    fn job(&self, arguments: &[&str]) -> Run {
        Run::guest("cron-job")
            .option("--net", "tap0")
            .option("--disk", &self.path)
            .args(arguments)
            .deadline(Duration::from_secs(60))
    }

    /// The same with an address of its own, and a URL on the host.
    fn fetch(&self, path: &str, arguments: &[&str]) -> Run {
        self.job(&STATIC).args(["--output", NAME]).args(arguments).args([format!("http://{HOST}{path}")])
    }

    /// What a file has in it, once the file system is found in order.
    #[track_caller]
    fn content(&self, name: &str) -> Vec<u8> {
        let _ = call("fsck.vfat", &["-n", self.text()]);
        let copy = self.directory.path().join("copy");
        let _ =
            call("mcopy", &["-o", "-i", self.text(), &format!("::{name}"), copy.to_str().expect("UTF-8")]);
        fs::read(copy).expect("a copy")
    }

    /// The names of all files, but for what `fsck.vfat -a` found that no file has.
    fn names(&self) -> Vec<String> {
        let listed = call("mdir", &["-b", "-i", self.text(), "::"]);
        let text = String::from_utf8(listed.stdout).expect("UTF-8");
        let names = text.lines().map(|line| line.trim_start_matches("::/").to_owned());
        names.filter(|name| !name.starts_with("FSCK")).collect()
    }

    /// Waits until a job has begun its part.
    #[track_caller]
    fn wait_for_part(&self) {
        let end = Instant::now() + patience(Duration::from_secs(20));
        while !self.has_part() {
            assert!(Instant::now() < end, "the job does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether a part is in the root directory. `mdir` reads no disk that is in use.
    fn has_part(&self) -> bool {
        // FAT16 has that directory right behind its tables, in entries of 32 bytes.
        let mut front = vec![0; 1 << 20];
        File::open(&self.path).and_then(|mut file| file.read_exact(&mut front)).expect("an image");
        let is_part = |entry: &[u8]| entry[..8].iter().all(u8::is_ascii_hexdigit) && entry[8..11] == *b"TMP";
        front.chunks(32).any(is_part)
    }

    /// Nothing has changed.
    #[track_caller]
    fn is_as_before(&self) {
        assert_eq!(self.content(NAME), OLD);
        assert_eq!(self.names(), [NAME]);
    }
}

/// Checks how a job failed: by its status, with this at the start of its sentence, and without a word of the monitor.
#[track_caller]
fn failed(ended: Finished, status: i32, start: &str) {
    says_last(&ended.status(status).quietly().text(), start);
}

/// Checks what a job said last.
#[track_caller]
fn says_last(text: &str, start: &str) {
    // Before it may be what the runtime says of its network.
    let last = text.lines().last().unwrap_or_default();
    let sentence = last.strip_prefix("cron-job: ").unwrap_or_default();
    assert!(sentence.starts_with(start) && !sentence.ends_with('.'), "{text}");
}

/// A timeout in seconds that is soon over, and long enough for all that works.
fn short() -> String {
    (2 * slowness()).to_string()
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::new(HOST.parse().expect("an address"), port)
}

fn a_whole_life_beside_real_servers() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let (servers, image) = (files::directory(), Image::new());
        let bytes = noise(1, 1_234_567);
        let _names = dnsmasq_for_all(servers.path());
        let _web = nginx(servers.path(), &bytes);
        ukvm_tests::client::wait_for_listener(HOST.parse().expect("an address"), 80);
        for (ip, url, from, name) in [
            ("dhcp", "http://web.example/plain.bin", "http://web.example/plain.bin", "plain.bin"),
            ("dhcp", "http://web.example/301", "http://web.example/chunked.bin?from=308", "301"),
            ("dhcp-at-once", "http://10.0.0.1:80/chunked.bin", "http://10.0.0.1/chunked.bin", "chunked.bin"),
        ] {
            let ended = image.job(&["--ip", ip, "--hostname", "job-1", url]).finish().status(0);
            let text = ended.quietly().text();
            let start = format!("cron-job: 1234567 bytes of {from} are in {name}; ms: disk ");
            let last = text.lines().last().expect("a line");
            assert!(last.starts_with(&start), "{text}");
            assert!(image.content(name) == bytes, "{url}");
        }
        // Over IPv6, and what was there is replaced.
        let url = "http://[fd00::1]/plain.bin";
        let ended = image.job(&["--ip", "fd00::2/64", "--output", NAME, url]).finish().status(0).quietly();
        assert!(
            ended.text().contains("bytes of http://[fd00::1]/plain.bin are in data.bin"),
            "{}",
            ended.text()
        );
        assert!(image.content(NAME) == bytes);
        assert_eq!(image.names().len(), 4, "{:?}", image.names());
    });
}

fn answers_of_all_kinds() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let image = Image::new();
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let replies = [
            ("/close", Reply::new("HTTP/1.0 200 OK\r\n\r\nuntil the end")),
            ("/length", Reply::ok(b"by its length").and_waits()),
            (
                "/chunks",
                Reply::new(format!("{chunked}3\r\nby \r\n6;a=b\r\nchunks\r\n0\r\nX: y\r\n\r\n")).and_waits(),
            ),
            ("/early", Reply::new("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nlate")),
            ("/empty", Reply::ok(b"").and_waits()),
            ("/a%20b?c=%2F", Reply::ok(b"odd characters")),
            ("/a%5B1%5D?b%5B%5D=c", Reply::ok(b"brackets")),
        ];
        let server = WebServer::start(address(80), &replies);
        for (path, body) in [
            ("/close", "until the end"),
            ("/length", "by its length"),
            ("/chunks", "by chunks"),
            ("/early", "late"),
            ("/a b?c=%2F", "odd characters"),
            ("/a[1]?b[]=c", "brackets"),
            ("/empty", ""),
        ] {
            let _ = image.fetch(path, &[]).finish().status(0).quietly();
            assert_eq!(String::from_utf8_lossy(&image.content(NAME)), body, "{path}");
        }
        let asked = server.asked();
        let head = asked.first().expect("a request");
        assert!(
            head.starts_with("GET /close HTTP/1.1\r\nHost: 10.0.0.1\r\nUser-Agent: cron-job\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nAccept-Encoding: identity\r\nConnection: close\r\n"), "{head}");
        assert_eq!(image.names(), [NAME]);
    });
}

fn a_body_larger_than_memory() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let image = Image::of(96 << 20, &["-F", "32"]);
        let bytes = noise(2, 60_000_000);
        let _server = WebServer::start(address(80), &[("/large", Reply::ok(&bytes))]);
        let _ = image.fetch("/large", &[]).option("--mem", "16M").finish().status(0).quietly();
        assert!(image.content(NAME) == bytes);
    });
}

fn what_fails_in_the_network_has_its_status() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let (servers, image) = (files::directory(), Image::new());
        let seconds = short();
        let short = ["--timeout", &*seconds];
        let url = "http://web.example/data.bin";
        failed(
            image.job(&["--ip", "dhcp", url]).args(short).finish(),
            10,
            &format!("nobody has given this machine an address within {seconds} s"),
        );
        failed(
            image.job(&STATIC).args([url]).finish(),
            11,
            "web.example cannot be looked up: no DNS server is known: give one with --dns",
        );
        failed(
            image.job(&STATIC).args(["--dns", "10.0.0.77", url]).args(short).finish(),
            11,
            "web.example cannot be looked up: no DNS server has answered",
        );
        let _names = dnsmasq_for_all(servers.path());
        failed(
            image.job(&["--ip", "dhcp", "http://gone.example/data.bin"]).finish(),
            11,
            "gone.example cannot be looked up: the name has no address",
        );
        failed(
            image.job(&["--ip", "dhcp", "http://web.example:81/data.bin"]).finish(),
            12,
            "there is no connection to web.example port 81: the peer has refused the connection",
        );
        failed(
            image.job(&STATIC).args(["http://10.0.0.77/data.bin"]).args(short).finish(),
            12,
            "there is no connection to 10.0.0.77 port 80: ",
        );
        failed(
            image.job(&STATIC).args(["http://192.0.2.1/data.bin"]).finish(),
            12,
            "there is no connection to 192.0.2.1 port 80: no address of this host reaches the peer",
        );
        image.is_as_before();
    });
}

fn what_fails_with_the_answer_has_its_status() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let image = Image::new();
        let chain: Vec<_> =
            (0..12).map(|number| (format!("/chain{number}"), format!("/chain{}", number + 1))).collect();
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
        let mut replies = vec![
            ("/self", Reply::redirect(301, "/self")),
            ("/one", Reply::redirect(302, "/other")),
            ("/other", Reply::redirect(302, "/one")),
            ("/secure", Reply::redirect(301, "https://10.0.0.1/secure")),
            ("/nowhere", Reply::new("HTTP/1.1 302 Found\r\n\r\n")),
            ("/broken", Reply::new("HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno")),
            ("/part", Reply::new("HTTP/1.1 206 Part\r\nContent-Length: 2\r\n\r\nno")),
            ("/short", Reply::new(format!("{long}short"))),
            ("/reset", Reply::new(format!("{long}short")).and_resets()),
            ("/short-chunk", Reply::new(format!("{chunked}5\r\nshort\r\n"))),
            ("/bad-chunk", Reply::new(format!("{chunked}5\r\nlonger\r\n0\r\n\r\n"))),
            (
                "/both",
                Reply::new(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
                ),
            ),
            (
                "/lengths",
                Reply::new("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nfive!!"),
            ),
            ("/ssh", Reply::new("SSH-2.0-OpenSSH_9.2\r\n")),
            ("/nothing", Reply::new("")),
            ("/gzip", Reply::new("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f")),
            ("/silent", Reply::new("").and_waits()),
            ("/stalled", Reply::new(format!("{long}then nothing")).and_waits()),
            ("/large", Reply::ok(&[1; 200_000])),
            ("/large-chunk", Reply::new([chunked.as_bytes(), b"30d40\r\n", &[1; 200_000]].concat())),
        ];
        replies.extend(chain.iter().map(|(from, to)| (from.as_str(), Reply::redirect(302, to))));
        let _server = WebServer::start(address(80), &replies);
        for (path, status, start) in [
            ("/self", 13, "the server redirects in a circle, to http://10.0.0.1/self again"),
            ("/one", 13, "the server redirects in a circle, to http://10.0.0.1/one again"),
            ("/secure", 13, "the server redirects to \"https://10.0.0.1/secure\": this program has no TLS"),
            ("/nowhere", 13, "the server redirects to nowhere"),
            ("/chain0", 13, "the server redirects more than 10 times"),
            ("/gone", 14, "the server answered with status 404"),
            ("/broken", 14, "the server answered with status 500"),
            ("/part", 14, "the server answered with status 206"),
            ("/short", 18, "the answer was cut short"),
            ("/reset", 18, "the connection broke off"),
            ("/short-chunk", 18, "the answer was cut short"),
            ("/bad-chunk", 15, "the answer cannot be trusted: a chunk of it is broken"),
            ("/both", 15, "the answer cannot be trusted: it does not say clearly how long it is"),
            ("/lengths", 15, "the answer cannot be trusted: it does not say clearly how long it is"),
            ("/ssh", 15, "the answer cannot be trusted: its head is none of HTTP/1"),
            ("/nothing", 18, "the server closed the connection without an answer"),
            ("/gzip", 15, "the answer is encoded as \"gzip\", which was not asked for"),
            ("/silent", 16, "the server took too long"),
            ("/stalled", 16, "the server took too long"),
            ("/large", 17, "the file would have 200000 bytes, and may have 102400: see --max-size"),
            ("/large-chunk", 17, "the file would have more bytes, and may have 102400: see --max-size"),
        ] {
            let ended = image.fetch(path, &["--timeout", &short(), "--max-size", "100K"]).finish();
            failed(ended, status, start);
        }
        image.is_as_before();
    });
}

fn what_fails_with_the_disk_has_its_status() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let _server = WebServer::start(
            address(80),
            &[("/", Reply::ok(b"new")), ("/large", Reply::ok(&[1; 5_000_000]))],
        );
        let small = Image::of(4 << 20, &["-F", "16", "-s", "1"]);
        let start = "data.bin cannot be written: the file system has no room left";
        failed(small.fetch("/large", &[]).finish(), 20, start);
        small.is_as_before();
        let image = Image::new();
        let read_only =
            Run::guest("cron-job").option("--net", "tap0").option("--disk", format!("{},ro", image.text()));
        // The monitor knows that the program wants to write.
        let _ = read_only.args(STATIC).args(["http://10.0.0.1/"]).finish().status(78);
        let start = "data.bin cannot be written: the disk cannot be written";
        let ended = image.fetch("/", &[]).odd("no-flush").finish().status(21);
        says_last(&ended.says(&["flushing failed: Input/output error"]).text(), start);
        let _ =
            Command::new(files::program("fsck.vfat").expect("fsck.vfat")).args(["-a", image.text()]).output();
        image.is_as_before();
        let directory = files::directory();
        let noise = files::file(directory.path(), "noise.img", &noise(3, 1 << 20));
        let run = Run::guest("cron-job").option("--net", "tap0").option("--disk", noise).args(STATIC);
        failed(
            run.args(["http://10.0.0.1/"]).finish(),
            21,
            "the disk holds neither a tar archive nor a FAT file system",
        );
        let start = "the file system is FAT12, which cannot say that a job was broken off: make one on a disk of 16 MiB or more";
        let unmarked = Image::of(4 << 20, &[]);
        failed(unmarked.fetch("/", &[]).finish(), 21, start);
        unmarked.is_as_before();
        let start = "new/data.bin cannot be written: there is no directory new on the disk, make it";
        failed(image.job(&STATIC).args(["--output", "new/data.bin", "http://10.0.0.1/"]).finish(), 21, start);
        image.is_as_before();
    });
}

fn arguments_that_cannot_be_understood() {
    let directory = files::directory();
    let disk = files::sparse(directory.path(), "data.img", 1 << 20);
    for (arguments, start) in [
        (&["--ip", "dhcp"][..], "there is no URL: give one, such as http://example.org/data.csv"),
        (&["http://h/"], "there is no address: give --ip dhcp"),
        (
            &["--ip", "dhcp", "https://h/"],
            "`https://h/`: this program has no TLS: name a URL that begins with http://",
        ),
    ] {
        in_namespace(|| {
            network::make_tap_with_address("tap0");
            let run = Run::guest("cron-job").option("--net", "tap0").option("--disk", &disk).args(arguments);
            failed(run.finish(), 64, start);
        });
    }
}

/// The name has an address of IPv6 that nobody has, which would be the first to be tried.
fn the_second_address_serves_where_the_first_is_dead() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let (servers, image) = (files::directory(), Image::new());
        let _names = dnsmasq_for_all(servers.path());
        let _server = WebServer::start(address(80), &[("/", Reply::ok(b"new"))]);
        let arguments = ["--ip", "dhcp", "--ip", "fd00::2/64", "--output", NAME, "--timeout", "10"];
        let _ = image.job(&arguments).args(["http://lame.example/"]).finish().status(0);
        assert_eq!(image.content(NAME), b"new");
    });
}

fn a_job_that_is_told_to_end_cleans_up() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let image = Image::new();
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        let stalled = Reply::new([head.as_bytes(), &[1; 300_000]].concat()).and_waits();
        let _server = WebServer::start(address(80), &[("/", stalled)]);
        let running = image.fetch("/", &[]).start();
        image.wait_for_part();
        running.signal(Signal::SIGTERM);
        failed(running.wait(), 30, "the job was told to end before it was done");
        image.is_as_before();
        // Before there is an answer.
        let running = image.job(&["--ip", "dhcp", "http://10.0.0.1/"]).start();
        std::thread::sleep(patience(Duration::from_millis(300)));
        running.signal(Signal::SIGTERM);
        failed(running.wait(), 30, "the job was told to end before it was done");
        image.is_as_before();
    });
}

fn a_job_that_is_killed_leaves_the_old_file() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let image = Image::new();
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        let stalled = Reply::new([head.as_bytes(), &[1; 300_000]].concat()).and_waits();
        let replies = [("/stalled", stalled), ("/", Reply::ok(b"new"))];
        let refused = "the file system was not put away in order, perhaps by a job that was broken off: run `fsck.vfat -a`";
        for name in [NAME, "first.bin"] {
            let _server = WebServer::start(address(80), &replies);
            let running = image.fetch("/stalled", &["--output", name]).start();
            image.wait_for_part();
            running.signal(Signal::SIGKILL);
            drop(running);
            failed(image.fetch("/", &[]).finish(), 21, refused);
            let fsck = files::program("fsck.vfat").expect("fsck.vfat");
            let mended = Command::new(fsck).args(["-a", image.text()]).output().expect("fsck.vfat runs");
            // By 1 it says that it has repaired something.
            assert_eq!(mended.status.code(), Some(1));
            // What there is of the new one is none.
            failed(
                image.fetch("/gone", &["--output", name]).finish(),
                14,
                "the server answered with status 404",
            );
            image.is_as_before();
        }
        let _server = WebServer::start(address(80), &replies);
        let _ = image.fetch("/", &[]).finish().status(0).quietly();
        assert_eq!(image.content(NAME), b"new");
        assert_eq!(image.names(), [NAME]);
    });
}
