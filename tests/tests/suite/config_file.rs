//! `--config` and `--print-config`, and the files of the examples.

use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use ukvm_tests::certificates::{Authorities, GOOD, P256};
use ukvm_tests::files;
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::Run;
use ukvm_tests::site;
use ukvm_tests::suite::Need;
use ukvm_tests::web::{self, WebServer};
use xtask::image::{self, Format};

ukvm_tests::tests! {
    a_file_runs_a_guest;
    the_command_line_wins;
    what_is_printed_can_be_fed_back;
    what_is_wrong_in_a_file;
    the_files_of_the_examples_run .needs(&[Need::Network, Need::Program("openssl")]).not_in_rig("the sources are not there");
}

/// A directory with the guest `status`, and a file for it.
fn directory(text: &str) -> (TempDir, PathBuf) {
    let directory = files::directory();
    symlink(ukvm_tests::artifacts::guest("status"), directory.path().join("status.elf")).expect("a link");
    let file = files::file(directory.path(), "vm.toml", text.as_bytes());
    (directory, file)
}

const STATUS: &str = "program = \"status.elf\"\nargs = [\"3\", \"print\"]\nreport = \"r.json\"\n";

fn with(file: &Path) -> Run {
    Run::bare().option("--config", file)
}

fn a_file_runs_a_guest() {
    let (directory, file) = directory(STATUS);
    let _ = with(&file).finish().status(3).prints("the last words").quietly();
    assert!(directory.path().join("r.json").exists());
    // By a path that is relative itself.
    let run = with(Path::new("vm.toml")).current_directory(directory.path());
    let _ = run.finish().status(3).quietly();
}

fn the_command_line_wins() {
    let (directory, file) = directory(STATUS);
    let _ = with(&file).options(["status.elf", "4"]).current_directory(directory.path()).finish().status(4);
    fs::remove_file(directory.path().join("r.json")).expect("a report");
    let other = directory.path().join("other.json");
    let _ = with(&file).option("--report", &other).finish().status(3);
    assert!(other.exists() && !directory.path().join("r.json").exists());
    let environment = files::file(directory.path(), "env.toml", b"env = [\"A=1\", \"B=1\"]\n");
    let run =
        with(&environment).options(["--env", "B=2"]).options([ukvm_tests::artifacts::guest("environment")]);
    let text = run.finish().status(0).text();
    assert!(text.contains("A=Some(\"1\")") && text.contains("B=Some(\"2\")"), "{text}");
}

fn what_is_printed_can_be_fed_back() {
    let (directory, file) = directory(STATUS);
    let printed =
        with(&file).options(["--print-config", "--env", "A=\"1\""]).finish().status(0).quietly().output;
    assert!(!directory.path().join("r.json").exists(), "it ran");
    // From anywhere.
    let elsewhere = files::directory();
    let again = files::file(elsewhere.path(), "again.toml", &printed);
    assert!(with(&again).options(["--print-config"]).finish().status(0).output == printed);
    let _ = with(&again).finish().status(3).prints("the last words");
    assert!(directory.path().join("r.json").exists());
    let text = String::from_utf8(printed).expect("text");
    for line in ["grace = \"5s\"", "console = \"stdio\"", "args = [\"3\", \"print\"]", "env = ['A=\"1\"']"] {
        assert!(text.lines().any(|printed| printed == line), "no {line} in\n{text}");
    }
}

fn what_is_wrong_in_a_file() {
    let refused = |text: &str, words: &[&str]| {
        let (_directory, file) = directory(text);
        let _ = with(&file).finish().refuses(64, words);
    };
    refused("program = \"status.elf\"\nmemory = 1\n", &["vm.toml, line 2: ", "memory", "did you mean mem"]);
    refused("program = \"status.elf\"\nmem = \"much\"\n", &["vm.toml: --mem: 'much'"]);
    refused("program = \"status.elf\"\nmem\n", &["vm.toml, line 2: "]);
    refused("mem = 1\n", &["vm.toml", "program"]);
    let _ = with(Path::new("/nowhere/vm.toml")).finish().refuses(66, &["--config", "/nowhere/vm.toml"]);
    let (_directory, file) = directory("program = \"none.elf\"\n");
    let _ = with(&file).finish().refuses(66, &["none.elf"]);
}

/// A tree as the repository's with built guests, and the file of an example in its place.
fn tree(example: &str) -> (TempDir, PathBuf) {
    let directory = files::directory();
    let (target, place) =
        (directory.path().join("target"), directory.path().join("guest-runtime/examples").join(example));
    for path in [&target, &place] {
        fs::create_dir_all(path).expect("a directory");
    }
    let built = ukvm_tests::artifacts::guest("hello");
    symlink(built.parent().expect("a directory"), target.join("guests")).expect("a link");
    let file = place.join("vm.toml");
    let source = xtask::cargo::root().join("guest-runtime/examples").join(example).join("vm.toml");
    let _ = fs::copy(source, &file).expect("the example's file");
    (directory, file)
}

fn the_files_of_the_examples_run() {
    let (_tree, file) = tree("hello");
    let _ = with(&file).finish().status(0).prints("hello, world\n").quietly();

    let (place, file) = tree("blkcopy");
    let target = place.path().join("target");
    let content = files::noise(5, 1 << 20);
    let _ = files::file(&target, "source.img", &content);
    let copy = files::sparse(&target, "target.img", 1 << 20);
    let _ = with(&file).finish().status(0).quietly();
    assert!(fs::read(copy).expect("the copy") == content);

    let (place, file) = tree("auth-service");
    let users = place.path().join("users");
    fs::create_dir(&users).expect("a directory");
    let _ = files::file(&users, "alice", b"wonderland\n");
    image::create(&users, &place.path().join("target/users.img"), Format::Fat(None), None).expect("an image");
    serves(&file, "auth-service: at 10.0.0.2 port 80");

    let (place, file) = tree("static-site");
    image::create(
        &xtask::cargo::root().join("docs"),
        &place.path().join("target/site.img"),
        Format::Tar,
        None,
    )
    .expect("an image");
    serves(&file, "10.0.0.2 port 80");

    let (_tree, file) = tree("echo");
    serves(&file, "10.0.0.2");

    let (place, file) = tree("kv-server");
    let _ = files::sparse(&place.path().join("target"), "data.img", 16 << 20);
    serves(&file, "10.0.0.2");

    let (place, file) = tree("https");
    let target = place.path().join("target");
    let authorities = Authorities::new();
    let issued = authorities.issue("server", P256, GOOD);
    site_of(&target.join("site.img"), &[("index.html", b"home")]);
    let [certificate, key] = issued.read();
    site_of(&target.join("identity.img"), &[("certificate.pem", &certificate), ("key.pem", &key)]);
    serves(&file, "10.0.0.2 port 443");

    let (place, file) = tree("cron-job");
    let empty = place.path().join("empty");
    fs::create_dir(&empty).expect("a directory");
    let size = Some(64 << 20);
    image::create(&empty, &place.path().join("target/data.img"), Format::Fat(size), None).expect("an image");
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let _server = WebServer::start(([10, 0, 0, 1], 80), &[("/data.csv", web::Reply::ok(b"1,2,3\n"))]);
        let ended = with(&file).finish().status(0).quietly();
        assert!(ended.text().contains("6 bytes"), "{}", ended.text());
    });

    let examples = fs::read_dir(xtask::cargo::root().join("guest-runtime/examples")).expect("the examples");
    assert_eq!(examples.count(), 8, "an example that is not run here");
}

/// An archive of these files.
fn site_of(image: &Path, content: &[(&str, &[u8])]) {
    let directory = files::directory();
    site::tree(directory.path(), content);
    image::create(directory.path(), image, Format::Tar, None).expect("an image");
}

/// Runs a service until it says so, and ends it.
fn serves(file: &Path, ready: &str) {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let guest = with(file).start();
        guest.wait_for(ready);
        guest.signal(Signal::SIGTERM);
        let _ = guest.wait().status(0).quietly();
    });
}
