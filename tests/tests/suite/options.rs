//! The command line.

use ukvm_tests::files;
use ukvm_tests::run::Run;

ukvm_tests::tests! {
    help_is_for_a_newcomer;
    version_names_the_program_and_the_abi;
    no_program;
    unknown_options;
    options_that_exclude_each_other;
    values_that_are_wrong;
    the_programs_own_options_are_left_alone;
    verbose_tells_what_is_done_on_standard_error_only;
}

fn help_is_for_a_newcomer() {
    for option in ["--help", "-h"] {
        let text = Run::bare().options([option]).finish().status(0).quietly().text();
        for word in [
            "--mem",
            "--net",
            "--disk",
            "--env",
            "--timeout",
            "--grace",
            "--no-aslr",
            "--aslr-seed",
            "--report",
            "--inspect",
            "--verbose",
            "--version",
            "--kvm",
            "--raw",
            "fd:N",
            "mac=",
            ",ro",
            "[NAME=]",
            "APP.ELF",
            "Examples",
            "Exit status",
            "124",
            "134",
            "139",
            "5s",
            "64M",
        ] {
            assert!(text.contains(word), "no {word} in the help:\n{text}");
        }
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        assert!(longest <= 100, "a line of {longest} characters in the help");
    }
}

fn version_names_the_program_and_the_abi() {
    for option in ["--version", "-V"] {
        let text = Run::bare().options([option]).finish().status(0).quietly().text();
        assert!(text.starts_with("ukvm-run ") && text.contains("ABI") && text.lines().count() == 1, "{text}");
    }
}

fn no_program() {
    let _ = Run::bare().finish().refuses(64, &["program", "APP.ELF", "--help"]);
    let _ = Run::bare().options(["--mem", "64M"]).finish().refuses(64, &["APP.ELF"]);
    let _ = Run::bare().options([""]).finish().refuses(64, &["empty"]);
}

fn unknown_options() {
    let _ = Run::guest("status").options(["--bogus"]).finish().refuses(64, &["--bogus", "--help"]);
    let _ = Run::guest("status").options(["--memory", "64M"]).finish().refuses(64, &["--memory"]);
    let _ = Run::guest("status").options(["--timeot=5s"]).finish().refuses(64, &["--timeot", "--timeout"]);
    let _ = Run::guest("status").options(["-x"]).finish().refuses(64, &["-x"]);
}

fn options_that_exclude_each_other() {
    let run = Run::guest("status").options(["--no-aslr", "--aslr-seed", "12"]);
    let _ = run.finish().refuses(64, &["--no-aslr", "--aslr-seed"]);
    let run = Run::guest("status").options(["--mem", "64M", "--mem", "65M"]);
    let _ = run.finish().refuses(64, &["--mem", "twice"]);
}

fn values_that_are_wrong() {
    for (option, value) in [
        ("--timeout", "0"),
        ("--timeout", "soon"),
        ("--timeout", "5 s"),
        ("--timeout", "-1s"),
        ("--timeout", "99999999999h"),
        ("--grace", "x"),
        ("--aslr-seed", "xyz"),
        ("--aslr-seed", "12345678901234567"),
        ("--env", "NOVALUE"),
        ("--env", "=value"),
        ("--net", ""),
        ("--net", "a-name-that-is-too-long"),
        ("--net", "tap0,mac=1:2"),
        ("--net", "tap0,mac=01:00:5e:00:00:01"),
        ("--net", "tap0,mac=00:00:00:00:00:00"),
        ("--net", "tap0,speed=9"),
        ("--net", "a/b"),
        ("--net", "fd:x"),
        ("--disk", ""),
        ("--disk", "fd:"),
        ("--disk", "data="),
        ("--report", ""),
    ] {
        let argument = format!("{option}={value}");
        let _ = Run::guest("mirror").options([&argument]).finish().refuses(64, &[option]);
    }
    // The same thing twice.
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 4096);
    let named = format!("data={}", image.display());
    let run = Run::guest("disk").options(["--disk", &named, "--disk", &named]);
    let _ = run.finish().refuses(64, &["--disk", "data"]);
    let run = Run::guest("boot").options(["--net", "tap5", "--net", "wan=tap5"]);
    let _ = run.finish().refuses(64, &["--net", "tap5"]);
}

fn the_programs_own_options_are_left_alone() {
    let text = Run::guest("environment").args(["--mem", "--help", "-V"]).finish().status(0).quietly().text();
    assert!(text.starts_with("[--mem]\n[--help]\n[-V]\n"), "{text}");
}

fn verbose_tells_what_is_done_on_standard_error_only() {
    let ended = Run::guest("status").options(["--verbose"]).args(["3", "print"]).finish().status(3);
    let ended = ended.prints("the last words").says(&["seed"]);
    assert!(ended.errors.lines().count() >= 3, "{}", ended.errors);
}
