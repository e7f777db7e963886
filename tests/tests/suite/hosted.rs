//! The examples as processes of this system, under valgrind: what they do is what the unikernels do.

use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;
use ukvm_tests::certificates::{Authorities, GOOD, P256};
use ukvm_tests::client::{Reply, connect, wait_for_listener};
use ukvm_tests::files::{self, call, noise};
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::redis::{self, Client, Value};
use ukvm_tests::run::{Run, Running};
use ukvm_tests::site::{self, PEER};
use ukvm_tests::suite::Need;
use ukvm_tests::web::{self, WebServer};

ukvm_tests::tests! {
    hello_says_so_and_ends .needs(&[Need::Program("valgrind")]) .not_in_rig(NO_KVM);
    options_and_errors_are_those_of_the_monitor .needs(&[Need::Program("valgrind")]) .not_in_rig(NO_KVM);
    a_closed_output_ends_it .needs(&[Need::Program("valgrind")]) .not_in_rig(NO_KVM);
    options_from_a_file .needs(&[Need::Program("valgrind")]) .not_in_rig(NO_KVM);
    every_example_is_here .not_in_rig(NO_KVM);
    blkcopy_copies .needs(&[Need::Program("valgrind"), Need::Program("cmp")]) .not_in_rig(NO_KVM);
    echo_echoes .needs(&[Need::Program("valgrind"), Need::Network]) .not_in_rig(NO_KVM);
    a_timeout_and_signals_end_it .needs(&[Need::Program("valgrind"), Need::Network]) .not_in_rig(NO_KVM);
    static_site_serves_an_archive
        .needs(&[Need::Program("valgrind"), Need::Program("tar"), Need::Program("curl"), Need::Network])
        .not_in_rig(NO_KVM);
    auth_service_lets_in_who_may
        .needs(&[
            Need::Program("valgrind"), Need::Program("mkfs.vfat"), Need::Program("mcopy"), Need::Program("curl"),
            Need::Network,
        ])
        .not_in_rig(NO_KVM);
    kv_server_keeps_what_it_is_given .needs(&[Need::Program("valgrind"), Need::Network]) .not_in_rig(NO_KVM);
    https_serves_an_archive
        .needs(&[
            Need::Program("valgrind"), Need::Program("tar"), Need::Program("openssl"), Need::Program("curl"),
            Need::Network,
        ])
        .not_in_rig(NO_KVM);
    cron_job_fetches_a_file
        .needs(&[Need::Program("valgrind"), Need::Program("mkfs.vfat"), Need::Program("mcopy"), Need::Network])
        .not_in_rig(NO_KVM);
}

const NO_KVM: &str = "it uses no KVM";
/// Those that a test here runs.
const EXAMPLES: [&str; 8] =
    ["auth-service", "blkcopy", "cron-job", "echo", "hello", "https", "kv-server", "static-site"];
const ADDRESSES: [&str; 4] = ["--ip", "10.0.0.2/24", "--ip", "fd00::2/64"];

/// An example that serves a network, under way.
fn service(name: &str, options: &[&str], port: u16) -> Running {
    network::make_tap_with_address("tap0");
    let run = Run::hosted(name).option("--net", "tap0").options(options).args(ADDRESSES);
    let guest = run.deadline(Duration::from_secs(300)).start();
    wait_for_listener(PEER, port);
    guest
}

/// Ends it as a service manager would; valgrind has found nothing.
fn end(guest: Running) {
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(0).quietly();
}

fn hello_says_so_and_ends() {
    Run::hosted("hello").finish().status(0).prints("hello, world\n").quietly();
    // As the monitor takes them: with `--` and without.
    Run::hosted("hello").options(["8"]).finish().status(8).prints("hello, world\n").quietly();
    Run::hosted("hello").args(["7"]).finish().status(7).prints("hello, world\n").quietly();
}

fn options_and_errors_are_those_of_the_monitor() {
    let _ = Run::hosted("hello").option("--net", "tap0").finish().refuses(78, &["--net", "none"]);
    let _ = Run::hosted("hello").options(["--no-such-option"]).finish().refuses(64, &["--no-such-option"]);
    let _ = Run::hosted("echo").finish().refuses(78, &["--net"]);
    let _ = Run::hosted("hello").option("--mem", "100000G").finish().refuses(78, &["--mem"]);
    let directory = files::directory();
    let report = directory.path().join("report.json");
    let _ = Run::hosted("hello").option("--report", &report).args(["3"]).finish().status(3).quietly();
    let report = std::fs::read_to_string(report).expect("a report");
    assert!(report.contains("\"cause\": \"exit\"") && report.contains("\"guest_status\": 3"), "{report}");
}

/// What `ukvm-run` does there, the monitor in the process does: nobody reads any more.
fn a_closed_output_ends_it() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let directory = files::directory();
    let report = directory.path().join("report.json");
    let run = Run::hosted("hello").option("--report", &report).stdout(writer);
    let _ = run.finish().status(141).quietly();
    let report = std::fs::read_to_string(report).expect("a report");
    assert!(report.contains("\"cause\": \"output-closed\""), "{report}");
}

fn options_from_a_file() {
    let directory = files::directory();
    let file = files::file(directory.path(), "vm.toml", b"args = [\"6\"]\nmem = \"16M\"\n");
    Run::hosted("hello").option("--config", &file).finish().status(6).prints("hello, world\n").quietly();
    Run::hosted("hello").option("--config", &file).args(["4"]).finish().status(4).quietly();
}

/// A program that is an example, but in no test here, is one that nobody has tried so.
fn every_example_is_here() {
    let mut names: Vec<_> = std::fs::read_dir(xtask::cargo::root().join("guest-runtime/examples"))
        .expect("the examples")
        .map(|entry| entry.expect("an example").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert_eq!(names, EXAMPLES);
}

fn blkcopy_copies() {
    let directory = files::directory();
    let source = files::file(directory.path(), "a.img", &noise(5, 4 << 20));
    let target = files::sparse(directory.path(), "b.img", 4 << 20);
    Run::hosted("blkcopy")
        .option("--disk", format!("source={},ro", source.display()))
        .option("--disk", format!("target={}", target.display()))
        .deadline(Duration::from_secs(60))
        .finish()
        .status(0)
        .quietly();
    let _ = call("cmp", &[&source.display().to_string(), &target.display().to_string()]);
    // An error of the program is one of the process.
    let short = files::sparse(directory.path(), "c.img", 2 << 20);
    let ended = Run::hosted("blkcopy")
        .option("--disk", format!("source={},ro", source.display()))
        .option("--disk", format!("target={}", short.display()))
        .finish()
        .status(1)
        .quietly();
    assert!(ended.text().contains("2097152"), "{}", ended.text());
}

fn echo_echoes() {
    in_namespace(|| {
        let guest = service("echo", &[], 7);
        let sent = noise(6, 200_000);
        let mut stream = connect(PEER, 7);
        let mut writer = stream.try_clone().expect("a descriptor");
        let mut received = Vec::new();
        std::thread::scope(|scope| {
            let _ = scope.spawn(|| {
                writer.write_all(&sent).expect("the peer takes everything");
                writer.shutdown(Shutdown::Write).expect("an end of the stream");
            });
            let _ = stream.read_to_end(&mut received).expect("the peer's answer");
        });
        assert!(received == sent, "{} bytes came back, or others", received.len());
        end(guest);
    });
}

fn a_timeout_and_signals_end_it() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let waits = || Run::hosted("echo").option("--net", "tap0").args(ADDRESSES);
        let _ = waits().option("--timeout", "3s").finish().status(124).says(&["--timeout"]);
        let guest = waits().start();
        wait_for_listener(PEER, 7);
        guest.signal(Signal::SIGINT);
        let _ = guest.wait().status(0).quietly();
    });
}

fn static_site_serves_an_archive() {
    in_namespace(|| {
        let directory = files::directory();
        let large = noise(7, 3 << 20);
        let pages: [(&str, &[u8]); 2] = [("index.html", b"<h1>Home</h1>\n"), ("large.bin", &large)];
        let image = site::archive(directory.path(), &pages);
        // Read-only: mapped, as a unikernel has it.
        let guest = service("static-site", &["--disk", &format!("{},ro", image.display())], 80);
        for (path, body) in [("/", &b"<h1>Home</h1>\n"[..]), ("/large.bin", &large)] {
            let reply = Reply::of_curl(&[&format!("http://10.0.0.2{path}")]);
            assert!(reply.status == 200 && reply.body == body, "{path}: {} bytes", reply.body.len());
        }
        let reply = Reply::of_curl(&["http://[fd00::2]/nothing"]);
        assert_eq!(reply.status, 404);
        end(guest);
    });
}

fn auth_service_lets_in_who_may() {
    in_namespace(|| {
        let directory = files::directory();
        let image = files::fat_image(directory.path(), 8 << 20, &[("alice", b"wonderland")]);
        let guest = service("auth-service", &["--disk", &format!("{},ro", image.display())], 80);
        for (password, status) in [("wonderland", 200), ("guessed", 401)] {
            let url = format!("http://10.0.0.2/?user=alice&password={password}");
            assert_eq!(Reply::of_curl(&[&url]).status, status, "{password}");
        }
        end(guest);
    });
}

fn kv_server_keeps_what_it_is_given() {
    in_namespace(|| {
        let directory = files::directory();
        let image = files::sparse(directory.path(), "data.img", 16 << 20);
        network::make_tap_with_address("tap0");
        let run = || {
            let run = Run::hosted("kv-server").option("--net", "tap0").option("--disk", &image);
            run.args(ADDRESSES).deadline(Duration::from_secs(300))
        };
        for (command, value) in
            [(&["SET", "a", "b"][..], Value::ok()), (&["GET", "a"], Value::Bulk(b"b".into()))]
        {
            // Each by a process of its own, which finds what the one before has left.
            let guest = run().start();
            wait_for_listener(PEER, redis::PORT);
            assert_eq!(Client::new().call(command), value, "{command:?}");
            end(guest);
        }
    });
}

fn https_serves_an_archive() {
    in_namespace(|| {
        let directory = files::directory();
        let authorities = Authorities::new();
        let issued = authorities.issue("server", P256, GOOD);
        let archive = |name: &str, content: &[(&str, &[u8])]| {
            site::archive(&directory.path().join(name), content).display().to_string()
        };
        let [certificate, key] = issued.read();
        let site = archive("site", &[("index.html", b"<h1>Home</h1>\n")]);
        let identity = archive("identity", &[("certificate.pem", &certificate), ("key.pem", &key)]);
        let disks = [format!("site={site},ro"), format!("identity={identity},ro")];
        let guest = service("https", &["--disk", &disks[0], "--disk", &disks[1]], 443);
        let root = authorities.root();
        let reply = Reply::of_curl(&["--cacert", &root, "https://10.0.0.2/"]);
        assert!(reply.status == 200 && reply.body == b"<h1>Home</h1>\n", "{}", reply.text());
        end(guest);
    });
}

fn cron_job_fetches_a_file() {
    in_namespace(|| {
        let directory = files::directory();
        let image = files::fat_image(directory.path(), 32 << 20, &[]);
        network::make_tap_with_address("tap0");
        let body = noise(8, 300_000);
        let _server = WebServer::start(([10, 0, 0, 1], 80), &[("/data.bin", web::Reply::ok(&body))]);
        Run::hosted("cron-job")
            .option("--net", "tap0")
            .option("--disk", &image)
            .args(["--ip", "10.0.0.2/24", "http://10.0.0.1/data.bin"])
            .deadline(Duration::from_secs(120))
            .finish()
            .status(0)
            .quietly();
        let copy = directory.path().join("copy");
        let _ =
            call("mcopy", &["-i", &image.display().to_string(), "::data.bin", &copy.display().to_string()]);
        assert!(std::fs::read(copy).expect("the file") == body);
    });
}
