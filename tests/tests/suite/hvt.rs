//! Solo5 hvt guests that do what they may: what they print and how they end.

use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::OpenOptions;
use std::path::Path;
use std::time::{Duration, SystemTime};
use ukvm_tests::files;
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::{in_rig, patience};

ukvm_tests::tests! {
    hello_and_the_command_line;
    a_command_line_that_is_too_long;
    any_status_is_the_exit_status;
    an_abort_is_status_255;
    clocks_agree;
    a_poll_waits_as_long_as_it_should;
    floating_point_is_exact_and_survives_calls_and_traps;
    the_memory_is_what_the_abi_promises .alone();
    the_memory_is_as_large_as_asked .alone();
    memory_that_no_guest_can_have;
    thread_local_storage;
    boot_information_of_forty_bytes;
    sixty_three_devices;
    a_device_that_is_not_given;
    a_device_that_is_not_declared;
    signals_end_it;
    the_timeout_ends_it;
    a_guest_that_waits_is_stopped_and_goes_on;
    a_report;
    a_report_of_a_fault;
    closed_output_ends_it_quietly;
    full_output_does_not_hang;
    options_that_its_abi_has_nothing_for;
    inspect_shows_what_it_is_and_needs;
}

fn hello_and_the_command_line() {
    let hello = |words: &[&str], line: &str| {
        let text = format!("Hello from hvt\ncommand line: [{line}] {} bytes\n", line.len());
        Run::hvt("hello").args(words).finish().status(0).prints(&text).quietly();
    };
    hello(&[], "");
    hello(&["one"], "one");
    // An empty word keeps its blanks; nothing is quoted or interpreted.
    hello(&["a", "", "b c", "--mem=2", "\"d\"", "\u{e9}"], "a  b c --mem=2 \"d\" \u{e9}");
    hello(&[&"x".repeat(8191)], &"x".repeat(8191));
}

fn a_command_line_that_is_too_long() {
    let _ = Run::hvt("hello").args(["x".repeat(8192)]).finish().refuses(78, &["8191"]);
}

fn any_status_is_the_exit_status() {
    // The emulated machine takes a second for each.
    let step = if in_rig() { 15 } else { 1 };
    for status in (0..=255).step_by(step) {
        let text = format!("status {status}\n");
        Run::hvt("status").args([status.to_string()]).finish().status(status).prints(&text).quietly();
    }
    // Its lowest byte counts.
    for (status, seen) in [(256, 0), (511, 255), (-1, 255), (-254, 2)] {
        Run::hvt("status").args([status.to_string()]).finish().status(seen).quietly();
    }
}

fn an_abort_is_status_255() {
    for words in [&[][..], &["cookie"]] {
        let _ = Run::hvt("abort").args(words).finish().status(255).prints("abort\n");
    }
}

fn clocks_agree() {
    let now = || SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970");
    let before = now();
    let text = Run::hvt("time").finish().status(0).quietly().text();
    let lines: Vec<&str> = text.lines().collect();
    let number = |line: &str, what: &str| -> u64 {
        line.strip_prefix(what)
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or_else(|| panic!("{text}"))
    };
    let wall = Duration::from_nanos(number(lines[0], "walltime"));
    assert!(before <= wall && wall <= now(), "{wall:?} is not between {before:?} and {:?}", now());
    assert!(number(lines[1], "cycles per second") > 100_000_000, "{text}");
    assert_eq!((lines[2], lines.len()), ("monotonic", 8), "{text}");
    // The guest itself fails where a poll is too short; how long one takes is up to a busy host.
    assert!(lines[3..].iter().all(|line| line.starts_with("poll ")), "{text}");
}

fn a_poll_waits_as_long_as_it_should() {
    let ended = Run::hvt("poll").args(["50000000", "4"]).finish().status(0).quietly();
    assert_eq!(ended.text().matches("poll: ready 0 set 0x0 after ").count(), 4, "{}", ended.text());
    assert!(ended.took >= Duration::from_millis(200), "{:?}", ended.took);
    let ended = Run::hvt("poll").args(["0", "100"]).finish().status(0).quietly();
    assert_eq!(ended.text().matches("poll: ready 0 set 0x0 after ").count(), 100, "{}", ended.text());
}

fn floating_point_is_exact_and_survives_calls_and_traps() {
    let ended = Run::hvt("float").finish().status(0).quietly();
    let text = ended.text();
    assert!(!text.contains("WRONG") && text.ends_with("\ntraps 0x1\n"), "{text}");
    assert!(text.contains("basel 0x3ffa519be5fbb345\n"), "{text}");
}

/// What the guest says of memory of `size` bytes.
fn memory(size: u64) -> String {
    format!(
        "mem_size {size}\n\
         kernel_end before the bss ends\n\
         manifest of 1 at 0x10038, version 1\n\
         features 0x0 0x0 ring 0x0\n\
         entry: stack 8 below the end, boot info at 0x10000, other registers 0x0\n\
         all of it is writable\n\
         zero page at 0x0: read traps 14 error 0x0 cr2 0x0, write traps 14 error 0x2 cr2 0x0\n\
         zero page's end at 0xfff: read traps 14 error 0x0 cr2 0xfff, write traps 14 error 0x2 cr2 0xfff\n\
         descriptors at 0x1000: read traps 14 error 0x0 cr2 0x1000, write traps 14 error 0x2 cr2 0x1000\n\
         tables at 0x2000: read traps 14 error 0x0 cr2 0x2000, write traps 14 error 0x2 cr2 0x2000\n\
         below the boot page at 0xffff: read traps 14 error 0x0 cr2 0xffff, write traps 14 error 0x2 cr2 0xffff\n\
         boot page at 0x10000: read goes on, write traps 14 error 0x3 cr2 0x10000\n\
         below the image at 0xff000: read goes on, write traps 14 error 0x3 cr2 0xff000\n\
         behind the end at {size:#x}: read traps 14 error 0x0 cr2 {size:#x}, write traps 14 error 0x2 cr2 {size:#x}\n"
    )
}

fn the_memory_is_what_the_abi_promises() {
    // What Solo5's own tender gives without an option.
    Run::hvt("memory").finish().status(0).prints(&memory(512 << 20)).quietly();
}

fn the_memory_is_as_large_as_asked() {
    // To touch the largest takes minutes in the emulated machine.
    for mib in [2, 4, 6, 62, 1026].into_iter().filter(|mib| *mib < 1026 || !in_rig()) {
        let run = Run::hvt("memory").option("--mem", format!("{mib}M"));
        run.finish().status(0).prints(&memory(mib << 20)).quietly();
    }
    // Large pages: what is over is left.
    Run::hvt("memory").option("--mem", "3M").finish().status(0).prints(&memory(2 << 20)).quietly();
    // The most that there is, which the emulated machine has not got itself.
    let most = if in_rig() { "1026M" } else { "4G" };
    Run::hvt("status").option("--mem", most).args(["5"]).finish().status(5).quietly();
}

fn memory_that_no_guest_can_have() {
    let _ = Run::hvt("memory").option("--mem", "5G").finish().refuses(78, &["at most 4G", "--mem"]);
}

fn thread_local_storage() {
    Run::hvt("tls").finish().status(0).prints("round 0\nround 1\nround 2\ntraps 6\n").quietly();
}

fn boot_information_of_forty_bytes() {
    let text = "memory 67108864, image ends above 1 MiB: yes, cycles known\n\
                command line [an old guest]\n\
                manifest version 1 of 1, first type 0x40000000\n";
    let run = Run::hvt("old-boot-info").option("--mem", "64M").args(["an", "old", "guest"]);
    run.finish().status(0).prints(text).quietly();
}

fn sixty_three_devices() {
    let directory = files::directory();
    let disks: Vec<_> = (0..63)
        .map(|number| {
            let image = files::sparse(directory.path(), &format!("d{number}.img"), 512);
            ["--disk".to_owned(), format!("d{number}={}", image.display())]
        })
        .collect();
    let text = "64 entries\nhandle 0 EINVAL, 64 EINVAL\n63 disks are apart\n";
    // By name, so that the order of the options does not matter.
    let options = disks.iter().rev().flatten();
    Run::hvt("manifest64").options(options).finish().status(0).prints(text).quietly();
    for number in [0_u8, 31, 62] {
        let bytes = std::fs::read(directory.path().join(format!("d{number}.img"))).expect("an image");
        assert_eq!((bytes[0], bytes[504], bytes[1]), (number + 1, number + 1, 0), "d{number}");
    }
}

fn a_device_that_is_not_given() {
    let _ = Run::hvt("devices").finish().refuses(78, &["'both'", "--disk both=PATH"]);
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 512);
    let run = Run::hvt("devices").option("--disk", format!("both={}", image.display()));
    let _ = run.finish().refuses(78, &["'both'", "--net both=TAP"]);
}

fn a_device_that_is_not_declared() {
    let _ = Run::hvt("hello").option("--disk", "data=/nowhere/a.img").finish().refuses(78, &["data"]);
    let _ = Run::hvt("hello").option("--net", "service=tap9").finish().refuses(78, &["service"]);
}

/// One that waits in a poll for an hour: long enough after its start that it does.
fn waiting() -> Running {
    let guest = Run::hvt("poll").args(["3600000000000", "1"]).start();
    std::thread::sleep(patience(Duration::from_millis(300)));
    guest
}

fn signals_end_it() {
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let guest = waiting();
        guest.signal(signal);
        guest.wait().status(status).prints("").quietly();
        // One whose polls do not wait.
        let guest = Run::hvt("poll").args(["0", "1000000000"]).start();
        guest.wait_for("poll: ");
        guest.signal(signal);
        let _ = guest.wait().status(status).quietly();
    }
}

fn the_timeout_ends_it() {
    for arguments in [["3600000000000", "1"], ["0", "1000000000"]] {
        let ended = Run::hvt("poll").args(arguments).option("--timeout", "500ms").finish().status(124);
        assert!(ended.took >= Duration::from_millis(500), "{:?}", ended.took);
    }
    Run::hvt("status").args(["9"]).option("--timeout", "1h").finish().status(9).quietly();
}

fn a_guest_that_waits_is_stopped_and_goes_on() {
    let guest = Run::hvt("poll").args(["100000000", "5"]).start();
    guest.wait_for("poll: ");
    guest.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(200));
    guest.signal(Signal::SIGCONT);
    let ended = guest.wait().status(0).quietly();
    assert_eq!(ended.text().lines().count(), 5, "{}", ended.text());
}

/// The report of a run that ends with `status`.
fn report(run: Run, status: i32) -> Value {
    let directory = files::directory();
    let path = directory.path().join("report.json");
    let _ = run.option("--report", &path).finish().status(status);
    let report: Value = serde_json::from_slice(&std::fs::read(&path).expect("a report")).expect("JSON");
    assert_eq!(report["status"], status, "{report}");
    report
}

fn a_report() {
    let report_of = |status: i32| report(Run::hvt("status").args([status.to_string()]), status);
    for status in [0, 7, 139, 255] {
        let report = report_of(status);
        assert_eq!((&report["cause"], &report["guest_status"]), (&"exit".into(), &status.into()), "{report}");
        assert_eq!(report["console"]["bytes_out"], format!("status {status}\n").len(), "{report}");
        assert_eq!(report["memory"]["guest"], 512 << 20, "{report}");
        let program = report["program"].as_str().unwrap_or_default();
        assert!(Path::new(program).ends_with("status.hvt"), "{report}");
        // PUTS and HALT; and a trap for each row of privileged instructions of the start, none of which is left out or done twice.
        let exits = &report["exits"];
        assert_eq!((&exits["enter"], &exits["exit"], &exits["exception"]), (&1.into(), &1.into(), &5.into()));
        let steps = report["timeline"].as_array().expect("a timeline");
        assert!(steps.len() >= 4, "{report}");
    }
    let late = report(Run::hvt("poll").args(["3600000000000", "1"]).option("--timeout", "200ms"), 124);
    assert_eq!(late["cause"], "timeout", "{late}");
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 4096);
    let run = Run::hvt("block").option("--disk", &image).args(["read", "0", "1024"]);
    let read = report(run, 0);
    let disk = &read["devices"][0];
    assert_eq!((&disk["kind"], &disk["name"]), (&"block".into(), &"data".into()), "{read}");
    assert_eq!((&disk["bytes_in"], &disk["requests_in"]), (&1024.into(), &1.into()), "{read}");
    assert_eq!((&disk["bytes_out"], &disk["errors"]), (&0.into(), &0.into()), "{read}");
}

fn a_report_of_a_fault() {
    let fault = report(Run::hvt("write-text"), 139);
    assert_eq!((&fault["cause"], &fault["guest_status"]), (&"fault".into(), &Value::Null), "{fault}");
    assert!(fault["message"].as_str().is_some_and(|text| text.contains("read-only")), "{fault}");
    assert_eq!((&fault["fault"]["kind"], &fault["fault"]["vector"]), (&"exception".into(), &14.into()));
    let rip = fault["fault"]["registers"]["rip"].as_str().unwrap_or_default();
    assert!(rip.starts_with("0x10"), "{fault}");
    // Those that only this ABI has.
    let fault = |guest: &str, way: &str| report(Run::hvt(guest).args([way]), 139)["fault"].clone();
    let call = fault("bad-calls", "block-read");
    assert_eq!((&call["kind"], &call["number"]), (&"hypercall".into(), &5.into()), "{call}");
    let access = fault("bad-calls", "puts-far");
    assert_eq!((&access["kind"], &access["bytes"]), (&"access".into(), &1.into()), "{access}");
    assert_eq!(access["address"], "0x10000000000", "{access}");
    let privileged = fault("privileged", "xsetbv");
    assert_eq!((&privileged["kind"], &privileged["instruction"]), (&"privileged".into(), &"xsetbv".into()));
    assert_eq!(fault("privileged", "hlt")["kind"], "halted");
}

fn closed_output_ends_it_quietly() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    Run::hvt("hello").stdout(writer).finish().status(141).quietly();
}

fn full_output_does_not_hang() {
    // Solo5's own tender stays behind as a zombie. What cannot be printed is no fault of the guest's.
    let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let _ = Run::hvt("hello").stdout(full).finish().status(0);
    let (_reader, writer) = files::full_pipe();
    let _ = Run::hvt("hello").stdout(writer).option("--timeout", "300ms").finish().status(124);
}

fn options_that_its_abi_has_nothing_for() {
    for (options, word) in [
        (&["--env", "A=b"][..], "--env"),
        (&["--raw"], "--raw"),
        (&["--aslr-seed", "0123456789abcdef"], "--aslr-seed"),
    ] {
        let _ = Run::hvt("hello").options(options).finish().refuses(78, &["Solo5", word]);
    }
    Run::hvt("status").options(["--no-aslr"]).args(["3"]).finish().status(3).quietly();
}

fn inspect_shows_what_it_is_and_needs() {
    let text = Run::hvt("devices").options(["--inspect"]).finish().status(0).quietly().text();
    for word in
        ["Solo5 hvt unikernel", "both", "--disk both.img", "--net tap0", "r-x", "rw-", "r--", "ukvm-run "]
    {
        assert!(text.contains(word), "no {word} in\n{text}");
    }
    assert!(!text.contains("rwx"), "{text}");
}
