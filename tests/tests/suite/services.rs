//! The example unikernels, with the kernel, curl and wrk as their peers.

use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use ukvm_tests::client::{self, connect, wait_for_listener};
use ukvm_tests::files::{self, call, noise};
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::{Need, in_rig, patience};

ukvm_tests::tests! {
    echo_over_tcp .needs(&[Need::Network]);
    echo_over_udp .needs(&[Need::Network]);
    echo_answers_a_ping .needs(&[Need::Network, Need::Program("ping")]);
    echo_on_many_connections .needs(&[Need::Network]);
    a_closed_port_is_refused .needs(&[Need::Network]);
    blkcopy_copies .needs(&[Need::Program("cmp")]);
    blkcopy_of_unequal_disks_says_so;
    logins_with_curl .needs(&[Need::Network, Need::Program("curl"), Need::Program("mkfs.vfat"), Need::Program("mcopy")]);
    odd_requests_get_an_answer .needs(&[Need::Network, Need::Program("mkfs.vfat"), Need::Program("mcopy")]);
    a_half_sent_request_times_out .needs(&[Need::Network, Need::Program("mkfs.vfat"), Need::Program("mcopy")]);
    more_connections_than_there_may_be_wait .needs(&[Need::Network, Need::Program("mkfs.vfat"), Need::Program("mcopy")]);
    a_disk_that_fails_is_an_internal_error .needs(&[Need::Network, Need::Program("mkfs.vfat"), Need::Program("mcopy")]);
    sixty_four_connections_with_wrk
        .needs(&[Need::Network, Need::Program("wrk"), Need::Program("mkfs.vfat"), Need::Program("mcopy")]) .alone();
    a_thousand_connections_with_wrk
        .needs(&[Need::Network, Need::Program("wrk"), Need::Program("mkfs.vfat"), Need::Program("mcopy")]) .alone();
}

const ADDRESSES: [&str; 4] = ["--ip", "10.0.0.2/24", "--ip", "fd00::2/64"];

fn echo() -> Running {
    network::make_tap_with_address("tap0");
    let guest =
        Run::guest("echo").option("--net", "tap0").args(ADDRESSES).deadline(Duration::from_secs(60)).start();
    guest.wait_for("port 7 of fd00::2");
    guest
}

fn end(guest: Running) {
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(0).quietly();
}

fn peers() -> [IpAddr; 2] {
    ["10.0.0.2", "fd00::2"].map(|address| address.parse().expect("an address"))
}

fn echo_over_tcp() {
    in_namespace(|| {
        let guest = echo();
        let sent = noise(31, if in_rig() { 1 << 20 } else { 16 << 20 });
        for address in peers() {
            let mut stream = connect(address, 7);
            let mut writer = stream.try_clone().expect("a descriptor");
            let received = std::thread::scope(|scope| {
                let _ = scope.spawn(|| {
                    writer.write_all(&sent).expect("the peer takes everything");
                    writer.shutdown(std::net::Shutdown::Write).expect("an end of the stream");
                });
                let mut received = Vec::new();
                let _ = stream.read_to_end(&mut received).expect("the peer's answer");
                received
            });
            assert!(received == sent, "{address}: {} bytes came back, or others", received.len());
        }
        end(guest);
    });
}

fn echo_over_udp() {
    in_namespace(|| {
        let guest = echo();
        for address in peers() {
            let own = if address.is_ipv4() { "10.0.0.1:0" } else { "[fd00::1]:0" };
            let socket = UdpSocket::bind(own).expect("a socket");
            socket.connect((address, 7)).expect("a route");
            socket.set_read_timeout(Some(patience(Duration::from_secs(5)))).expect("a time limit");
            let mut answer = [0; 2000];
            for length in [0, 1, 64, 1000, 1400] {
                let packet = noise(length as u64, length);
                let _ = socket.send(&packet).expect("a packet sent");
                let got = socket.recv(&mut answer).expect("a packet back");
                assert!(answer[..got] == packet, "{address}: a packet of {length} bytes changed");
            }
        }
        end(guest);
    });
}

fn echo_answers_a_ping() {
    in_namespace(|| {
        let guest = echo();
        for address in ["10.0.0.2", "fd00::2"] {
            let output = call("ping", &["-c", "3", "-i", "0.2", "-W", "10", address]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("3 received"), "{text}");
        }
        end(guest);
    });
}

fn echo_on_many_connections() {
    in_namespace(|| {
        let guest = echo();
        let mut streams: Vec<TcpStream> = (0..100).map(|_| connect(peers()[0], 7)).collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&noise(number as u64, 1000)).expect("the peer takes everything");
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let mut answer = [0; 1000];
            stream.read_exact(&mut answer).expect("the peer's answer");
            assert!(answer[..] == noise(number as u64, 1000), "connection {number} got something else");
        }
        end(guest);
    });
}

fn a_closed_port_is_refused() {
    in_namespace(|| {
        let guest = echo();
        let address = SocketAddr::new(peers()[0], 8);
        let error = TcpStream::connect_timeout(&address, patience(Duration::from_secs(5)))
            .expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        // The other way round nothing listens here either: the namespace is the test's own.
        assert!(TcpListener::bind("10.0.0.1:8").is_ok());
        end(guest);
    });
}

fn blkcopy(directory: &Path, source: u64, target: u64) -> (Run, String, String) {
    let a = directory.join("a.img");
    let b = files::sparse(directory, "b.img", target);
    let file = std::fs::File::create(&a).expect("a file");
    let piece = noise(41, 1 << 20);
    for number in 0..source >> 20 {
        // Each MiB is another one.
        let mut piece = piece.clone();
        piece[..8].copy_from_slice(&number.to_le_bytes());
        (&file).write_all(&piece).expect("room for the image");
    }
    let run = Run::guest("blkcopy")
        .option("--disk", format!("source={},ro", a.display()))
        .option("--disk", format!("target={}", b.display()));
    (run, a.display().to_string(), b.display().to_string())
}

fn blkcopy_copies() {
    let directory = files::directory();
    let size = if in_rig() { 32 << 20 } else { 256 << 20 };
    let (run, a, b) = blkcopy(directory.path(), size, size);
    let _ = run.deadline(Duration::from_secs(60)).finish().status(0).quietly();
    let _ = call("cmp", &[&a, &b]);
}

fn blkcopy_of_unequal_disks_says_so() {
    let directory = files::directory();
    let (run, ..) = blkcopy(directory.path(), 2 << 20, 1 << 20);
    let ended = run.finish().status(1);
    assert!(ended.text().contains("2097152") && ended.text().contains("1048576"), "{}", ended.text());
}

/// Names, passwords as they are in the files, and what is sent for them.
const USERS: [(&str, &[u8]); 6] = [
    ("alice", b"wonderland"),
    ("bob", b"builder\n"),
    ("carol", b"two words\r\n"),
    ("A long file name", b"p&q=r+s%20"),
    ("empty", b""),
    ("line-feeds", b"x\n\n"),
];

struct Service {
    guest: Running,
    directory: tempfile::TempDir,
}

fn auth_service(memory: &str, arguments: &[&str]) -> Service {
    auth_service_on(",ro", memory, arguments)
}

/// The same with other options for its disk.
fn auth_service_on(disk: &str, memory: &str, arguments: &[&str]) -> Service {
    let directory = files::directory();
    let image = files::fat_image(directory.path(), 8 << 20, &USERS);
    network::make_tap_with_address("tap0");
    let guest = Run::guest("auth-service")
        .option("--net", "tap0")
        .option("--disk", format!("{}{disk}", image.display()))
        .option("--mem", memory)
        .args(ADDRESSES)
        .args(arguments)
        .deadline(Duration::from_secs(120))
        .start();
    wait_for_listener(peers()[0], 80);
    Service { guest, directory }
}

/// The status and the body of an answer to curl.
fn curl(arguments: &[&str]) -> (String, String) {
    let mut all = vec!["--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}"];
    all.extend(arguments);
    let Output { stdout, .. } = call("curl", &all);
    let text = String::from_utf8_lossy(&stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.to_owned(), body.to_owned())
}

fn logins_with_curl() {
    in_namespace(|| {
        let service = auth_service("64M", &[]);
        let long = format!("user={}", "x".repeat(256));
        for (parameters, status, body) in [
            (&["user=alice", "password=wonderland"][..], "200", "hello alice!"),
            (&["password=wonderland", "user=ALICE"], "200", "hello ALICE!"),
            (&["user=bob", "password=builder"], "200", "hello bob!"),
            (&["user=carol", "password=two words"], "200", "hello carol!"),
            (&["user=A long file name", "password=p&q=r+s%20"], "200", "hello A long file name!"),
            (&["user=empty", "password="], "200", "hello empty!"),
            (&["user=line-feeds", "password=x\n"], "200", "hello line-feeds!"),
            (&["user=line-feeds", "password=x"], "401", "Invalid login"),
            (&["user=alice", "password=wonderlan"], "401", "Invalid login"),
            (&["user=alice", "password=wonderland "], "401", "Invalid login"),
            (&["user=alice", "password="], "401", "Invalid login"),
            (&["user=mallory", "password=x"], "401", "Invalid login"),
            (&["user=../alice", "password=wonderland"], "401", "Invalid login"),
            (&["user=.", "password=x"], "401", "Invalid login"),
            (&["user=..", "password=x"], "401", "Invalid login"),
            (&["user=a\\b", "password=x"], "401", "Invalid login"),
            (&["user=a\u{1}", "password=x"], "401", "Invalid login"),
            (&[&long, "password=x"], "401", "Invalid login"),
            (&["user=alice"], "401", "No user given"),
            (&["password=wonderland"], "401", "No user given"),
            (&[], "401", "No user given"),
        ] {
            for url in ["http://10.0.0.2/", "http://[fd00::2]/any/path"] {
                let mut arguments = vec!["--get", url];
                for parameter in parameters {
                    arguments.extend(["--data-urlencode", parameter]);
                }
                assert_eq!(curl(&arguments), (status.to_owned(), body.to_owned()), "{parameters:?}");
            }
        }
        // By hand, as not every client encodes in the same way; the type; several requests on one connection.
        let (status, body) = curl(&["http://10.0.0.2/?user=%61lice&password=wonder%6Cand"]);
        assert_eq!((&*status, &*body), ("200", "hello alice!"));
        let (status, body) = curl(&["http://10.0.0.2/?user=A+long+file+name&password=p%26q%3Dr%2Bs%2520"]);
        assert_eq!((&*status, &*body), ("200", "hello A long file name!"));
        let good = "http://10.0.0.2/?user=alice&password=wonderland";
        let (_, headers) = curl(&["--include", good]);
        assert!(headers.to_lowercase().contains("content-type: text/plain"), "{headers}");
        let output = call("curl", &["--silent", "--write-out", " %{num_connects}\n", good, good, good]);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "hello alice! 1\nhello alice! 0\nhello alice! 0\n"
        );
        end(service.guest);
    });
}

/// What the service answers to `request`, as text.
fn answer(request: &[u8]) -> String {
    String::from_utf8_lossy(&client::answer(peers()[0], request)).into_owned()
}

fn odd_requests_get_an_answer() {
    in_namespace(|| {
        let service = auth_service("64M", &[]);
        let works = |why: &str| {
            let text = answer(GOOD);
            assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("hello alice!"), "{why}: {text}");
        };
        works("at first");
        for bad in [
            &b"\r\n\r\n\r\nnonsense\r\n\r\n"[..],
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\0\0\0\0\0\0\0\0\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET /?user=%zz&password=%4 HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            let text = answer(bad);
            let told = text.starts_with("HTTP/1.1 4") || text.starts_with("HTTP/1.0 4");
            assert!(told, "{:?} was answered {text:?}", String::from_utf8_lossy(bad));
            works("after a bad request");
        }
        let long = [b"GET /?user=".to_vec(), vec![b'x'; 100_000], b" HTTP/1.1\r\n\r\n".to_vec()].concat();
        let _ = std::panic::catch_unwind(|| answer(&long));
        works("after a request that is too long");
        // Half a request, whose sender then goes away.
        let mut half = connect(peers()[0], 80);
        half.write_all(b"GET /?user=al").expect("the peer takes everything");
        works("while half a request is there");
        drop(half);
        works("after half a request");
        end(service.guest);
    });
}

/// A request whose answer ends the connection.
const GOOD: &[u8] = b"GET /?user=alice&password=wonderland HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

fn a_half_sent_request_times_out() {
    in_namespace(|| {
        let service = auth_service("64M", &["--timeout", "1"]);
        for half in [&b""[..], b"GET /?user=al", b"GET / HTTP/1.1\r\nHost: x\r\n"] {
            let mut stream = connect(peers()[0], 80);
            stream.write_all(half).expect("the peer takes everything");
            let start = Instant::now();
            let mut rest = Vec::new();
            // Whether it says so or just closes, it does not wait for ever; a reset is an end as well.
            let _ = stream.read_to_end(&mut rest);
            let took = start.elapsed();
            assert!(took < patience(Duration::from_secs(4)), "still open after {took:?}");
            assert!(!rest.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&rest));
        }
        assert!(answer(GOOD).ends_with("hello alice!"));
        end(service.guest);
    });
}

fn more_connections_than_there_may_be_wait() {
    in_namespace(|| {
        let service = auth_service("64M", &["--max-connections", "4"]);
        // The one that found out whether the service is there may still be on its way out.
        std::thread::sleep(patience(Duration::from_millis(200)));
        let idle: Vec<TcpStream> = (0..4).map(|_| connect(peers()[0], 80)).collect();
        let start = Instant::now();
        let text = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| answer(GOOD));
            std::thread::sleep(Duration::from_millis(500));
            drop(idle);
            waiting.join().expect("it was not refused")
        });
        assert!(text.ends_with("hello alice!"), "{text}");
        assert!(start.elapsed() >= Duration::from_millis(500), "a fifth connection was served beside four");
        end(service.guest);
    });
}

fn a_disk_that_fails_is_an_internal_error() {
    in_namespace(|| {
        // With `,ro` the user promises that this does not happen.
        let service = auth_service_on("", "64M", &[]);
        assert!(answer(GOOD).ends_with("hello alice!"));
        // The host takes the image away from under the guest.
        let image = service.directory.path().join("data.img");
        std::fs::OpenOptions::new()
            .write(true)
            .open(image)
            .and_then(|image| image.set_len(0))
            .expect("the image");
        let text = answer(GOOD);
        assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
        service.guest.signal(Signal::SIGTERM);
        let _ = service.guest.wait().status(0);
    });
}

fn sixty_four_connections_with_wrk() {
    in_namespace(|| wrk(64, "64M"));
}

fn a_thousand_connections_with_wrk() {
    in_namespace(|| wrk(1000, "256M"));
}

/// Counts answers that are not the right one, whatever their status.
const SCRIPT: &str = r#"
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init() wrong = 0 end
function response(status, headers, body)
  if status ~= 200 or body ~= "hello bob!" then wrong = wrong + 1 end
end
function done(summary)
  local wrong = 0
  for _, thread in ipairs(threads) do wrong = wrong + thread:get("wrong") end
  local e = summary.errors
  print(string.format("%d requests, %d wrong, %d failed", summary.requests, wrong,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"#;

fn wrk(connections: u32, memory: &str) {
    let service = auth_service(memory, &[]);
    let script = files::file(service.directory.path(), "count.lua", SCRIPT.as_bytes());
    let (connections, seconds) = (connections.to_string(), if in_rig() { "5s" } else { "20s" });
    let mut command = Command::new(files::program("wrk").expect("checked before"));
    command.args([
        "-t2",
        "-c",
        &connections,
        "-d",
        seconds,
        "--timeout",
        if in_rig() { "60s" } else { "10s" },
    ]);
    command.arg("-s").arg(&script).arg("http://10.0.0.2/?user=bob&password=builder");
    let output = command.output().expect("wrk");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.ends_with(" failed")).unwrap_or_else(|| panic!("{output:?}"));
    println!("wrk, {connections} connections for {seconds}: {line}");
    assert!(line.ends_with(" requests, 0 wrong, 0 failed") && !line.starts_with("0 "), "{text}");
    end(service.guest);
}
