use super::*;
use crate::config::{Config, ConsoleConfig, DiskConfig, DiskSource};
use crate::error::ErrorKind;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

fn observations() -> Observations {
    let mut timeline = Timeline::since(Instant::now());
    timeline.mark("options");
    timeline.mark("guest");
    Observations {
        timeline,
        exits: ExitCounts { enter: 5, exit: 1, ..ExitCounts::default() },
        console: Counters { bytes_out: 6, requests_out: 1, ..Counters::default() },
        devices: vec![DeviceObservations {
            kind: DeviceKind::Net,
            name: "service".into(),
            counters: Counters { dropped: 2, ..Counters::default() },
        }],
        placement: Placement {
            memory: 64 << 20,
            slide: 0x7f00_0000_0000,
            load_bias: 0x1000,
            seed: Some(0xab),
        },
    }
}

fn ended(cause: Cause) -> Outcome {
    Outcome { cause, observations: observations() }
}

/// A file name of the test's own, removed at the end.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("ukvm-report-{}-{name}", std::process::id())))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // It is gone already where a test failed before it made it.
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_run_is_told_in_full() {
    let file = TemporaryFile::new("run");
    fs::write(&file.0, "x".repeat(100_000)).unwrap();
    let mut report = ReportFile::create(&file.0, &Config::new("app.elf")).unwrap();
    assert_eq!(fs::read(&file.0).unwrap(), b"", "an old report is gone at once");
    report.write(Report::of_run(Path::new("app.elf"), &ended(Cause::Exit(134)))).unwrap();

    let read: Value = serde_json::from_slice(&fs::read(&file.0).unwrap()).unwrap();
    assert_eq!(read["schema"], SCHEMA);
    assert_eq!(read["program"], "app.elf");
    assert_eq!(
        (&read["cause"], &read["status"], &read["guest_status"]),
        (&json!("exit"), &json!(134), &json!(134))
    );
    assert_eq!(read["timeline"][1]["step"], "guest");
    assert_eq!(read["exits"]["total"], 6);
    assert_eq!(read["exits"]["enter"], 5);
    assert_eq!(read["console"]["bytes_out"], 6);
    assert_eq!(read["devices"][0]["kind"], "net");
    assert_eq!(read["devices"][0]["dropped"], 2);
    assert_eq!(read["placement"]["slide"], "0x7f0000000000");
    assert_eq!(read["placement"]["seed"], "00000000000000ab");
    assert_eq!(read["memory"]["guest"], 64 << 20);
    assert!(read["memory"]["monitor_rss_max"].as_u64().unwrap() > 1 << 20);
}

#[test]
fn a_failed_start_is_told_too() {
    let file = TemporaryFile::new("error");
    let mut report = ReportFile::create(&file.0, &Config::new("app.elf")).unwrap();
    let error = Error::new(ErrorKind::NoKvm, "no KVM");
    report.write(Report::of_error(Path::new("app.elf"), &error)).unwrap();
    let read: Value = serde_json::from_slice(&fs::read(&file.0).unwrap()).unwrap();
    assert_eq!(
        (&read["cause"], &read["status"], &read["message"]),
        (&json!("error"), &json!(69), &json!("no KVM"))
    );
    assert_eq!((read.get("timeline"), &read["guest_status"]), (None, &Value::Null));
}

#[test]
fn a_path_that_cannot_be_written_is_found_before_anything_runs() {
    let create = |path: &str| ReportFile::create(Path::new(path), &Config::new("app.elf")).unwrap_err();
    let error = create("/nonexistent-directory/report.json");
    assert_eq!(error.kind(), ErrorKind::MissingFile);
    assert!(
        error.to_string().starts_with("--report: /nonexistent-directory/report.json cannot be written ("),
        "{error}"
    );
    assert_eq!(create("/").kind(), ErrorKind::HostIo);
}

#[test]
fn what_the_guest_needs_is_not_overwritten() {
    let file = TemporaryFile::new("disk");
    fs::write(&file.0, "data").unwrap();
    let disk = DiskConfig {
        name: None,
        source: DiskSource::Path(file.0.clone()),
        read_only: false,
        direct: false,
        block_size: None,
    };
    let as_disk = Config { disks: vec![disk], ..Config::new("app.elf") };
    for config in [as_disk, Config::new(&file.0)] {
        let error = ReportFile::create(&file.0, &config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadConfig);
        assert_eq!(fs::read(&file.0).unwrap(), b"data");
    }
}

#[test]
fn what_the_guest_prints_to_is_not_overwritten() {
    let (file, link) = (TemporaryFile::new("output"), TemporaryFile::new("link"));
    fs::write(&file.0, "data").unwrap();
    let to = |path: &str| Config { console: ConsoleConfig::File(path.into()), ..Config::new("app.elf") };
    let config = to(file.0.to_str().unwrap());
    let refused = |path: &Path| {
        let error = ReportFile::create(path, &config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadConfig);
        assert!(
            error.to_string().ends_with(" is the console's file; give each a file of its own"),
            "{error}"
        );
        assert_eq!(fs::read(&file.0).unwrap(), b"data");
    };
    refused(&file.0);
    fs::hard_link(&file.0, &link.0).unwrap();
    refused(&link.0);
    fs::remove_file(&link.0).unwrap();
    std::os::unix::fs::symlink(&file.0, &link.0).unwrap();
    refused(&link.0);
    assert!(ReportFile::create(Path::new("/dev/null"), &to("/dev/null")).is_ok());
}

#[test]
fn the_table_has_a_line_for_each_step() {
    let text = timeline(&observations());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].ends_with("options") && lines[1].ends_with("guest"), "{text}");
}

/// The report as a reader sees it.
fn read(cause: Cause) -> Value {
    serde_json::to_value(Report::of_run(Path::new("app.elf"), &ended(cause))).unwrap()
}

#[test]
fn each_cause_has_its_word_and_status() {
    for (cause, word, status) in [
        (Cause::Exit(0), "exit", 0),
        (Cause::Panic("p".into()), "panic", 134),
        (Cause::Timeout, "timeout", 124),
        (Cause::Signal(15), "signal", 143),
        (Cause::OutputClosed, "output-closed", 141),
        (Cause::Failed(Error::new(ErrorKind::HostIo, "f")), "error", 74),
    ] {
        let report = read(cause);
        assert_eq!((&report["cause"], &report["status"]), (&json!(word), &json!(status)));
        assert_eq!(report["guest_status"], if word == "exit" { json!(0) } else { Value::Null });
        assert_eq!(report["signal"], if word == "signal" { json!(15) } else { Value::Null });
        assert_eq!(report["fault"], Value::Null);
    }
    assert_eq!(read(Cause::Panic("p".into()))["message"], "p");
}

#[test]
fn a_fault_is_told_with_its_numbers() {
    let fault = |fault| {
        let general = kvm_bindings::kvm_regs { rip: 0x1234, r15: u64::MAX, ..Default::default() };
        let symbol = Some(("main".to_owned(), 4));
        read(Cause::Fault(Box::new(FaultReport {
            fault,
            sentence: "it did".into(),
            registers: Registers { general, cr2: 0x10 },
            callers: vec![Caller { address: 0x1234, link_address: Some(0x234), symbol }],
        })))
    };
    let page_fault = fault(fault::Fault::Exception { vector: 14, error: 2, address: 0x10 });
    assert_eq!((&page_fault["cause"], &page_fault["status"]), (&json!("fault"), &json!(139)));
    assert_eq!(page_fault["message"], "it did");
    let told = &page_fault["fault"];
    assert_eq!((&told["kind"], &told["vector"]), (&json!("exception"), &json!(14)));
    assert_eq!((&told["error_code"], &told["address"]), (&json!("0x2"), &json!("0x10")));
    assert_eq!((&told["registers"]["rip"], &told["registers"]["cr2"]), (&json!("0x1234"), &json!("0x10")));
    assert_eq!(told["registers"]["r15"], "0xffffffffffffffff");
    assert_eq!(
        told["backtrace"],
        json!([{"address": "0x1234", "link_address": "0x234", "function": "main", "offset": 4}])
    );
    let divided = fault(fault::Fault::Exception { vector: 0, error: 0, address: 0x10 });
    assert_eq!(divided["fault"]["address"], Value::Null);
    assert_eq!(fault(fault::Fault::TripleFault)["fault"]["kind"], "triple-fault");
    assert_eq!(fault(fault::Fault::Doorbell(0xff))["fault"]["value"], "0xff");
}
