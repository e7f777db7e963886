use super::*;
use std::os::unix::ffi::OsStringExt;

fn command(words: &[&str]) -> Command {
    parse(
        std::iter::once("/usr/bin/solo5-hvt").chain(words.iter().copied()).map(OsString::from),
        Instant::now(),
    )
}

#[track_caller]
fn run(words: &[&str]) -> (Config, Vec<String>) {
    match command(words) {
        Command::Run { config, warnings } => (*config, warnings),
        Command::Print { text, .. } => panic!("{text}"),
    }
}

#[track_caller]
fn config(words: &[&str]) -> Config {
    let (config, warnings) = run(words);
    assert_eq!(warnings, [""; 0], "{words:?}");
    config
}

/// Status 1, the sentence, then the usage.
#[track_caller]
fn refused(words: &[&str], sentence: &str) {
    match command(words) {
        Command::Print { text, status: 1 } => assert_eq!(text, format!("solo5-hvt: {sentence}\n{USAGE}")),
        other => panic!("{other:?}"),
    }
}

fn net(name: &str, source: NetSource, mac: Option<[u8; 6]>) -> NetConfig {
    NetConfig { name: Some(name.into()), source, mac }
}

fn tap(name: &str) -> NetSource {
    NetSource::Tap(name.into())
}

/// Name, path and sector of each disk.
fn disks(config: &Config) -> Vec<(&str, &str, u32)> {
    let disks = config.disks.iter().map(|disk| {
        let DiskConfig { name, source: DiskSource::Path(path), read_only: false, direct: false, block_size } =
            disk
        else {
            panic!("{disk:?}")
        };
        (name.as_deref().unwrap(), path.to_str().unwrap(), block_size.unwrap())
    });
    disks.collect()
}

#[test]
fn the_name_decides() {
    for name in ["solo5-hvt", "./solo5-hvt", "/usr/lib/albatross/solo5-hvt"] {
        assert!(is_called(Some(OsStr::new(name))), "{name}");
    }
    for name in ["ukvm-run", "solo5-hvt/ukvm-run", "solo5-hvt-debug", "solo5-spt", ""] {
        assert!(!is_called(Some(OsStr::new(name))), "{name}");
    }
    assert!(!is_called(None));
}

#[test]
fn without_options_all_is_as_solo5_has_it() {
    let config = config(&["app.hvt"]);
    let Config {
        program,
        arguments,
        environment,
        memory,
        nets,
        disks,
        timeout,
        console,
        net_ring,
        as_solo5,
        verbose,
        ..
    } = config;
    assert_eq!(program, PathBuf::from("app.hvt"));
    assert!(arguments.is_empty() && environment.is_empty() && nets.is_empty() && disks.is_empty());
    assert_eq!((memory, timeout, net_ring), (None, None, NetRing::Inside));
    assert_eq!(console, ConsoleConfig::Descriptors { input: -1, output: 1, raw: false });
    assert!(as_solo5 && !verbose);
}

#[test]
fn all_behind_the_kernel_is_the_guests() {
    for (words, arguments) in [
        (&["app.hvt", "a", "", "b"][..], &["a", "", "b"][..]),
        (&["--", "app.hvt", "a"], &["a"]),
        (&["app.hvt", "--", "a"], &["--", "a"]),
        (&["--", "app.hvt", "--"], &["--"]),
        (&["app.hvt", "--mem=1", "--help", "--net:x=y"], &["--mem=1", "--help", "--net:x=y"]),
        (&["--mem=64", "app.hvt", "--solo5:quiet"], &["--solo5:quiet"]),
    ] {
        let config = config(words);
        assert_eq!(
            (config.program, config.arguments),
            ("app.hvt".into(), arguments.iter().map(OsString::from).collect())
        );
    }
    assert_eq!(config(&["--", "--odd"]).program, PathBuf::from("--odd"));
    // A value is never a word of its own.
    refused(&["--mem", "512"], "Invalid option: '--mem'");
    let odd = |text: &[u8]| OsString::from_vec(text.to_vec());
    let Command::Run { config, .. } = parse(["solo5-hvt".into(), odd(b"\xfe"), odd(b"\xff")], Instant::now())
    else {
        panic!()
    };
    assert_eq!((config.program.into_os_string(), config.arguments), (odd(b"\xfe"), vec![odd(b"\xff")]));
}

#[test]
fn memory_is_whole_granules() {
    for (word, mib, warning) in [
        ("--mem=2", 2, None),
        ("--mem=512", 512, None),
        ("--mem=4096", 4096, None),
        ("--mem=0064", 64, None),
        ("--mem=64junk", 64, None),
        ("--mem=1", 2, Some("adjusting memory to 2 MB")),
        ("--mem=63", 62, Some("adjusting memory to 62 MB")),
        ("--mem=4095", 4094, Some("adjusting memory to 4094 MB")),
    ] {
        let (config, warnings) = run(&[word, "app.hvt"]);
        assert_eq!(
            (config.memory, warnings.first().map(String::as_str)),
            (Some(mib << 20), warning),
            "{word}"
        );
    }
    assert_eq!(config(&["--mem=2", "--mem=4", "app.hvt"]).memory, Some(4 << 20), "the last counts");
    for value in ["", "0", "00", "-1", "x", "M64"] {
        refused(
            &[&format!("--mem={value}"), "app.hvt"],
            &format!("Malformed argument to --mem: '{value}' is no number of MiB; write it like --mem=64"),
        );
    }
    for value in ["4097", "18446744073709551615", "99999999999999999999"] {
        refused(
            &[&format!("--mem={value}"), "app.hvt"],
            &format!("--mem={value} exceeds the max size of 4096 MiB"),
        );
    }
}

#[test]
fn networks() {
    let words = ["--net-mac:b=02:00:00:00:00:0a", "--net:a=tap0", "--net:b=@5", "--no-net-ring", "app.hvt"];
    let config = config(&words);
    let expected = [net("a", tap("tap0"), None), net("b", NetSource::Fd(5), Some([2, 0, 0, 0, 0, 10]))];
    assert_eq!((config.nets.as_slice(), config.net_ring), (&expected[..], NetRing::Off));

    for (word, why) in [
        ("--net:=tap0", ": a device's name is 1 to 67 letters and digits"),
        ("--net:a-b=tap0", ": a device's name is 1 to 67 letters and digits"),
        ("--net:a=@", ": '@' is not a descriptor; write it like @3"),
        ("--net:a=@-1", ": '@-1' is not a descriptor; write it like @3"),
        ("--net:a=@99999999999", ": '@99999999999' is not a descriptor; write it like @3"),
        ("--net-mac:a=x", ": 'x' is not a hardware address; write it like 02:00:00:12:34:56"),
        ("--net:a", ""),
        ("--net=tap0", ""),
        ("--nets:a=tap0", ""),
        ("--no-net-ring=1", ""),
    ] {
        refused(&[word, "app.hvt"], &format!("Invalid option: '{word}'{why}"));
    }
    let long = format!("--net:{}=tap0", "n".repeat(68));
    refused(
        &[&long, "app.hvt"],
        &format!("Invalid option: '{long}': a device's name is 1 to 67 letters and digits"),
    );
    assert_eq!(run(&[&format!("--net:{}=tap0", "n".repeat(67)), "app.hvt"]).0.nets.len(), 1);
    let Command::Print { text, status: 1 } = command(&["--net:a=sixteen-chars-12", "app.hvt"]) else {
        panic!()
    };
    assert!(text.starts_with(
        "solo5-hvt: Invalid option: '--net:a=sixteen-chars-12': 'sixteen-chars-12' cannot be the name"
    ));
    refused(
        &["--net:a=tap0", "--net:a=tap1", "app.hvt"],
        "Invalid option: '--net:a=tap1': 'a' has this option already",
    );
    refused(
        &["--net-mac:a=02:00:00:00:00:01", "app.hvt"],
        "Invalid option: --net-mac:a says of a device what it has, and not what it is: add --net:a=IFACE",
    );
}

#[test]
fn blocks() {
    let words = [
        "--block-sector-size:b=4096",
        "--block:a=/x y.img",
        "--block:b=a=b,ro",
        "--block-sector-size:c=32768",
        "--block:c=c",
        "app.hvt",
    ];
    assert_eq!(disks(&config(&words)), [("a", "/x y.img", 512), ("b", "a=b,ro", 4096), ("c", "c", 32768)]);

    refused(&["--block:a=", "app.hvt"], "Invalid option: '--block:a=': it names no file");
    refused(
        &["--block:a.b=x", "app.hvt"],
        "Invalid option: '--block:a.b=x': a device's name is 1 to 67 letters and digits",
    );
    refused(
        &["--block:a=x", "--block:a=y", "app.hvt"],
        "Invalid option: '--block:a=y': 'a' has this option already",
    );
    for size in ["0", "511", "513", "1000", "65536", "x", "", "512k", "-512"] {
        let word = format!("--block-sector-size:a={size}");
        refused(
            &[&word, "--block:a=x", "app.hvt"],
            &format!(
                "Invalid option: '{word}': Block size must be a multiple of 2 greater than or equal 512: \
                 '{size}' is not the size of a sector, which is a power of two from 512 to 32768"
            ),
        );
    }
    refused(
        &["--block-sector-size:a=512", "app.hvt"],
        "Invalid option: --block-sector-size:a says of a device what it has, and not what it is: add --block:a=PATH",
    );
}

#[test]
fn what_is_no_option_and_no_kernel() {
    for words in [&[][..], &["--mem=64"], &["--"], &["--mem=2", "--"], &[""]] {
        refused(words, "Missing KERNEL operand");
    }
    for word in ["-", "-x", "-h", "--hel", "--gdb", "--dumpcore=/tmp", "--disk:a=b"] {
        refused(&[word, "app.hvt"], &format!("Invalid option: '{word}'"));
    }
    let Command::Print { text, status: 1 } = command(&["--mem=4", "--help", "app.hvt"]) else { panic!() };
    assert_eq!(text, USAGE);
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    let Command::Print { text, status: 0 } = command(&["--version"]) else { panic!() };
    assert_eq!(text, format!("solo5-hvt (ukvm {})\nABI version 2\n", env!("CARGO_PKG_VERSION")));
}

/// albatross: memory, networks, then their addresses, disks, then the sizes of their sectors, `--`, the image, its arguments.
#[test]
fn the_command_line_of_albatross() {
    let config = config(&[
        "--mem=32",
        "--net:service=tap3",
        "--net:management=tap4",
        "--net-mac:service=00:80:41:9c:1a:2b",
        "--net-mac:management=00:80:41:3d:4e:5f",
        "--block:data=/var/lib/albatross/block/robur.data",
        "--block:index=/var/lib/albatross/block/robur.index",
        "--block-sector-size:index=4096",
        "--",
        "/run/albatross/robur.web.img",
        "--name=web",
        "--ipv4=10.0.0.2/24",
        "-l",
        "*:debug",
    ]);
    assert_eq!(
        (config.memory, config.program.to_str()),
        (Some(32 << 20), Some("/run/albatross/robur.web.img"))
    );
    assert_eq!(config.arguments, ["--name=web", "--ipv4=10.0.0.2/24", "-l", "*:debug"]);
    assert_eq!(
        config.nets,
        [
            net("service", tap("tap3"), Some([0, 0x80, 0x41, 0x9c, 0x1a, 0x2b])),
            net("management", tap("tap4"), Some([0, 0x80, 0x41, 0x3d, 0x4e, 0x5f])),
        ]
    );
    assert_eq!(
        disks(&config),
        [
            ("data", "/var/lib/albatross/block/robur.data", 512),
            ("index", "/var/lib/albatross/block/robur.index", 4096),
        ]
    );
}

/// urunc: memory, network and address, disk, `--`, the unikernel, then its whole command line, in one word or in several.
#[test]
fn the_command_line_of_urunc() {
    let before = [
        "--mem=256",
        "--net:service=tap0_urunc",
        "--net-mac:service=6e:4b:1f:22:33:44",
        "--block:storage=/dev/mapper/containerd-pool-snap-7",
        "--",
        "/unikernel/net.hvt",
    ];
    let (one, several) =
        (["--ipv4=10.4.0.7/24 --ipv4-gateway=10.4.0.1 "], ["--ipv4=10.4.0.7/24", "--ipv4-gateway=10.4.0.1"]);
    for arguments in [&one[..], &several[..]] {
        let config = config(&[&before, arguments].concat());
        assert_eq!((config.memory, config.program.to_str()), (Some(256 << 20), Some("/unikernel/net.hvt")));
        assert_eq!(
            config.nets,
            [net("service", tap("tap0_urunc"), Some([0x6e, 0x4b, 0x1f, 0x22, 0x33, 0x44]))]
        );
        assert_eq!(disks(&config), [("storage", "/dev/mapper/containerd-pool-snap-7", 512)]);
        assert_eq!(config.arguments, arguments);
    }
}

#[test]
fn only_a_tap_that_is_there_is_used() {
    let of = |sources: &[&str]| {
        let words: Vec<String> =
            (0..).zip(sources).map(|(n, source)| format!("--net:n{n}={source}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).chain(["app.hvt"]).collect();
        missing_interface(&config(&words)).map(str::to_owned)
    };
    assert_eq!(of(&[]), None);
    assert_eq!(of(&["lo", "@7"]), None);
    assert_eq!(of(&["lo", "no-such-one", "none-either"]).as_deref(), Some("no-such-one"));
}
