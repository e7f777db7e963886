//! `--mem`, and the second line of defence around a guest's memory.

use ukvm_tests::files;
use ukvm_tests::run::Run;

ukvm_tests::tests! {
    sizes_in_every_form;
    sizes_that_are_none;
    more_memory_than_the_host_has;
    a_large_guest_costs_only_what_it_touches;
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
