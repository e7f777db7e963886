//! `ukvm-bench all`: every promise with its floor, figure, ratio and verdict, or with the reason why there is none.

use crate::{bench, bench_in, each, json, last_words};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use ukvm_tests::files;
use ukvm_tests::suite::Need;
use ukvm_tests::user::{Devices, NOBODY, in_private_mounts};

ukvm_tests::tests! {
    every_promise_is_told .needs(&[Need::Network]);
    without_a_tap_all_else_is_measured .needs(&[Need::Root]);
    ctrl_c_leaves_a_reason_for_each_promise;
}

/// What is promised: one of each kind, and how many there are.
const PROMISES: [&str; 8] = [
    "cold start, to the first byte of output",
    "whole life of hello",
    "monitor memory, less what was touched of the guest",
    "guest computing, integers",
    "now() in the guest, a million times",
    "O_DIRECT 4 KiB random, depth 32",
    "UDP sockets, 64 in flight",
    "TCP in, one connection",
];
const COUNT: usize = 21;

/// Options of a short run, with all that it can write.
const OPTIONS: [&str; 8] = ["--guests", "2", "--json", "a.json", "--html", "a.html", "--markdown", "a.md"];

/// The names of the promises that a result tells of, measured or not.
fn promised(result: &Value) -> BTreeSet<String> {
    let unmeasured = result["unmeasured"].as_array().expect("an array").iter();
    let unmeasured = unmeasured.filter(|figure| !figure["target"].is_null()).cloned().collect();
    each(&result["promises"], "name").union(&each(&Value::Array(unmeasured), "name")).cloned().collect()
}

/// Asserts that all files tell of all promises, and gives the JSON, the HTML and the Markdown.
fn told(directory: &Path) -> (Value, String, String) {
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).expect("a file");
    let (result, html, markdown) = (json(&directory.join("a.json")), read("a.html"), read("a.md"));
    let names = promised(&result);
    assert_eq!(names.len(), COUNT, "{names:?}");
    for name in PROMISES {
        assert!(names.contains(name), "{name}: {names:?}");
        assert!(html.contains(&format!("<td>{name}</td>")), "no row for {name}");
        assert!(markdown.contains(&format!("\n| {name} | ")), "no row for {name} in {markdown}");
        // In the chart too.
        let chart = html.split("</svg>").next().expect("a chart");
        assert!(chart.contains(&format!("\n{name}\n")), "{name} is not in the chart");
    }
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>"), "not one document");
    for outside in ["<script", "<link", "<img", " src=", " href=", "url(", "@import"] {
        assert!(!html.contains(outside), "{outside} in a file that needs nothing else");
    }
    for text in [&html, &markdown] {
        let machine = &result["machine"];
        for field in ["date", "cpu", "kernel"] {
            assert!(text.contains(machine[field].as_str().expect("a string")), "no {field}");
        }
        assert!(text.contains(" KVM ("), "no kind of KVM");
    }
    (result, html, markdown)
}

fn every_promise_is_told() {
    let directory = files::directory();
    let run = bench(["all", "--runs", "1"]).options(OPTIONS).current_directory(directory.path());
    let ended = run.finish().status(0);
    let (result, html, markdown) = told(directory.path());
    assert_eq!((&result["complete"], &result["unmeasured"]), (&Value::Bool(true), &Value::Array(Vec::new())));
    for promise in result["promises"].as_array().expect("promises") {
        for field in ["floor", "floor_figure", "figure", "verdict"] {
            assert!(promise[field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {promise}");
        }
        assert!(promise["ratio"]["median"].as_f64() > Some(0.0), "{promise}");
    }
    for part in ["boot", "churn", "memory", "compute", "io"] {
        assert!(result[part].is_object(), "no {part}");
    }
    assert!(!html.contains("Not all was measured") && html.matches("<svg").count() == 2);
    assert_eq!(markdown.matches("| open: fewer than 100 pairs |").count(), COUNT, "{markdown}");
    assert!(ended.text().contains("cold start, to the first byte of output: "), "{}", ended.text());
}

fn without_a_tap_all_else_is_measured() {
    in_private_mounts(Devices::NoTap, |mounts| {
        let run = bench_in(mounts.guests(), ["all", "--runs", "1"]).options(OPTIONS);
        let ended = run.current_directory(&mounts.scratch).user(NOBODY).finish().status(69);
        let sentence = last_words(&ended);
        assert!(
            sentence.starts_with(
                "9 figures were not measured here, all others were: you may not open /dev/net/tun"
            )
        );
        let (result, html, markdown) = told(&mounts.scratch);
        assert_eq!(result["complete"], Value::Bool(false));
        assert_eq!(each(&result["unmeasured"], "name").len(), 9);
        assert!(html.contains("Not all was measured: 9 figures were not measured here"));
        assert!(html.contains("<td colspan=\"3\">not measured: you may not open /dev/net/tun"));
        let row = "| TCP in, one connection | the same stack in a process, same TAP | – | – | ≥ 0.6 | not measured: you may";
        assert!(markdown.contains(row), "{markdown}");
    });
}

fn ctrl_c_leaves_a_reason_for_each_promise() {
    let directory = files::directory();
    let run = bench(["all", "--runs", "8"]).options(OPTIONS).current_directory(directory.path()).start();
    run.wait_for_error("compute, integers: 2 of 8");
    run.signal(Signal::SIGINT);
    let ended = run.wait().status(130);
    let sentence = last_words(&ended);
    assert!(
        sentence.starts_with("interrupted; ") && sentence.ends_with(" figures were not measured"),
        "{sentence}"
    );
    let (result, html, markdown) = told(directory.path());
    assert_eq!((&result["complete"], result["stopped"].as_str()), (&Value::Bool(false), Some(&*sentence)));
    assert!(result["memory"].is_object() && result.get("io").is_none());
    let (measured, unmeasured) = (each(&result["promises"], "name"), each(&result["unmeasured"], "name"));
    assert!(
        measured.contains(PROMISES[2]) && unmeasured.contains(PROMISES[7]),
        "{measured:?} {unmeasured:?}"
    );
    let reasons = each(&result["unmeasured"], "reason");
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), ["not reached: interrupted"]);
    assert!(html.contains("Not all was measured: interrupted; "));
    assert!(markdown.contains("**Not all was measured:** interrupted; "), "{markdown}");
    assert!(
        ended.text().contains("TCP in, one connection: not measured: not reached: interrupted"),
        "{}",
        ended.text()
    );
}
