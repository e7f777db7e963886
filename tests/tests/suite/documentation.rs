//! The documentation: what it links to is there, what it shows works.

use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use ukvm_tests::files;
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::{Run, SOON};
use ukvm_tests::suite::{Need, patience};

ukvm_tests::tests! {
    links_lead_somewhere .not_in_rig("the sources are not there");
    the_table_of_options_is_that_of_the_help .not_in_rig("the sources are not there");
    the_guest_in_c_runs .needs(&[Need::Program("cc")]).not_in_rig("the sources are not there");
    the_first_program_is_that_of_the_guests .not_in_rig("the sources are not there");
    the_first_program_answers .needs(&[Need::Network]);
}

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    xtask::cargo::root().join(name)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages for people: those at the top, in `docs`, and beside the examples.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut directories: Vec<_> = ["", "docs", "docs/decisions", "guest-runtime"].map(path).into();
    let examples = fs::read_dir(path("guest-runtime/examples")).expect("the examples");
    directories.extend(examples.map(|entry| entry.expect("an example").path()));
    for directory in directories {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let file = entry.expect("a file").path();
            if file.extension().is_some_and(|extension| extension == "md") {
                pages.push(file);
            }
        }
    }
    pages
}

/// The page without blocks of code.
fn prose(text: &str) -> String {
    text.split("\n```").step_by(2).collect()
}

/// The name under which a heading is linked to, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            _ if letter.is_alphanumeric() || matches!(letter, '-' | '_') => Some(letter),
            _ => None,
        })
        .collect()
}

fn links_lead_somewhere() {
    let (mut links, mut broken) = (0, Vec::new());
    for page in pages() {
        let text = prose(&read(&page));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file =
                if file.is_empty() { page.clone() } else { page.parent().expect("a directory").join(file) };
            let found = file.exists()
                && (heading.is_empty()
                    || prose(&read(&file))
                        .lines()
                        .any(|line| line.starts_with('#') && anchor(line) == heading));
            if !found {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(links > 50, "{links}");
}

fn the_table_of_options_is_that_of_the_help() {
    let help = Run::bare().options(["--help"]).finish().status(0).text();
    let in_help: BTreeSet<&str> = help
        .lines()
        .take_while(|line| *line != "Examples:")
        .filter_map(|line| line.trim_start().split([' ', ',']).next())
        .filter(|word| word.starts_with('-'))
        .collect();
    let readme = read(&path("README.md"));
    let in_table: BTreeSet<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(['`', ' ']).next())
        .filter(|word| word.starts_with('-'))
        .collect();
    assert_eq!(in_table, in_help);
    assert!(in_help.len() > 10, "{in_help:?}");
}

fn the_guest_in_c_runs() {
    let source = path("docs/hello.c");
    let text = read(&source);
    // The command stands in the file's first comment.
    let command =
        text.split("cc ").nth(1).and_then(|rest| rest.split("docs/hello.c").next()).expect("a command");
    let flags = command.split_whitespace().filter(|word| !matches!(*word, "\\" | "*"));
    let directory = files::directory();
    let guest = directory.path().join("hello.elf");
    let built =
        Command::new("cc").args(flags).arg(&source).arg("-o").arg(&guest).output().expect("a compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let _ = Run::elf(guest).finish().status(7).prints("hello from C\n").quietly();
}

fn the_first_program_is_that_of_the_guests() {
    let readme = read(&path("README.md"));
    let shown =
        readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program");
    let built = read(&path("tests/guests/src/bin/first-program.rs"));
    assert!(built.ends_with(shown), "README.md and first-program.rs differ:\n{shown}");
}

fn the_first_program_answers() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let run = Run::guest("first-program").option("--net", "tap0").args(["--ip", "10.0.0.2/24"]);
        let guest = run.start();
        guest.wait_for("ready\n");
        let mut stream = TcpStream::connect("10.0.0.2:7").expect("a connection");
        stream.set_read_timeout(Some(patience(SOON))).expect("a time limit");
        for round in 0..100_u8 {
            let sent = [round; 1500];
            stream.write_all(&sent).expect("a write");
            let mut received = [0; 1500];
            stream.read_exact(&mut received).expect("an answer");
            assert_eq!(sent, received);
        }
        guest.signal(Signal::SIGINT);
        let text = guest.wait().status(130).text();
        assert!(text.starts_with("ready\nhello, 10.0.0.1:"), "{text}");
    });
}
