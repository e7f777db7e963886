//! `ukvm-bench io`, also where the machine does not have what it takes.

use crate::{bench, bench_in, each, json, last_words, program, with_hello_as};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::Path;
use ukvm_tests::files;
use ukvm_tests::processors::on_one_cpu;
use ukvm_tests::suite::Need;
use ukvm_tests::user::{Devices, NOBODY, in_private_mounts};

ukvm_tests::tests! {
    packets_and_blocks .needs(&[Need::Network]);
    packets_on_one_cpu .needs(&[Need::Network]);
    without_a_tap_blocks_are_measured .needs(&[Need::Root]);
    without_the_right_to_a_network .needs(&[Need::Network, Need::Program("unshare"), Need::Program("setpriv")]);
    ctrl_c_keeps_what_was_measured;
    a_guest_that_serves_nothing;
}

fn packets_and_blocks() {
    let directory = files::directory();
    let result = directory.path().join("a.json");
    let ended =
        bench(["io", "--runs", "1", "--json"]).options([&result]).option("--directory", directory.path());
    let ended =
        ended.finish().status(0).says(&["ukvm-bench: frames: 1 of 1\n", "ukvm-bench: block: 1 of 1\n"]);
    let result = json(&result);
    assert_eq!((&result["complete"], &result["unmeasured"]), (&Value::Bool(true), &Value::Array(Vec::new())));
    let rows = result["io"]["rows"].as_array().expect("rows");
    for row in rows {
        for of in ["guest_ns", "floor_ns"] {
            assert!(row[of]["minimum"].as_f64() > Some(0.0), "{row}");
        }
    }
    let groups = each(&result["io"]["rows"], "group");
    assert_eq!(
        groups.into_iter().collect::<Vec<_>>(),
        ["block", "direct", "frames", "read-only", "tcp", "udp"]
    );
    let names = each(&result["io"]["rows"], "name");
    for name in [
        "TCP out, one connection",
        "TCP in, one connection",
        "round trip of one frame",
        "cached 4 KiB random, depth 32",
        "cached 128 KiB sequential, depth 8",
        "read-only 128 KiB sequential, warm",
        "O_DIRECT 128 KiB sequential, depth 8",
    ] {
        assert!(names.contains(name) && ended.text().contains(name), "{name}: {names:?}");
    }
    assert!(left_in(directory.path()).is_empty(), "{:?}", left_in(directory.path()));
}

/// Disks that were left behind.
fn left_in(directory: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.ends_with(".img")).collect()
}

fn packets_on_one_cpu() {
    let run = bench(["io", "--runs", "1", "--only", "frames", "--only", "tcp"]);
    let ended = on_one_cpu(|| run.finish())
        .status(0)
        .says(&["there is one CPU only", "the switches between what is measured and what measures"]);
    for name in ["raw frames, 256 in flight", "TCP in, one connection"] {
        assert!(ended.text().contains(name), "no {name} in {}", ended.text());
    }
}

/// Asserts that blocks were measured, and packets not for `reason`.
fn has_blocks_only(ended: ukvm_tests::run::Finished, result: &Path, reason: &str) {
    let ended = ended.status(69);
    let sentence = last_words(&ended);
    assert!(sentence.starts_with("9 figures were not measured here, all others were: "), "{sentence}");
    assert!(sentence.contains(reason), "{sentence}");
    let text = ended.text();
    let told = format!("UDP sockets, 256 in flight: not measured: {reason}");
    assert!(
        text.contains("cached 4 KiB random, depth 32  ") && text.contains(&told),
        "no {told:?} in {text}"
    );
    let result = json(result);
    assert_eq!((&result["complete"], result["stopped"].as_str()), (&Value::Bool(false), Some(&*sentence)));
    let unmeasured = each(&result["unmeasured"], "name");
    assert!(unmeasured.contains("raw frames, 64 in flight") && unmeasured.contains("TCP in, one connection"));
    let groups = each(&result["io"]["rows"], "group");
    assert_eq!(groups.into_iter().collect::<Vec<_>>(), ["block", "direct", "read-only"]);
}

fn without_a_tap_blocks_are_measured() {
    in_private_mounts(Devices::NoTap, |mounts| {
        let result = mounts.scratch.join("a.json");
        let run = bench_in(mounts.guests(), ["io", "--runs", "1", "--json"]).options([&result]).user(NOBODY);
        has_blocks_only(
            run.finish(),
            &result,
            "you may not open /dev/net/tun, which gives access to TAP interfaces; ",
        );
    });
}

fn without_the_right_to_a_network() {
    let directory = files::directory();
    let result = directory.path().join("a.json");
    // Root in a namespace of users that may make no other one, without a capability.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && \
                  exec setpriv --bounding-set -all --inh-caps -all \"$0\" \"$@\"";
    let unshare = files::program("unshare").expect("unshare");
    let run =
        bench(["--user", "--map-root-user", "sh", "-c", script, &program("ukvm-bench"), "io", "--runs", "1"]);
    let run = run.monitor(&unshare).option("--json", &result);
    has_blocks_only(run.finish(), &result, "no more user namespaces are permitted here; run this as root");
}

fn ctrl_c_keeps_what_was_measured() {
    let directory = files::directory();
    let result = directory.path().join("a.json");
    let run = bench(["io", "--only", "block", "--only", "read-only", "--runs", "12", "--json"])
        .options([&result])
        .option("--directory", directory.path())
        .start();
    run.wait_for_error("block: 6 of 12");
    run.signal(Signal::SIGINT);
    let ended = run.wait().status(130);
    let sentence = last_words(&ended);
    assert!(
        sentence.starts_with("interrupted; ") && sentence.contains(" of 12 rounds of block were measured"),
        "{sentence}"
    );
    assert!(sentence.ends_with(" figures were not measured"), "{sentence}");
    let text = ended.text();
    assert!(text.contains(" rounds of 12 (stopped early)"), "{text}");
    assert!(text.contains("read-only 4 KiB random, warm: not measured: not reached: interrupted"), "{text}");
    let result = json(&result);
    assert_eq!(result["complete"], Value::Bool(false));
    assert_eq!(each(&result["io"]["rows"], "group").into_iter().collect::<Vec<_>>(), ["block"]);
    assert!(result["io"]["rows"][0]["rounds"].as_u64() >= Some(6), "{result}");
    assert!(left_in(directory.path()).is_empty(), "{:?}", left_in(directory.path()));
}

fn a_guest_that_serves_nothing() {
    let directory = with_hello_as("io.elf", "io-floor");
    let result = directory.path().join("a.json");
    let run =
        bench(["io", "--only", "block"]).option("--programs", directory.path()).option("--json", &result);
    let ended = run.finish().status(1).says(&["io.elf ", "try it alone: "]);
    assert!(last_words(&ended).contains("; nothing of block was measured; "), "{}", ended.errors);
    assert_eq!(json(&result)["complete"], Value::Bool(false));
}
