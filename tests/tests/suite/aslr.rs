//! Where a guest is loaded.

use std::collections::HashSet;
use ukvm_tests::run::Run;

ukvm_tests::tests! {
    each_start_has_its_own_addresses;
    no_aslr_has_the_same_addresses_each_time;
    a_seed_gives_its_addresses_again;
    the_seed_that_is_reported_gives_the_addresses_again;
    the_fault_report_has_the_addresses_of_the_seed;
}

/// The lines of the boot guest that name addresses.
fn addresses(options: &[&str]) -> String {
    let ended = Run::guest("boot").options(options).finish().status(0);
    let text = ended.text();
    let is_address =
        |line: &&str| ["image ", "bias ", "stack ", "heap "].iter().any(|name| line.starts_with(name));
    let lines: Vec<&str> = text.lines().filter(is_address).collect();
    assert_eq!(lines.len(), 4, "{text}");
    lines.join("\n")
}

fn each_start_has_its_own_addresses() {
    let runs: Vec<String> = (0..8).map(|_| addresses(&[])).collect();
    for line in 0..4 {
        let different: HashSet<&str> = runs.iter().filter_map(|run| run.lines().nth(line)).collect();
        assert!(different.len() >= 7, "{different:?}");
    }
    // Neither the load address in guest memory nor the slide alone: they differ in their low and in their high bits.
    let bits = |shift: u32, mask: u64| -> HashSet<u64> {
        let address = |run: &String| {
            let line = run.lines().next().unwrap_or_default();
            u64::from_str_radix(line.trim_start_matches("image 0x"), 16).unwrap_or_default()
        };
        runs.iter().map(|run| address(run) >> shift & mask).collect()
    };
    assert!(bits(12, 0x1ff).len() >= 6, "the page within 2 MiB is not random");
    assert!(bits(21, u64::MAX).len() >= 7, "the slide is not random");
}

fn no_aslr_has_the_same_addresses_each_time() {
    let first = addresses(&["--no-aslr"]);
    assert!((0..3).all(|_| addresses(&["--no-aslr"]) == first));
}

fn a_seed_gives_its_addresses_again() {
    let first = addresses(&["--aslr-seed", "1234abcd"]);
    assert_eq!(addresses(&["--aslr-seed", "0x1234abcd"]), first);
    assert_ne!(addresses(&["--aslr-seed", "1234abce"]), first);
}

fn the_seed_that_is_reported_gives_the_addresses_again() {
    let directory = ukvm_tests::files::directory();
    let report = directory.path().join("report.json");
    let name = report.to_str().expect("a path in UTF-8");
    let first = addresses(&["--report", name]);
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&report).expect("a report")).expect("JSON");
    let seed = report["placement"]["seed"].as_str().expect("a seed");
    assert_eq!(addresses(&["--aslr-seed", seed]), first);
}

fn the_fault_report_has_the_addresses_of_the_seed() {
    let report = |options: &[&str]| {
        let ended = Run::guest("divide-by-zero").options(options).finish().status(139);
        let line = ended.errors.lines().find(|line| line.trim_start().starts_with("at ")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("no place in {}", ended.errors))
    };
    assert_eq!(report(&["--aslr-seed", "77"]), report(&["--aslr-seed", "77"]));
    assert_eq!(report(&["--no-aslr"]), report(&["--no-aslr"]));
    assert_ne!(report(&["--aslr-seed", "77"]), report(&["--aslr-seed", "78"]));
}
