//! `--inspect` and `--report`.

use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use ukvm_tests::artifacts::artifacts;
use ukvm_tests::files;
use ukvm_tests::network::in_namespace;
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    inspect_shows_what_a_program_is_and_needs;
    inspect_shows_a_command_line_that_works;
    inspect_needs_no_kvm;
    report_tells_a_guests_own_status_from_everything_else;
    report_of_signals_and_timeouts;
    report_has_the_timeline_and_the_counters;
    report_counts_packets_and_blocks .needs(&[Need::Network]);
    report_of_an_error_before_the_start;
    report_that_cannot_be_written;
}

fn inspect_shows_what_a_program_is_and_needs() {
    let text = Run::guest("disk").options(["--inspect"]).finish().status(0).quietly().text();
    for word in ["ABI", "1", "r-x", "rw-", "r--", "data", "scratch", "third", "optional", "ukvm-run --disk "]
    {
        assert!(text.contains(word), "no {word} in\n{text}");
    }
    assert!(!text.contains("rwx"), "{text}");
    let text = Run::guest("mirror").options(["--inspect"]).finish().status(0).quietly().text();
    assert!(text.contains("lan") && text.contains("--net "), "{text}");
}

fn inspect_shows_a_command_line_that_works() {
    let directory = files::directory();
    let _ = files::sparse(directory.path(), "data.img", 1 << 20);
    let _ = files::sparse(directory.path(), "scratch.img", 1 << 20);
    let _ = files::sparse(directory.path(), "third.img", 1 << 20);
    for guest in ["status", "disk"] {
        let text = Run::guest(guest).options(["--inspect"]).finish().status(0).text();
        let line =
            text.lines().rfind(|line| line.trim_start().starts_with("ukvm-run ")).expect("a command line");
        let here = artifacts().monitor.parent().expect("a directory");
        let output = Command::new("/bin/sh")
            .args(["-c", line.trim()])
            .env("PATH", here)
            .current_dir(directory.path())
            .output()
            .expect("a shell");
        assert!(output.status.success(), "{line}: {output:?}");
    }
}

fn inspect_needs_no_kvm() {
    let run = Run::guest("disk").options(["--inspect", "--kvm", "/nowhere/kvm", "--disk", "/nowhere/disk"]);
    let _ = run.finish().status(0).quietly();
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a report")).expect("JSON")
}

/// The report of a run that ends with `status`.
fn report(run: Run, status: i32) -> Value {
    let directory = files::directory();
    let path = directory.path().join("report.json");
    let _ = run.option("--report", &path).finish().status(status);
    let report = read(&path);
    assert_eq!(report["status"], status);
    report
}

fn report_tells_a_guests_own_status_from_everything_else() {
    for status in [0, 124, 134, 139, 143] {
        let report = report(Run::guest("status").args([status.to_string()]), status);
        assert_eq!((&report["cause"], &report["guest_status"]), (&"exit".into(), &status.into()), "{report}");
    }
    let panic = report(Run::guest("outcome").args(["panic"]), 134);
    assert_eq!((&panic["cause"], &panic["guest_status"]), (&"panic".into(), &Value::Null), "{panic}");
    assert!(panic["message"].as_str().is_some_and(|text| text.contains("the moon is new")), "{panic}");
    let fault = report(Run::guest("divide-by-zero"), 139);
    assert_eq!((&fault["cause"], &fault["guest_status"]), (&"fault".into(), &Value::Null), "{fault}");
    assert!(fault["message"].as_str().is_some_and(|text| text.contains("#DE")), "{fault}");
    assert_eq!(fault["fault"]["vector"], 0, "{fault}");
    assert!(
        fault["fault"]["registers"]["rip"].as_str().is_some_and(|text| text.starts_with("0x")),
        "{fault}"
    );
    assert!(fault["fault"]["backtrace"].as_array().is_some_and(|callers| callers.len() >= 2), "{fault}");
}

fn ready(run: Run) -> Running {
    let guest = run.start();
    guest.wait_for("ready\n");
    guest
}

fn report_of_signals_and_timeouts() {
    let directory = files::directory();
    let path = directory.path().join("report.json");
    let guest = ready(Run::guest("shutdown").args(["deaf"]).option("--report", &path));
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143);
    let killed = read(&path);
    assert_eq!((&killed["cause"], &killed["signal"]), (&"signal".into(), &15.into()), "{killed}");
    let guest = ready(Run::guest("shutdown").args(["obey"]).option("--report", &path));
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(7);
    let obeyed = read(&path);
    assert_eq!((&obeyed["cause"], &obeyed["guest_status"]), (&"exit".into(), &7.into()), "{obeyed}");
    let late = report(Run::guest("spin").option("--timeout", "200ms"), 124);
    assert_eq!(late["cause"], "timeout", "{late}");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let closed = report(Run::guest("flood").stdout(writer), 141);
    assert_eq!(closed["cause"], "output-closed", "{closed}");
}

fn report_has_the_timeline_and_the_counters() {
    let report = report(Run::guest("flood").args(["25000"]), 0);
    let steps = report["timeline"].as_array().expect("a timeline");
    assert!(steps.len() >= 4, "{report}");
    let times: Vec<u64> = steps.iter().filter_map(|step| step["at_ns"].as_u64()).collect();
    assert!(times.len() == steps.len() && times.is_sorted() && times[0] > 0, "{report}");
    assert_eq!(report["exits"]["exit"], 1, "{report}");
    assert!(report["exits"]["enter"].as_u64() >= Some(3), "{report}");
    assert_eq!(
        (&report["console"]["bytes_out"], &report["console"]["requests_out"]),
        (&25000.into(), &3.into())
    );
    assert_eq!(report["memory"]["guest"], 64 << 20);
    assert!(report["memory"]["monitor_pss"].as_u64().is_some_and(|bytes| bytes > 0), "{report}");
    for key in ["schema", "ukvm", "abi", "program"] {
        assert!(!report[key].is_null(), "no {key} in {report}");
    }
}

fn report_counts_packets_and_blocks() {
    use super::net::{NET, round_trip, socket_to_mirror, wait_for_echo};
    in_namespace(|| {
        let directory = files::directory();
        let path = directory.path().join("report.json");
        ukvm_tests::network::make_tap_with_address("tap0");
        let run = Run::guest("mirror").option("--net", NET).option("--report", &path);
        let guest = run.start();
        let socket = socket_to_mirror("tap0");
        wait_for_echo(&socket);
        for _ in 0..9 {
            assert!(round_trip(&socket, &[0; 100]));
        }
        guest.signal(Signal::SIGTERM);
        let _ = guest.wait().status(3);
        let report = read(&path);
        let net = &report["devices"][0];
        assert_eq!((&net["kind"], &net["name"]), (&"net".into(), &"lan".into()), "{report}");
        // Others than ours come in too: the host looks for routers.
        assert!(net["requests_out"].as_u64() >= Some(10), "{report}");
        assert!(net["requests_in"].as_u64() >= net["requests_out"].as_u64(), "{report}");
        assert!(net["bytes_out"].as_u64() >= Some(10 * 142), "{report}");
        assert_eq!(net["errors"], 0, "{report}");
    });
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 1 << 20);
    let run = Run::guest("disk").option("--disk", format!("scratch={}", image.display()));
    let report = report(run.args(["2:read:0:4096", "2:write:0:1024", "2:write:0:512", "2:flush"]), 0);
    let disks = report["devices"].as_array().expect("devices");
    assert_eq!(disks.len(), 1, "{report}");
    assert_eq!((&disks[0]["kind"], &disks[0]["name"]), (&"block".into(), &"scratch".into()));
    assert_eq!((&disks[0]["bytes_in"], &disks[0]["bytes_out"]), (&4096.into(), &1536.into()), "{report}");
}

fn report_of_an_error_before_the_start() {
    let directory = files::directory();
    let path = directory.path().join("report.json");
    let run = Run::elf("/nowhere/at-all.elf").option("--report", &path);
    let ended = run.finish().refuses(66, &["/nowhere/at-all.elf"]);
    let report = read(&path);
    assert_eq!((&report["cause"], &report["status"]), (&"error".into(), &66.into()), "{report}");
    let sentence = ended.errors.trim_start_matches("ukvm-run: ").trim_end();
    assert_eq!(report["message"], sentence, "{report}");
}

fn report_that_cannot_be_written() {
    let run = Run::guest("status").option("--report", "/nowhere/report.json");
    let _ = run.finish().refuses(66, &["--report", "/nowhere/report.json"]);
    let directory = files::directory();
    let _ = Run::guest("status").option("--report", directory.path()).finish().says(&["--report"]);
    let image = files::sparse(directory.path(), "a.img", 4096);
    let run = Run::guest("disk").option("--disk", &image).option("--report", &image);
    let _ = run.finish().refuses(78, &["--report", "a.img"]);
    assert_eq!(std::fs::metadata(&image).expect("the image").len(), 4096);
}
