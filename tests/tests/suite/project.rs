//! A project of one's own, made from the template outside of the repository: built, run and tested as its owner does it.
//!
//! The crates that a guest needs are those of this repository's lock file, which its own guests were built with: nothing is fetched.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ukvm_tests::artifacts::artifacts;
use ukvm_tests::client::Reply;
use ukvm_tests::files;
use ukvm_tests::network::in_namespace;
use ukvm_tests::suite::{Need, patience};
use xtask::project::{Name, Tools, create};

ukvm_tests::tests! {
    a_new_project_answers_and_is_tested
        .needs(&[Need::Network, Need::Program("curl")]).not_in_rig("there is no compiler");
    the_template_has_the_flags_of_the_guests .not_in_rig("the sources are not there");
    cargo_generate_knows_every_placeholder .not_in_rig("the sources are not there");
    a_project_is_not_made_over_something .not_in_rig("there is no compiler");
}

/// How long a first build may take: on a quiet machine with two processors it is a small part of that, but it compiles some hundred crates.
const FIRST_BUILD: Duration = Duration::from_secs(600);
/// How long it may take from an edit to an answer, which is a second or two: less than a build that compiles more than the project would.
const REBUILD: Duration = Duration::from_secs(20);

/// A project, and the directory that goes with it.
struct Project {
    path: PathBuf,
    _around: TempDir,
}

impl Project {
    fn new() -> Self {
        let around = files::directory();
        let path = around.path().join("some-service");
        let tools = Tools { monitor: artifacts().monitor.clone(), runner: artifacts().runner.clone() };
        create(&path, &Name::check("some-service").expect("a name"), &tools).expect("a project");
        Self { path, _around: around }
    }

    /// Cargo in it, without a way to the registry.
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = xtask::cargo::command(&self.path);
        command.args(arguments).args(["--offline", "--quiet"]);
        command
    }

    /// Replaces a piece of one of its files.
    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.path.join(file);
        let text = std::fs::read_to_string(&path).expect("a file of the template");
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).expect("a file that can be written");
    }

    fn test(&self, arguments: &[&str]) -> Output {
        // The harness' arguments come behind those of cargo.
        let mut command = self.cargo(&["test"]);
        command.arg("--").args(arguments).output().expect("cargo")
    }
}

/// A service under `cargo run`. Killed when it is dropped.
struct Service {
    child: Child,
    url: String,
}

impl Service {
    /// Starts it and waits for the line that says where it is.
    fn start(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("cargo");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut before = Vec::new();
        let place = lines.find_map(|line| {
            let url = line.strip_suffix(" → port 80 of the guest").map(str::to_owned);
            before.push(line);
            url
        });
        // What comes later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: place.unwrap_or_else(|| panic!("{before:#?}")) }
    }

    fn get(&self, path: &str) -> String {
        Reply::of_curl(&[&format!("{}{path}", self.url)]).text()
    }

    /// Ends it as a person does, and gives its status.
    fn stop(mut self) -> Option<i32> {
        // Cargo has become the runner.
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT)
            .expect("it has not been waited for");
        self.child.wait().expect("it is our child").code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail where it was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn a_new_project_answers_and_is_tested() {
    let project = Project::new();
    in_namespace(|| {
        let started = Instant::now();
        let service = Service::start(project.cargo(&["run"]));
        assert_eq!(service.get("you"), "hello, you\n");
        let first = started.elapsed();
        assert_eq!(service.stop(), Some(0));

        project.edit("src/lib.rs", "hello, {name}", "good day, {name}");
        let started = Instant::now();
        let service = Service::start(project.cargo(&["run"]));
        assert_eq!(service.get("you"), "good day, you\n");
        let second = started.elapsed();
        assert_eq!(service.stop(), Some(0));
        println!("new project to answer: {first:.1?}; edit to answer: {second:.1?}");
        assert!(first < patience(FIRST_BUILD) && second < patience(REBUILD), "{first:?}, {second:?}");

        // Arguments are the program's, and what is wrong with them its own affair.
        let refused = project.cargo(&["run", "--", "--no-such-option"]).output().expect("cargo");
        assert_eq!(refused.status.code(), Some(64));
        let said = String::from_utf8_lossy(&refused.stdout);
        assert!(said.contains("some-service: `--no-such-option` is not known here"), "{said}");
    });
    tests_see_the_edit(&project);
    a_release_is_a_guest_as_well(&project);
}

/// The tests of the template, of which the edit has broken one.
fn tests_see_the_edit(project: &Project) {
    let output = project.test(&[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(101), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("test there_is_a_network      ... ok\n"), "{text}");
    assert!(text.contains("test whoever_asks_is_greeted ... FAILED\n"), "{text}");
    assert!(text.contains("ukvm-run: guest panic: tests/greeting.rs:"), "{text}");
    assert!(text.contains("test result: FAILED. 2 passed; 1 failed; 0 ignored; "), "{text}");
    project.edit("src/lib.rs", "good day, {name}", "hello, {name}");
    let results = project.path.join("results.xml");
    let output = project.test(&["--junit", results.to_str().expect("a path in UTF-8")]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let text = std::fs::read_to_string(results).expect("the results");
    assert!(text.contains("<testsuite name=\"greeting\" tests=\"3\" failures=\"0\""), "{text}");
}

fn a_release_is_a_guest_as_well(project: &Project) {
    in_namespace(|| {
        let service = Service::start(project.cargo(&["run", "--release"]));
        assert_eq!(service.get(""), "hello\n");
        assert_eq!(service.stop(), Some(0));
    });
    let output = project.cargo(&["test", "--release"]).output().expect("cargo");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("test result: ok. 3 passed; "),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A file of the repository.
fn read(name: &str) -> String {
    std::fs::read_to_string(xtask::cargo::root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn the_template_has_the_flags_of_the_guests() {
    let flags = |text: &str| -> Vec<String> {
        let list = text.split("rustflags = [").nth(1).and_then(|rest| rest.split("\n]").next());
        let lines = list.expect("flags").lines().map(|line| line.trim().trim_end_matches(',').to_owned());
        lines.filter(|line| line.starts_with('"')).collect()
    };
    let mut guests = flags(&read("guest-runtime/.cargo/config.toml"));
    guests.push("\"-Cpanic=abort\"".into());
    assert_eq!(flags(&read("guest-runtime/template/.cargo/config.toml")), guests);
}

fn cargo_generate_knows_every_placeholder() {
    let known = read("guest-runtime/template/cargo-generate.toml");
    let project = Project::new();
    let mut files = vec![xtask::cargo::root().join("guest-runtime/template")];
    let mut found = std::collections::BTreeSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(
                std::fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path()),
            );
            continue;
        }
        let text = std::fs::read_to_string(path).expect("text");
        found.extend(text.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.to_owned())));
    }
    // The first two are cargo-generate's own.
    for name in found.iter().filter(|name| !["project-name", "crate_name"].contains(&name.as_str())) {
        assert!(known.contains(&format!("[placeholders.{name}]")), "{name}");
    }
    assert_eq!(found.len(), 5, "{found:?}");
    for file in
        ["Cargo.toml", ".cargo/config.toml", "src/main.rs", "src/lib.rs", "tests/greeting.rs", "README.md"]
    {
        let text = std::fs::read_to_string(project.path.join(file)).expect("a file of the project");
        assert!(!text.contains("{{") && !text.contains("}}"), "{file}: {text}");
    }
    assert!(!project.path.join("cargo-generate.toml").exists());
}

fn a_project_is_not_made_over_something() {
    let directory = files::directory();
    let new = |words: &[&str]| {
        let words: Vec<_> = words.iter().map(|word| (*word).into()).collect();
        xtask::project::run(&words).expect_err("it is refused").to_string()
    };
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::create_dir(directory.path().join("there")).expect("a directory");
    assert!(new(&[&path("there")]).ends_with("is there already; name a directory that is not"));
    assert!(new(&[&path("9lives")]).contains("'9lives' cannot be the name of a package: add --name NAME"));
    for name in ["core", "fn", "a b", "", "ä"] {
        assert!(new(&[&path("new"), "--name", name]).contains("cannot be the name of a package"), "{name}");
    }
    for words in [&[][..], &["--fast"], &["a", "b"]] {
        assert!(new(words).starts_with("Usage: "), "{words:?}");
    }
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("a directory").collect();
    assert_eq!(left.len(), 1, "nothing is left of a refusal: {left:?}");
    assert!(!Path::new("a").exists());
}
