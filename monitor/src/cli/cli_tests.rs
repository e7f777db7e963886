use super::*;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;

fn command(words: &[&str]) -> Result<Command, Error> {
    let words = std::iter::once("ukvm-run").chain(words.iter().copied()).map(OsString::from);
    parse(words, Instant::now())
}

#[track_caller]
fn config(words: &[&str]) -> Config {
    match command(words) {
        Ok(Command::Run { config, .. }) => *config,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(words: &[&str], sentence: &str) {
    let error = command(words).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Usage, sentence));
}

#[test]
fn without_options_all_is_as_documented() {
    let config = config(&["app.elf"]);
    let expected = Config { started: config.started, ..Config::new("app.elf") };
    assert_eq!(format!("{config:?}"), format!("{expected:?}"));
}

#[test]
fn all_behind_the_program_is_the_programs() {
    for (words, arguments) in [
        (&["app.elf"][..], &[][..]),
        (&["app.elf", "a", "b"], &["a", "b"]),
        (&["app.elf", "--", "a", "--", "b"], &["a", "--", "b"]),
        (&["app.elf", "--", "--", "a"], &["--", "a"]),
        (&["app.elf", "a", "--", "b"], &["a", "--", "b"]),
        (&["app.elf", "--help"], &["--help"]),
        (&["app.elf", "-h"], &["-h"]),
        (&["app.elf", "--mem", "1"], &["--mem", "1"]),
        (&["app.elf", "--mem=1", "-x", ""], &["--mem=1", "-x", ""]),
        (&["app.elf", "--", "--verbose"], &["--verbose"]),
        (&["--mem", "1", "app.elf", "--mem"], &["--mem"]),
        (&["--", "app.elf", "--mem"], &["--mem"]),
        (&["--", "app.elf", "--", "--mem"], &["--mem"]),
    ] {
        let config = config(words);
        assert_eq!(config.program, PathBuf::from("app.elf"), "{words:?}");
        assert_eq!(config.arguments, arguments, "{words:?}");
        assert!(!config.verbose, "{words:?}");
    }
    assert_eq!(config(&["--", "--odd.elf"]).program, PathBuf::from("--odd.elf"));
}

#[test]
fn each_option_reaches_its_field() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let number = file.as_raw_fd();
    let disk = format!("b=fd:{number}");
    let words = [
        "--mem=3",
        "--net",
        "n=tap0",
        "--net=tap1,mac=02:00:00:00:00:09",
        "--disk",
        "a=x.img,ro,sector=4096",
        "--net-ring=above",
        "--disk",
        &disk,
        "--env",
        "A=1",
        "--env=B=2",
        "--env=A=3",
        "--timeout",
        "500ms",
        "--grace=0",
        "--aslr-seed=ff",
        "--kvm=/x",
        "--raw",
        "--verbose",
        "--report",
        "r.json",
        "app.elf",
        "arg",
    ];
    let Ok(Command::Run { config, report }) = command(&words) else { panic!() };
    let Config {
        started: _,
        program,
        arguments,
        environment,
        memory,
        nets,
        disks,
        timeout,
        grace,
        aslr,
        kvm,
        console,
        net_ring,
        as_solo5,
        verbose,
        test_writable_text,
    } = *config;
    assert_eq!((program, arguments), ("app.elf".into(), vec!["arg".into()]));
    assert_eq!(environment, [("A".into(), "3".into()), ("B".into(), "2".into())]);
    assert_eq!(memory, Some(3 << 20));
    assert_eq!(nets[0].name.as_deref(), Some("n"));
    assert_eq!(nets[1].mac, Some([2, 0, 0, 0, 0, 9]));
    assert_eq!((disks[0].name.as_deref(), disks[0].read_only), (Some("a"), true));
    assert!(matches!(disks[1].source, DiskSource::Fd(fd) if fd == number));
    assert_eq!((timeout, grace), (Some(Duration::from_millis(500)), Duration::ZERO));
    assert_eq!(aslr, Aslr::Seed(0xff));
    assert_eq!(kvm, KvmSource::Path("/x".into()));
    assert_eq!((disks[0].block_size, disks[1].block_size, net_ring), (Some(4096), None, NetRing::Above));
    assert_eq!(console, ConsoleConfig::Descriptors { input: 0, output: 1, raw: true });
    assert!(!as_solo5 && verbose && !test_writable_text);
    assert_eq!(report, Some("r.json".into()));

    assert_eq!(config_aslr(&["--no-aslr", "app.elf"]), Aslr::Off);
    assert_eq!(self::config(&["--no-net-ring", "app.elf"]).net_ring, NetRing::Off);
    for (value, expected) in [
        ("stdio", ConsoleConfig::STDIO),
        ("null", ConsoleConfig::Null),
        ("pty", ConsoleConfig::Pty),
        ("file:a:b", ConsoleConfig::File("a:b".into())),
        ("unix:/x", ConsoleConfig::Unix("/x".into())),
    ] {
        assert_eq!(self::config(&["--console", value, "app.elf"]).console, expected);
    }
    let inspect = command(&["--inspect", "app.elf"]).unwrap();
    assert!(matches!(inspect, Command::Inspect { program } if program == *"app.elf"));
}

fn config_aslr(words: &[&str]) -> Aslr {
    config(words).aslr
}

#[test]
fn words_that_are_not_unicode_pass_through() {
    let odd = |text: &[u8]| OsString::from_vec(text.to_vec());
    let words = ["ukvm-run".into(), odd(b"--disk=\xff.img"), odd(b"\xfe.elf"), odd(b"\xfd")];
    let Ok(Command::Run { config, .. }) = parse(words, Instant::now()) else { panic!() };
    assert_eq!(config.program.into_os_string(), odd(b"\xfe.elf"));
    assert_eq!(config.arguments, [odd(b"\xfd")]);
    assert!(
        matches!(&config.disks[0].source, DiskSource::Path(path) if path.as_os_str() == odd(b"\xff.img"))
    );
    let error = parse(["ukvm-run".into(), odd(b"--\xff"), "app.elf".into()], Instant::now()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn what_is_wrong_is_one_sentence() {
    refused(&[], "the program is missing; write ukvm-run [OPTIONS] APP.ELF [ARGS], or see ukvm-run --help");
    refused(
        &["--verbose"],
        "the program is missing; write ukvm-run [OPTIONS] APP.ELF [ARGS], or see ukvm-run --help",
    );
    refused(&[""], "the path of the program is empty; name an ELF file");
    refused(&["--memory", "1", "app.elf"], "unknown option --memory; did you mean --mem");
    refused(&["--zzzzzz", "app.elf"], "unknown option --zzzzzz; see ukvm-run --help");
    refused(&["-x", "app.elf"], "unknown option -x; see ukvm-run --help");
    refused(
        &["--no-net-ring", "--net-ring", "above", "app.elf"],
        "--no-net-ring and --net-ring exclude each other; leave one of them out",
    );
    refused(&["--net-ring", "x", "app.elf"], "--net-ring: 'x' is no place for it; write inside or above");
    refused(
        &["--disk", "x,sector=3", "app.elf"],
        "--disk: '3' is not the size of a sector, which is a power of two from 512 to 32768",
    );
    refused(
        &["--console=tty", "app.elf"],
        "--console: 'tty' is no console; write stdio, null, file:PATH, unix:PATH or pty",
    );
    refused(&["--console=unix:", "app.elf"], "--console: 'unix:' names no path; write one behind the colon");
    refused(
        &["--console=pty", "--raw", "app.elf"],
        "--raw is for the terminal on standard input; leave it out, or --console",
    );
    refused(&["--mem"], "--mem needs a value; write it as --mem <SIZE>");
    refused(&["--verbose=1", "app.elf"], "--verbose takes no value; see ukvm-run --help");
    refused(&["--mem=1", "--mem=2", "app.elf"], "--mem is given twice; give it once");
    refused(&["--raw", "--raw", "app.elf"], "--raw is given twice; give it once");
    refused(
        &["--no-aslr", "--aslr-seed=1", "app.elf"],
        "--no-aslr and --aslr-seed exclude each other; leave one of them out",
    );
    refused(&["--mem=0", "app.elf"], "--mem: a guest needs memory, so the size must not be 0; try 64M");
    refused(&["--report=", "app.elf"], "--report: the path is empty; name a file");
}

#[test]
fn nothing_is_bound_twice() {
    refused(&["--net=a=t", "--net=a=u", "x"], "--net: a is bound twice; use each device's name once");
    refused(&["--disk=a=t", "--disk=a=u", "x"], "--disk: a is bound twice; use each device's name once");
    refused(&["--net=a=t", "--net=t", "x"], "--net: t is used twice; give each device a TAP of its own");
    // The names of network and block devices are apart.
    assert_eq!(config(&["--net=a=t", "--disk=a=t", "x"]).disks.len(), 1);

    let file = std::fs::File::open("/dev/null").unwrap();
    let fd = format!("fd:{}", file.as_raw_fd());
    refused(
        &["--net", &fd, "--disk", &fd, "x"],
        &format!("--disk: {fd} is used twice; give each device a descriptor of its own"),
    );
    for option in ["--net", "--disk", "--kvm"] {
        let error = command(&[option, "fd:1000000", "x"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingFile);
        assert!(error.to_string().starts_with(&format!("{option}: fd:1000000 is not open; ")), "{error}");
    }
}

#[test]
fn attach_is_an_action_as_the_first_word_only() {
    let Ok(Command::Attach { console }) = command(&["attach", "a.sock"]) else { panic!() };
    assert_eq!(console, PathBuf::from("a.sock"));
    for (words, program) in [
        (&["./attach", "a"][..], "./attach"),
        (&["--", "attach", "a"], "attach"),
        (&["--mem", "1", "attach", "a"], "attach"),
        (&["help", "a"], "help"),
    ] {
        let config = config(words);
        assert_eq!((config.program, config.arguments), (program.into(), vec!["a".into()]), "{words:?}");
    }
    assert_eq!(config(&["app.elf", "attach"]).arguments, ["attach"]);
    refused(&["attach"], "the socket is missing; write ukvm-run attach PATH, or see ukvm-run --help");
    refused(&["attach", "--mem", "1"], "unknown option --mem; see ukvm-run --help");
    refused(&["attach", "a", "b"], "'b' is a word too many; see ukvm-run --help");
    refused(&["attach", ""], "<PATH>: the path is empty; name a file");
    let Ok(Command::Print(help)) = command(&["attach", "--help"]) else { panic!() };
    assert!(help.contains("Usage: ukvm-run attach PATH") && help.contains("Ctrl-]"), "{help}");
    assert!(help.lines().all(|line| line.len() <= 100), "{help}");
}

#[test]
fn help_and_version_are_texts() {
    for word in ["--help", "-h"] {
        let Ok(Command::Print(help)) = command(&[word]) else { panic!() };
        for part in [
            "Usage: ukvm-run [OPTIONS] APP.ELF [--] [ARGS]...",
            "--mem <SIZE>",
            "Examples:",
            "Exit status:",
            "Guest:",
        ] {
            assert!(help.contains(part), "{part} is not in\n{help}");
        }
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }
    let Ok(Command::Print(version)) = command(&["--version"]) else { panic!() };
    assert_eq!(version, format!("ukvm-run {VERSION} (ABI 1)\n"));
}

#[test]
fn every_option_of_the_help_is_legal_for_clap() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn a_hosted_program_is_not_named() {
    for (words, arguments) in [
        (&["app"][..], &[][..]),
        (&["app", "--mem", "8M"], &[]),
        (&["app", "--mem", "8M", "7"], &["7"]),
        (&["app", "--mem", "8M", "--", "--ip", "--", "x"], &["--ip", "--", "x"]),
        (&["app", "7", "--mem"], &["7", "--mem"]),
    ] {
        let words: Vec<_> = words.iter().map(OsString::from).collect();
        let Ok(Command::Run { config, .. }) = parse_hosted(&words, Instant::now()) else {
            panic!("{words:?}")
        };
        assert_eq!(
            (config.program, config.arguments),
            ("app".into(), arguments.iter().map(OsString::from).collect())
        );
    }
    let words = ["app", "attach", "a.sock"].map(OsString::from);
    assert!(matches!(parse_hosted(&words, Instant::now()), Ok(Command::Attach { .. })));
}
