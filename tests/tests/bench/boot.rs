//! `ukvm-bench boot`: what it says of starts, and of programs that do not start.

use crate::{bench, each, guest, json, last_words, program};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use ukvm_tests::files;
use ukvm_tests::suite::Need;
use ukvm_tests::terminal::Terminal;

ukvm_tests::tests! {
    starts_are_told_beside_the_floor_and_another_command;
    a_bar_is_drawn_on_a_terminal;
    the_name_of_the_machine_is_nowhere .needs(&[Need::Root, Need::Program("unshare")]);
    an_app_that_fails;
    an_app_that_never_prints_or_never_ends;
    a_compare_command_that_is_not_there;
    what_was_measured_before_a_failure_is_kept_and_marked;
    ctrl_c_keeps_what_was_measured;
    ctrl_c_in_the_timeline_keeps_some_of_it;
    output_that_nobody_reads_costs_no_file;
}

fn starts_are_told_beside_the_floor_and_another_command() {
    let directory = files::directory();
    let place = |name: &str| directory.path().join(name);
    let ended = bench(["boot", &program("hello.elf"), "--runs", "8"])
        .option("--compare", program("start-floor") + " again")
        .option("--json", place("a.json"))
        .option("--svg", place("a.svg"))
        .finish()
        .status(0)
        .says(&["ukvm-bench: boot: 8 of 8\n", "ukvm-bench: timeline: 8 of 8\n"]);
    let text = ended.text();
    for words in [
        "boot, 8 rounds ",
        "minimum",
        "median",
        "p90",
        "p99",
        "first byte, hello.elf",
        "whole life, start-floor again",
        "hello.elf by start-floor, round by round, with the 95 % interval",
        "hello.elf by start-floor again, round by round",
        "timeline, 8 separate runs",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let result = json(&place("a.json"));
    assert_eq!((&result["complete"], &result["stopped"]), (&Value::Bool(true), &Value::Null));
    let machine: Vec<_> = result["machine"].as_object().expect("a machine").keys().collect();
    assert_eq!(machine, ["cpu", "cpus", "date", "kernel", "kvm"]);
    let boot = &result["boot"];
    assert_eq!((boot["rounds"].as_u64(), boot["wanted"].as_u64()), (Some(8), Some(8)));
    assert_eq!(boot["programs"][0]["first_bytes_ns"].as_array().expect("times").len(), 8);
    let interval = &boot["ratios"][0]["whole_life"];
    let [low, median, high] = ["low", "median", "high"].map(|end| interval[end].as_f64().expect("a number"));
    assert!(0.0 < low && low <= median && median <= high, "{interval}");
    // The report's own phases between what is seen from outside, without gaps.
    let phases = boot["timeline"]["phases"].as_array().expect("phases");
    let names: Vec<_> = phases.iter().map(|phase| phase["name"].as_str().expect("a name")).collect();
    assert!(names.starts_with(&["exec", "options"]) && names.ends_with(&["exit", "teardown"]), "{names:?}");
    let mut at = 0.0;
    for phase in phases {
        let [begins, took] = ["at_ns", "took_ns"].map(|field| phase[field].as_f64().expect("a time"));
        assert!((begins - at).abs() < 1.0 && took >= 0.0, "{phase}");
        at = begins + took;
    }
    let svg = std::fs::read_to_string(place("a.svg")).expect("a figure");
    assert!(svg.starts_with("<svg") && svg.contains("8 rounds, in turn") && svg.contains("teardown"));
}

fn a_bar_is_drawn_on_a_terminal() {
    let mut terminal = Terminal::new();
    let mut child = Command::new(program("ukvm-bench"))
        .args(["boot", "--runs", "8", &program("hello.elf")])
        .env("TERM", "xterm")
        .stdout(Stdio::null())
        .stderr(terminal.end())
        .spawn()
        .expect("ukvm-bench");
    terminal.wait_for("/8, ");
    let screen = terminal.look(std::time::Duration::ZERO);
    assert!(screen.contains("boot [") && !screen.contains("of 8"), "{screen:?}");
    assert!(child.wait().expect("its end").success());
}

fn the_name_of_the_machine_is_nowhere() {
    const NAME: &str = "odd-host-name-7361";
    let directory = files::directory();
    let (json, svg) = (directory.path().join("a.json"), directory.path().join("a.svg"));
    let script = format!("echo {NAME} > /proc/sys/kernel/hostname; hostname >&2; exec \"$0\" \"$@\"");
    let unshare = files::program("unshare").expect("unshare");
    let ended = bench(["--uts", "sh", "-c", &script, &program("ukvm-bench"), "boot", &program("hello.elf")])
        .monitor(&unshare)
        .options(["--runs", "2"])
        .option("--json", &json)
        .option("--svg", &svg)
        .finish()
        .status(0)
        .says(&[NAME]);
    let told = [ended.text()].into_iter().chain([json, svg].map(|file| read(&file)));
    for text in told {
        assert!(!text.is_empty() && !text.contains(NAME), "{text}");
    }
}

fn an_app_that_fails() {
    let directory = files::directory();
    let result = directory.path().join("a.json");
    let ended = bench(["boot", "--json"])
        .options([&result, &guest("status")])
        .args(["3", "print"])
        .finish()
        .status(1)
        .prints("");
    let sentence = last_words(&ended);
    assert!(sentence.contains("status.elf ended with exit status: 3; try it alone: "), "{sentence}");
    assert!(sentence.ends_with("status.elf -- 3 print; nothing of boot was measured"), "{sentence}");
    let result = json(&result);
    assert_eq!((&result["complete"], result["stopped"].as_str()), (&Value::Bool(false), Some(&*sentence)));
    assert_eq!(result.get("boot"), None);
}

fn an_app_that_never_prints_or_never_ends() {
    for (name, arguments, said) in [
        ("spin", &[] as &[&str], "did not end within 0.5 s; measure a program that prints and ends"),
        ("status", &["0"], "ended without any output, so there is no first byte to measure"),
    ] {
        let run = bench(["boot", "--patience", "0.5"]).options([guest(name)]).args(arguments);
        let ended = run.finish().status(1).prints("").says(&[said]);
        assert!(last_words(&ended).ends_with("nothing of boot was measured"), "{}", ended.errors);
    }
}

fn a_compare_command_that_is_not_there() {
    for (command, code, said) in [
        ("/nowhere/monitor a.elf", 66, "/nowhere/monitor cannot be started"),
        ("sleep 100", 1, "sleep 100 printed nothing within 1 s; measure a program that prints and ends"),
        ("no-such-monitor", 66, "install it, or name its path"),
        ("/etc/passwd", 77, "name an executable file"),
        ("sh -c 'echo no such guest >&2; exit 4'", 1, "exit status: 4 and said \"no such guest\""),
    ] {
        let ended = bench(["boot", &program("hello.elf"), "--patience", "1", "--compare", command])
            .finish()
            .status(code)
            .prints("");
        let sentence = last_words(&ended);
        assert!(sentence.contains(said) && sentence.ends_with("nothing of boot was measured"), "{sentence}");
    }
}

/// A command that prints a line and ends, but for its call number `calls`.
fn fails_at(directory: &Path, calls: u32) -> String {
    let count = directory.join("count");
    format!("sh -c 'echo x; echo x >> {0}; test $(wc -l < {0}) -lt {calls}'", count.display())
}

fn what_was_measured_before_a_failure_is_kept_and_marked() {
    let directory = files::directory();
    let (result, svg) = (directory.path().join("a.json"), directory.path().join("a.svg"));
    // Three rounds do not count.
    let ended = bench(["boot", &program("hello.elf"), "--runs", "20"])
        .option("--compare", fails_at(directory.path(), 3 + 6))
        .option("--json", &result)
        .option("--svg", &svg)
        .finish()
        .status(1);
    assert!(ended.text().starts_with("boot, 5 rounds of 20 (stopped early)"), "{}", ended.text());
    let sentence = last_words(&ended);
    assert!(sentence.ends_with("5 of 20 rounds of boot were measured, are kept and marked"), "{sentence}");
    let result = json(&result);
    assert_eq!((&result["complete"], result["stopped"].as_str()), (&Value::Bool(false), Some(&*sentence)));
    assert_eq!((result["boot"]["rounds"].as_u64(), &result["boot"]["timeline"]), (Some(5), &Value::Null));
    assert!(read(&svg).contains("5 rounds of 20 (stopped early)"));
}

fn ctrl_c_keeps_what_was_measured() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let directory = files::directory();
        let result = directory.path().join("a.json");
        let run = bench(["boot", &program("hello.elf"), "--runs", "400"]).option("--json", &result).start();
        run.wait_for_error("boot: 100 of 400");
        run.signal(signal);
        let ended = run.wait().status(130);
        assert!(ended.text().contains(" rounds of 400 (stopped early)"), "{}", ended.text());
        let sentence = last_words(&ended);
        assert!(
            sentence.starts_with("interrupted; ") && sentence.ends_with("are kept and marked"),
            "{sentence}"
        );
        let result = json(&result);
        assert_eq!(result["complete"], Value::Bool(false));
        assert!(result["boot"]["rounds"].as_u64() >= Some(100), "{}", result["boot"]["rounds"]);
        assert!(each(&result["boot"]["programs"], "name").contains("start-floor"));
    }
}

fn ctrl_c_in_the_timeline_keeps_some_of_it() {
    let directory = files::directory();
    let result = directory.path().join("a.json");
    let run = bench(["boot", &program("hello.elf"), "--runs", "25"]).option("--json", &result).start();
    run.wait_for_error("timeline: 7 of 25");
    run.signal(Signal::SIGINT);
    let ended = run.wait().status(130);
    let sentence = last_words(&ended);
    assert!(sentence.starts_with("interrupted; the timeline is of "), "{sentence}");
    let result = json(&result);
    assert_eq!((&result["complete"], result["boot"]["rounds"].as_u64()), (&Value::Bool(false), Some(25)));
    let runs = result["boot"]["timeline"]["runs"].as_u64().expect("a number");
    assert!((7..25).contains(&runs), "{runs}");
}

fn output_that_nobody_reads_costs_no_file() {
    for (output, code) in [("/dev/full", 74), ("a closed pipe", 0)] {
        let directory = files::directory();
        let result = directory.path().join("a.json");
        let run = bench(["boot", &program("hello.elf"), "--runs", "2"]).option("--json", &result);
        let run = if code == 0 {
            run.stdout(std::io::pipe().expect("a pipe").1)
        } else {
            run.stdout(std::fs::OpenOptions::new().write(true).open(output).expect("a device"))
        };
        let ended = run.finish().status(code);
        assert_eq!(ended.errors.contains("standard output cannot be written"), code != 0, "{}", ended.errors);
        assert_eq!(json(&result)["boot"]["rounds"].as_u64(), Some(2), "{output}");
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
