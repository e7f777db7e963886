//! `ukvm-runner`, as cargo starts it for a program of tests: the guest `checks`, whose tests end in every way.

use quick_xml::events::Event;
use std::collections::BTreeMap;
use std::time::Duration;
use ukvm_tests::artifacts::{artifacts, guest};
use ukvm_tests::files;
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::{Finished, Run};
use ukvm_tests::suite::{Need, patience};

ukvm_tests::tests! {
    each_test_ends_in_its_own_way .needs(&[Need::Network]);
    what_has_failed_shows_why .needs(&[Need::Network]);
    one_that_hangs_is_ended .needs(&[Need::Network]);
    tests_are_listed_without_a_guest;
    tests_are_selected_as_libtest_does .needs(&[Need::Network]);
    output_is_shown_as_it_comes .needs(&[Need::Network]);
    networks_are_apart .needs(&[Need::Network]);
    results_are_written_as_junit .needs(&[Need::Network]);
    the_files_options_hold .needs(&[Need::Network]);
    tests_with_a_tap_wait_for_each_other .needs(&[Need::Network]);
    by_hand_it_says_how_it_is_run .needs(&[Need::Network]);
}

/// How long a test may take.
fn limit() -> String {
    format!("{}s", patience(Duration::from_secs(1)).as_secs())
}

/// The harness with these arguments.
fn harness(arguments: &[&str]) -> Finished {
    Run::guest("checks").runner().option("--test-timeout", limit()).args(arguments).finish()
}

/// The names in lines such as `test name ... ok`, by what stands behind.
fn results(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut results: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let lines = text.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    for (name, result) in lines {
        results.entry(result.to_owned()).or_default().push(name.trim().to_owned());
    }
    results.values_mut().for_each(|names| names.sort());
    results
}

fn each_test_ends_in_its_own_way() {
    let finished = harness(&[]).status(101);
    let text = finished.text();
    let passed = [
        "network::another_reaches_the_host",
        "network::one_reaches_the_host",
        "panics_as_it_should",
        "panics_with_words",
        "passes",
        "passes_with_a_result",
    ];
    let failed = [
        "ends_with_a_status",
        "fails_with_a_result",
        "faults",
        "hangs",
        "panics",
        "panics_with_other_words",
        "should_panic_and_does_not",
    ];
    let results = results(&text);
    assert_eq!(results["ok"], passed, "{text}");
    assert_eq!(results["FAILED"], failed, "{text}");
    assert_eq!(results["ignored"], ["is_ignored"], "{text}");
    assert_eq!(results["ignored (takes long)"], ["is_ignored_with_a_reason"], "{text}");
    assert!(text.starts_with("\nrunning 15 tests\n"), "{text}");
    let summary =
        "test result: FAILED. 6 passed; 7 failed; 2 ignored; 0 measured; 0 filtered out; finished in ";
    assert!(text.contains(summary), "{text}");
    // Those that failed once more at the end, by name.
    let end = text.rsplit("failures:\n").next().unwrap_or_default();
    let listed: Vec<&str> = end.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(failed.iter().all(|name| listed.contains(name)) && listed.len() == 7, "{text}");
}

/// What the harness says of a test that failed.
fn account(text: &str, name: &str) -> String {
    let rest = text.split(&format!("---- {name} ----\n")).nth(1).unwrap_or_else(|| panic!("{name}: {text}"));
    rest.split("\n\n").next().unwrap_or_default().to_owned()
}

fn what_has_failed_shows_why() {
    let text = harness(&["--skip", "hangs"]).status(101).text();
    let panics = account(&text, "panics");
    assert!(panics.starts_with("a line before\nukvm-run: guest panic: "), "{panics}");
    assert!(panics.contains("checks.rs:") && panics.contains("sums\n"), "{panics}");
    assert!(panics.ends_with("right: 3\nit panicked"), "{panics}");
    let faults = account(&text, "faults");
    assert!(faults.starts_with("before the fault\nukvm-run: "), "{faults}");
    assert!(faults.contains("rip") && faults.contains("it did what a guest may not"), "{text}");
    let of = |name| account(&text, name);
    assert_eq!(of("fails_with_a_result"), "error: the reason\nit ended with status 1");
    assert_eq!(of("ends_with_a_status"), "it ended with status 7");
    assert!(of("panics_with_other_words").ends_with("it panicked, but not with 'checks.rs'"));
    assert_eq!(of("should_panic_and_does_not"), "it should have panicked, and did not");
}

fn one_that_hangs_is_ended() {
    let text = harness(&["--exact", "hangs"]).status(101).text();
    let account = account(&text, "hangs");
    assert!(account.contains("--timeout") && account.ends_with("it did not end in time"), "{account}");
}

fn tests_are_listed_without_a_guest() {
    let list = |arguments: &[&str]| {
        let run = Run::guest("checks").monitor(&artifacts().runner).option("--monitor", "/nowhere");
        run.args(arguments).finish().status(0).quietly().text()
    };
    let all = list(&["--list"]);
    let names: Vec<&str> = all.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    assert_eq!(names.len(), 15, "{all}");
    assert!(names.is_sorted() && names.contains(&"network::one_reaches_the_host"), "{all}");
    assert_eq!(list(&["--list", "--ignored"]), "is_ignored: test\nis_ignored_with_a_reason: test\n");
    // As other harnesses call it.
    assert_eq!(
        list(&["--list", "passes", "--format", "terse"]),
        "passes: test\npasses_with_a_result: test\n"
    );
}

fn tests_are_selected_as_libtest_does() {
    let passed = |arguments: &[&str], expected: &[&str], summary: &str| {
        let text = harness(arguments).status(0).text();
        assert_eq!(results(&text).get("ok").map_or(&[][..], Vec::as_slice), expected, "{text}");
        assert!(text.contains(summary), "{text}");
    };
    passed(
        &["passes"],
        &["passes", "passes_with_a_result"],
        "ok. 2 passed; 0 failed; 0 ignored; 0 measured; 13 ",
    );
    passed(&["--exact", "passes"], &["passes"], "ok. 1 passed; ");
    passed(&["--ignored"], &["is_ignored", "is_ignored_with_a_reason"], "ok. 2 passed; ");
    passed(
        &["is_ignored", "--include-ignored"],
        &["is_ignored", "is_ignored_with_a_reason"],
        "ok. 2 passed; ",
    );
    passed(&["passes", "--skip", "result", "--test-threads", "1"], &["passes"], "ok. 1 passed; ");
    passed(&["no such test"], &[], "ok. 0 passed; ");
    let _ = harness(&["--no-such-option"]).status(2).says(&["--no-such-option"]);
    assert!(harness(&["--help"]).status(0).text().contains("--junit"));
}

fn output_is_shown_as_it_comes() {
    let printed = "what a test that passes prints\n";
    assert!(!harness(&["--exact", "passes"]).status(0).text().contains(printed));
    for option in ["--nocapture", "--no-capture"] {
        let text = harness(&["--exact", "passes", option, "--test-threads", "1"]).status(0).text();
        assert!(text.contains(printed), "{text}");
    }
    let text = harness(&["--exact", "panics", "--nocapture"]).status(101).text();
    assert_eq!(text.matches("a line before\n").count(), 1, "{text}");
}

/// Both have the same address at the same time.
fn networks_are_apart() {
    let text = harness(&["reaches_the_host", "--test-threads", "2"]).status(0).text();
    assert!(text.contains("ok. 2 passed; "), "{text}");
}

fn results_are_written_as_junit() {
    let directory = files::directory();
    let file = directory.path().join("results.xml");
    let path = file.to_str().expect("a path in UTF-8");
    let _ = harness(&["--skip", "hangs", "--junit", path]).status(101);
    let text = std::fs::read_to_string(&file).expect("the results");
    let (mut counts, mut names, mut suite) = (BTreeMap::<String, u32>::new(), Vec::new(), None);
    let mut reader = quick_xml::Reader::from_str(&text);
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Start(element) | Event::Empty(element) => {
                let tag = String::from_utf8_lossy(element.name().as_ref()).into_owned();
                *counts.entry(tag.clone()).or_default() += 1;
                let attribute = |name: &str| {
                    let value =
                        element.try_get_attribute(name).expect("an attribute").expect("one of the name");
                    String::from_utf8_lossy(&value.value).into_owned()
                };
                match tag.as_str() {
                    "testcase" => names.push(attribute("name")),
                    "testsuite" => {
                        let totals = ["tests", "failures", "skipped", "name"].map(attribute);
                        suite = Some(totals);
                    }
                    _ => {}
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(suite, Some(["14", "6", "2", "checks"].map(str::to_owned)), "{text}");
    let count = |tag: &str| counts.get(tag).copied().unwrap_or(0);
    assert_eq!((count("testcase"), count("failure"), count("skipped")), (14, 6, 2), "{text}");
    assert!(names.is_sorted() && names.contains(&"network::one_reaches_the_host".to_owned()), "{text}");
    assert!(text.contains("what a test that passes prints\n</system-out>"), "{text}");
    assert!(text.contains("<skipped message=\"takes long\"/>"), "{text}");

    let folder = directory.path().to_str().expect("a path in UTF-8");
    let _ = harness(&["--exact", "passes", "--junit", folder]).status(0);
    assert!(directory.path().join("checks.xml").is_file(), "a directory has a file for each target");
    let refused = harness(&["--exact", "passes", "--junit", "/nowhere/a.xml"]).status(66);
    let refused = refused.says(&["--junit: /nowhere/a.xml"]);
    assert_eq!(refused.text(), "", "it is said before the first test");
}

fn the_files_options_hold() {
    let package = files::directory();
    std::fs::create_dir(package.path().join("tests")).expect("a directory");
    // Neither a console nor a time limit of the file's may hide how a test ended.
    let options = format!("timeout = \"{}\"\nconsole = \"null\"\n", limit());
    std::fs::write(package.path().join("tests/checks.toml"), &options).expect("a file");
    std::fs::write(package.path().join("tests/more-checks.toml"), &options).expect("a file");
    std::fs::write(package.path().join("vm.toml"), "nonsense").expect("a file");
    // What cargo makes of a target `more-checks`.
    let with_a_dash = package.path().join("more_checks-0123456789abcdef");
    std::fs::copy(guest("checks"), &with_a_dash).expect("a copy");
    for run in [Run::guest("checks"), Run::elf(&with_a_dash)] {
        let run = run.runner().variable("CARGO_MANIFEST_DIR", package.path());
        let finished = run.args(["hangs"]).finish().status(101);
        let text = finished.text();
        assert!(account(&text, "hangs").ends_with("it did not end in time"), "{text}");
    }
    let run = Run::guest("checks").runner().variable("CARGO_MANIFEST_DIR", package.path());
    let _ = run.args(["--exact", "panics_with_words"]).finish().status(0);
}

/// One has it for a second, in which all others would find it taken.
fn tests_with_a_tap_wait_for_each_other() {
    let package = files::directory();
    std::fs::create_dir(package.path().join("tests")).expect("a directory");
    std::fs::write(package.path().join("tests/checks.toml"), "net = [\"tap7\"]\n").expect("a file");
    in_namespace(|| {
        network::make_tap_with_address("tap7");
        let run = Run::guest("checks").runner().option("--test-timeout", limit());
        let run = run.variable("CARGO_MANIFEST_DIR", package.path());
        let arguments = ["--skip", "reaches_the_host", "--test-threads", "4"];
        let text = run.args(arguments).finish().status(101).text();
        assert!(text.contains("test result: FAILED. 4 passed; 7 failed; 2 ignored; "), "{text}");
        assert!(account(&text, "hangs").ends_with("it did not end in time"), "{text}");
    });
}

fn by_hand_it_says_how_it_is_run() {
    let package = files::directory();
    let options = ["--net", "tap0"];
    let by_hand = |run: Run| {
        let run = run.current_directory(package.path());
        in_namespace(|| run.options(options).finish())
    };
    let text = by_hand(Run::guest("checks")).status(64).text();
    assert!(text.starts_with("error: this program has tests: run them by `cargo test`"), "{text}");
    assert!(text.contains("\n  network::one_reaches_the_host\n"), "{text}");
    let one = by_hand(Run::guest("checks").option("--env", "UKVM_TEST=passes"));
    let _ = one.status(0).prints("what a test that passes prints\n");
    let none = by_hand(Run::guest("checks").option("--env", "UKVM_TEST=passe"));
    let _ = none.status(64).prints("error: there is no test `passe` in this program\n");
}
