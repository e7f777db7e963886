//! `--mem`, and the second line of defence around a guest's memory.

use nix::sys::signal::Signal;
use std::fs::File;
use std::path::Path;
use ukvm_tests::artifacts::guest;
use ukvm_tests::files;
use ukvm_tests::run::{Finished, Run, Running};

ukvm_tests::tests! {
    sizes_in_every_form;
    sizes_that_are_none;
    more_memory_than_the_host_has;
    a_large_guest_costs_only_what_it_touches;
    a_large_program_is_not_read_before_it_is_touched;
    a_large_program_is_all_there;
    a_program_that_is_cut_down_is_a_fault_that_says_so;
}

fn sizes_in_every_form() {
    for (text, bytes) in [
        ("20M", 20_u64 << 20),
        ("20", 20 << 20),
        ("8204K", 8204 << 10),
        ("1G", 1 << 30),
        ("3g", 3 << 30),
        ("33m", 33 << 20),
    ] {
        let ended = Run::guest("boot").option("--mem", text).finish().status(0).quietly();
        assert!(ended.text().contains(&format!("memory {bytes}\n")), "{text}: {}", ended.text());
    }
}

fn sizes_that_are_none() {
    for text in ["", "0", "M", "x", "-1", "64MB", "1.5G", "0x10", "99999999999999999999G", "64 M"] {
        let option = format!("--mem={text}");
        let _ = Run::guest("status").options([option]).finish().refuses(64, &["--mem"]);
    }
    let _ = Run::guest("status").options(["--mem"]).finish().status(64);
}

fn more_memory_than_the_host_has() {
    let _ = Run::guest("status").option("--mem", "900000G").finish().refuses(78, &["--mem", "memory"]);
}

fn a_large_guest_costs_only_what_it_touches() {
    let directory = files::directory();
    let report = directory.path().join("report.json");
    let _ = Run::guest("status").option("--mem", "1G").option("--report", &report).finish().status(0);
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&report).expect("a report")).expect("JSON");
    assert_eq!(report["memory"]["guest"], 1_u64 << 30);
    let most = report["memory"]["monitor_rss_max"].as_u64().expect("a number");
    assert!(most < 16 << 20, "{most} bytes for a guest that does nothing");
}

fn a_large_program_is_not_read_before_it_is_touched() {
    // Memory of the process' own, while the guest waits for input: what is mapped belongs to the file.
    let own = |running: Running, text: &str| {
        running.wait_for(text);
        let sums = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", running.pid())).expect("sums");
        let line = sums.lines().find(|line| line.starts_with("Anonymous:")).expect("a line");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
        running.signal(Signal::SIGKILL);
        kib
    };
    let large = own(Run::guest("large-image").input_pipe().start(), "ready");
    let small = own(Run::guest("console-echo").args(["prompt"]).input_pipe().start(), "? ");
    assert!(large < small + 768, "{large} KiB, and {small} of a small program");
}

/// The program with the large table at a place of its own, told to do `what` once `change` was made to its file.
fn large(what: &[u8], change: impl FnOnce(&Path)) -> Finished {
    let directory = files::directory();
    let program = directory.path().join("program.elf");
    std::fs::copy(guest("large-image"), &program).expect("room for a copy");
    let mut running = Run::elf(&program).input_pipe().start();
    running.wait_for("ready");
    change(&program);
    running.send(what);
    running.wait()
}

/// The words of its table.
fn table() -> impl Iterator<Item = u64> {
    (0..(1 << 20) / 8).map(|i| 0x4141_4141_4141_4141 + i % 26 + ((i / 26 % 26) << 8))
}

fn a_large_program_is_all_there() {
    let sum = table().fold(0_u64, u64::wrapping_add);
    let _ = large(b"s", |_| ()).status(0).prints(&format!("ready\n{sum:016x}\n"));
    let half: Vec<u8> = table().skip((1 << 20) / 16).take(128).flat_map(u64::to_le_bytes).collect();
    let half = String::from_utf8(half).expect("letters");
    let _ = large(b"w", |_| ()).status(0).prints(&format!("ready\n{half} status 0 1024\n"));
    // Its file may go, and another may take its name.
    let _ = large(b"s", |program| std::fs::remove_file(program).expect("a file"))
        .status(0)
        .prints(&format!("ready\n{sum:016x}\n"));
    let _ = large(b"j", |_| ()).status(139).says(&["guest fault", "execute"]);
}

fn a_program_that_is_cut_down_is_a_fault_that_says_so() {
    let cut = |program: &Path| {
        let file = File::options().write(true).open(program).expect("a file");
        file.set_len(4096).expect("it becomes shorter");
    };
    let sentence = "guest fault: its program cannot be read any more: the file was truncated while in use";
    let _ = large(b"s", cut).status(139).says(&[sentence, "rip"]);
    // As a request it has no such memory, if it gets that far: what remains of its text is gone as well.
    let ended = large(b"w", cut);
    if ended.code() == Some(0) {
        let _ = ended.prints(&format!("ready\n status {} 0\n", ukvm_abi::request::Status::BadAddress as u32));
    } else {
        let _ = ended.status(139).says(&[sentence]);
    }
}
