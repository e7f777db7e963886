//! What cannot be measured at all is told at once, in a sentence with an exit status.

use crate::{bench, bench_in, refused};
use std::os::unix::fs::symlink;
use std::path::Path;
use ukvm_tests::files;
use ukvm_tests::suite::Need;
use ukvm_tests::user::{Devices, NOBODY, in_private_mounts};

ukvm_tests::tests! {
    zero_runs;
    an_unwritable_result_before_anything_is_measured;
    a_result_where_the_user_may_not_write .needs(&[Need::Root]);
    one_file_for_two_results;
    a_directory_that_takes_no_disk;
    programs_that_are_not_there;
    a_kvm_that_the_user_may_not_use .needs(&[Need::Root]);
}

/// The commands, each with what it cannot do without.
const COMMANDS: [&[&str]; 6] =
    [&["boot", "HELLO"], &["churn", "HELLO"], &["memory", "HELLO"], &["compute"], &["io"], &["all"]];

/// The words of a command.
fn words(command: &[&str]) -> Vec<String> {
    let word = |word: &&str| if *word == "HELLO" { crate::program("hello.elf") } else { (*word).to_owned() };
    command.iter().map(word).collect()
}

fn zero_runs() {
    for command in COMMANDS {
        refused(
            bench(words(command)).options(["--runs", "0"]).finish(),
            64,
            &["--runs: `0` is not a number from 1 to"],
        );
    }
}

fn an_unwritable_result_before_anything_is_measured() {
    for command in COMMANDS {
        refused(
            bench(words(command)).options(["--json", "/nowhere/a.json"]).finish(),
            66,
            &["/nowhere/a.json cannot be written", "name a file in a directory that exists"],
        );
    }
    let directory = files::directory();
    let json = directory.path().join("a.json");
    for (command, option) in [(COMMANDS[0], "--svg"), (COMMANDS[5], "--html"), (COMMANDS[5], "--markdown")] {
        let run = bench(words(command)).current_directory(directory.path()).option("--json", &json);
        refused(run.option(option, "/").finish(), 74, &["/ cannot be written"]);
    }
}

fn a_result_where_the_user_may_not_write() {
    in_private_mounts(Devices::Open, |mounts| {
        for (command, option) in [("boot", "--svg"), ("memory", "--json"), ("all", "--html")] {
            let run = bench_in(mounts.guests(), [command]).current_directory(&mounts.scratch).user(NOBODY);
            let run = if command == "all" { run } else { run.options([mounts.guest("hello")]) };
            refused(run.option(option, "/result").finish(), 77, &["/result cannot be written"]);
        }
    });
}

fn one_file_for_two_results() {
    let directory = files::directory();
    let run = bench(["all", "--json", "a", "--markdown", "./a"]).current_directory(directory.path());
    refused(run.finish(), 64, &["a is named for two results; name a file for each"]);
}

fn a_directory_that_takes_no_disk() {
    let directory = files::directory();
    for command in ["io", "all"] {
        let run = bench([command, "--directory", "/nowhere"]).current_directory(directory.path());
        refused(run.finish(), 66, &["/nowhere/ukvm-bench-", "cannot be written"]);
    }
}

fn programs_that_are_not_there() {
    let hello = crate::program("hello.elf");
    refused(bench(["boot", "/nowhere/a.elf"]).finish(), 66, &["no file /nowhere/a.elf; name a unikernel"]);
    refused(bench(["boot", &hello, "--ukvm-run", "/nowhere/m"]).finish(), 66, &["--ukvm-run", "/nowhere/m"]);
    refused(bench(["churn", &hello, "--floor", "/nowhere/f"]).finish(), 66, &["--floor", "/nowhere/f"]);
    refused(bench(["boot", &hello, "--compare", ""]).finish(), 64, &["--compare names no command"]);
    // With nothing but the monitor in the directory.
    let directory = files::directory();
    let monitor = crate::program("ukvm-run");
    symlink(Path::new(&monitor), directory.path().join("ukvm-run")).expect("a link");
    for (command, missing) in [("compute", "compute.elf"), ("io", "io.elf"), ("all", "hello.elf")] {
        let run = bench([command]).option("--programs", directory.path()).current_directory(directory.path());
        refused(run.finish(), 66, &[missing, "name it with --programs, or use cargo xtask bench"]);
    }
}

fn a_kvm_that_the_user_may_not_use() {
    in_private_mounts(Devices::Closed, |mounts| {
        let run = bench_in(mounts.guests(), ["all"]).current_directory(&mounts.scratch).user(NOBODY);
        refused(run.finish(), 69, &["/dev/kvm cannot be opened", "as a user who may use it"]);
    });
}
