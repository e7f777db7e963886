use super::*;
use crate::cli::{self, Command as Wanted};
use crate::config::{Aslr, Config, ConsoleConfig, DiskSource, KvmSource, NetRing};
use clap::ArgAction;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// A file of its own in a folder that goes when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ukvm-config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, text: &str) -> String {
        let path = self.0.join("vm.toml");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `ukvm-run` does with a file of this text, and these words behind it.
fn with(text: &str, words: &[&str]) -> Result<Wanted, String> {
    let folder = Folder::new(std::thread::current().name().unwrap_or_default().rsplit(':').next().unwrap());
    let file = folder.write(text);
    let words = ["ukvm-run", "--config", &file].into_iter().chain(words.iter().copied());
    let result = cli::parse(words.map(OsString::from), Instant::now());
    result.map_err(|error| error.to_string().replace(&format!("{}/", folder.0.display()), ""))
}

#[track_caller]
fn config(text: &str, words: &[&str]) -> Config {
    match with(text, words) {
        Ok(Wanted::Run { config, .. }) => *config,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(text: &str, words: &[&str], sentence: &str) {
    assert_eq!(with(text, words).unwrap_err(), sentence);
}

/// What `--print-config` prints.
#[track_caller]
fn printed(text: &str, words: &[&str]) -> String {
    match with(text, &[&["--print-config"], words].concat()) {
        Ok(Wanted::Print(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// A value for each option, as a file and as a command line have it. Those about the file itself have none.
const EACH: [(&str, &str, &[&str]); 17] = [
    ("mem", "mem = \"3M\"", &["--mem=3M"]),
    ("env", "env = [\"A=1\", \"B=\\\"2\\\"\"]", &["--env=A=1", "--env=B=\"2\""]),
    (
        "net",
        "net = [\"n=tap0\", \"tap1,mac=02:00:00:00:00:09\"]",
        &["--net=n=tap0", "--net=tap1,mac=02:00:00:00:00:09"],
    ),
    ("disk", "disk = [\"a=/x.img,ro\", \"/y,direct\"]", &["--disk=a=/x.img,ro", "--disk=/y,direct"]),
    ("net-ring", "net-ring = \"above\"", &["--net-ring=above"]),
    ("no-net-ring", "no-net-ring = true", &["--no-net-ring"]),
    ("console", "console = \"unix:/run/a.sock\"", &["--console=unix:/run/a.sock"]),
    ("raw", "raw = true", &["--raw"]),
    ("timeout", "timeout = \"500ms\"", &["--timeout=500ms"]),
    ("timeout", "timeout = 5", &["--timeout=5"]),
    ("grace", "grace = \"1m\"", &["--grace=1m"]),
    ("no-aslr", "no-aslr = true", &["--no-aslr"]),
    ("aslr-seed", "aslr-seed = \"ff\"", &["--aslr-seed=ff"]),
    ("kvm", "kvm = \"/dev/kvm2\"", &["--kvm=/dev/kvm2"]),
    ("report", "report = \"/r.json\"", &["--report=/r.json"]),
    ("inspect", "inspect = true", &["--inspect"]),
    ("verbose", "verbose = true", &["--verbose"]),
];

#[test]
fn every_option_can_be_in_a_file() {
    let plain = |words: &[&str]| {
        let words = ["ukvm-run"].into_iter().chain(words.iter().copied()).chain(["/app.elf", "one", "--two"]);
        format!("{:?}", cli::parse(words.map(OsString::from), Instant::now()).unwrap())
    };
    // The time differs.
    let told = |text: &str| {
        let (before, rest) = text.split_once("started: ").unwrap_or((text, ""));
        format!("{before}{}", rest.split_once('}').unwrap_or_default().1)
    };
    let program = "program = \"/app.elf\"\nargs = [\"one\", \"--two\"]\n";
    let mut seen = BTreeSet::new();
    for (name, line, words) in EACH {
        let text = format!("{program}{line}\n");
        let from_file = format!("{:?}", with(&text, &[]).unwrap());
        assert_eq!(told(&from_file), told(&plain(words)), "{name}");
        assert_ne!(told(&from_file), told(&plain(&[])), "{name} has no effect");
        // And what is printed says the same again.
        let again = printed(&text, &[]);
        assert!(again.lines().any(|printed| printed.starts_with(&format!("{name} = "))), "{again}");
        assert_eq!(told(&format!("{:?}", with(&again, &[]).unwrap())), told(&from_file), "{name}");
        seen.insert(name);
    }
    let command = cli::command();
    let all: BTreeSet<_> = command
        .get_arguments()
        .filter(|option| !matches!(option.get_action(), ArgAction::HelpShort | ArgAction::Version))
        .filter_map(Arg::get_long)
        .filter(|name| !ABOUT_FILE.contains(name))
        .collect();
    assert_eq!(seen, all, "an option has no line in this test");
}

#[test]
fn the_command_line_wins() {
    let text = "program = \"/a.elf\"\nargs = [\"x\"]\nmem = \"8M\"\nnet = [\"tap0\", \"tap1\"]\nenv = [\"A=1\", \"B=2\"]\n";
    let both = config(text, &["--mem=16M", "--net=tap2", "--env=B=3"]);
    assert_eq!((both.memory, both.nets.len()), (Some(16 << 20), 1));
    assert_eq!(both.environment, [("A".into(), "1".into()), ("B".into(), "3".into())]);
    assert_eq!((both.program, both.arguments), ("/a.elf".into(), vec!["x".into()]));
    let other = config(text, &["b.elf", "--", "--mem"]);
    assert_eq!((other.program, other.arguments), ("b.elf".into(), vec!["--mem".into()]));
    assert_eq!(other.memory, Some(8 << 20));
    assert!(config(text, &["b.elf"]).arguments.is_empty());

    // What excludes an option on the command line goes, whichever of the two says so.
    let aslr = |text: &str, word: &str| config(&format!("program = \"/a\"\n{text}\n"), &[word]).aslr;
    assert_eq!(aslr("no-aslr = true", "--aslr-seed=7"), Aslr::Seed(7));
    assert_eq!(aslr("aslr-seed = 7", "--no-aslr"), Aslr::Off);
    let ring = |text: &str, word: &str| config(&format!("program = \"/a\"\n{text}\n"), &[word]).net_ring;
    assert_eq!(ring("no-net-ring = true", "--net-ring=above"), NetRing::Above);
    assert_eq!(ring("net-ring = \"above\"", "--no-net-ring"), NetRing::Off);
    let console = |text: &str, words: &[&str]| config(&format!("program = \"/a\"\n{text}\n"), words).console;
    let raw = ConsoleConfig::Descriptors { input: 0, output: 1, raw: true };
    assert_eq!(console("raw = true", &["--console=pty"]), ConsoleConfig::Pty);
    assert_eq!(console("raw = true", &["--console=stdio"]), raw);
    assert_eq!(console("console = \"unix:/c\"", &["--raw"]), raw);
    assert_eq!(console("console = \"unix:/c\"\nraw = true", &["--console=null"]), ConsoleConfig::Null);
    let text = printed("program = \"/a\"\nraw = true", &["--console=pty"]);
    assert!(text.contains("console = \"pty\"\n") && !text.contains("raw"), "{text}");
    // Defaults are no words of the user's.
    assert_eq!(config("program = \"/a\"\ngrace = \"1s\"", &[]).grace, Duration::from_secs(1));
    let inspect = with("program = \"/a\"\nreport = \"/r\"", &["--inspect"]).unwrap();
    assert!(matches!(inspect, Wanted::Inspect { .. }));
}

#[test]
fn paths_are_those_of_the_files_folder() {
    let folder = Folder::new("paths");
    let file = folder.write(
        "program = \"../a.elf\"\nargs = [\"a.txt\"]\nreport = \"r.json\"\nkvm = \"kvm\"\nconsole = \"unix:c\"\n\
         disk = [\"data=d=1.img,ro\", \"x=y.img\", \"./e=f\", \"/abs\"]\n",
    );
    let words = ["ukvm-run", "--config", &file].map(OsString::from);
    let Ok(Wanted::Run { config, report }) = cli::parse(words, Instant::now()) else { panic!() };
    let here = &folder.0;
    assert_eq!((config.program, config.arguments), (here.join("../a.elf"), vec!["a.txt".into()]));
    assert_eq!(report, Some(here.join("r.json")));
    assert_eq!(config.kvm, KvmSource::Path(here.join("kvm")));
    assert_eq!(config.console, ConsoleConfig::Unix(here.join("c")));
    let disks: Vec<_> = config
        .disks
        .iter()
        .map(|disk| match &disk.source {
            DiskSource::Path(path) => (disk.name.as_deref(), path.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        disks,
        [
            (Some("data"), here.join("d=1.img")),
            (Some("x"), here.join("y.img")),
            (None, here.join("./e=f")),
            (None, "/abs".into())
        ]
    );
    // What is printed holds wherever it is read, also for what the command line says.
    let words = ["ukvm-run", "--config", &file, "--print-config", "--report=s.json"].map(OsString::from);
    let Ok(Wanted::Print(text)) = cli::parse(words, Instant::now()) else { panic!() };
    assert!(
        text.contains(&format!("report = \"{}/s.json\"\n", std::env::current_dir().unwrap().display())),
        "{text}"
    );
    assert!(text.contains(&format!("console = \"unix:{}/c\"\n", here.display())), "{text}");
}

#[test]
fn every_value_with_a_path_is_known_to_have_one() {
    let command = cli::command();
    for option in settable(&command) {
        let (name, value) =
            (option.get_long().unwrap(), option.get_value_names().unwrap_or_default().join(""));
        let has_path = value.contains("PATH") || value.contains("FILE");
        let samples = ["x", "n=x", "file:x", "unix:x"];
        let found = samples.iter().any(|sample| value::path_in(name, OsStr::new(sample)).is_some());
        assert_eq!(found, has_path, "{name} {value}");
    }
    for (option, value) in
        [("disk", "fd:3"), ("kvm", "fd:3"), ("console", "pty"), ("disk", "a="), ("net", "tap0")]
    {
        assert_eq!(value::path_in(option, OsStr::new(value)), None, "{option} {value}");
    }
}

#[test]
fn what_is_wrong_is_one_sentence_with_its_line() {
    let program = "program = \"/a\"\n";
    let wrong = |line: &str, sentence: &str| refused(&format!("{program}{line}"), &[], sentence);
    wrong("memory = 1", "vm.toml, line 2: there is no option memory; did you mean mem");
    wrong("aslr_seed = 1", "vm.toml, line 2: there is no option aslr_seed; did you mean aslr-seed");
    wrong("\n[[disks]]\npath = 1", "vm.toml, line 3: there is no option disks; did you mean disk");
    wrong("arg = []", "vm.toml, line 2: there is no option arg; did you mean args");
    wrong("zzz = 1", "vm.toml, line 2: there is no option zzz; see ukvm-run --help");
    wrong("help = true", "vm.toml, line 2: there is no option help; see ukvm-run --help");
    wrong("config = \"x\"", "vm.toml, line 2: there is no option config; see ukvm-run --help");
    wrong("raw = 1", "vm.toml, line 2: raw is a switch: write true or false");
    wrong("mem = [\"1M\"]", "vm.toml, line 2: mem takes one value: write it as a string");
    wrong("mem = 1.5", "vm.toml, line 2: mem takes one value: write it as a string");
    wrong("net = [true]", "vm.toml, line 2: net takes strings: write them as [\"A\", \"B\"]");
    wrong("disk = { path = \"x\" }", "vm.toml, line 2: disk takes strings: write them as [\"A\", \"B\"]");
    wrong("args = \"x\"", "vm.toml, line 2: args are strings: write them as [\"A\", \"B\"]");
    wrong("mem = 0", "vm.toml: --mem: a guest needs memory, so the size must not be 0; try 64M");
    wrong(
        "no-aslr = true\naslr-seed = 1",
        "vm.toml: --aslr-seed and --no-aslr exclude each other; leave one of them out",
    );
    refused("program = 1", &[], "vm.toml, line 1: program is the path of an ELF file: write it as a string");
    refused(
        "program = \"\"",
        &[],
        "vm.toml, line 1: program is the path of an ELF file: write it as a string",
    );
    refused(
        "mem = 1",
        &[],
        "vm.toml: it names no program; add program = \"APP.ELF\", or write APP.ELF behind the options",
    );
    for text in ["mem = ", "mem", "a = 1\na = 2", "= 1", "\u{0}", "x = \"\\q\"", "[", "a = [1"] {
        let error = with(&format!("{program}{text}"), &[]).unwrap_err();
        assert!(error.starts_with("vm.toml, line ") && !error.contains('\n'), "{text:?}: {error}");
    }
    let error = with("program = \"/a\"", &["--mem=x"]).unwrap_err();
    assert!(error.starts_with("--mem: 'x' is not a size"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let command = cli::command();
    let read = |path: &str| ConfigFile::read(Path::new(path), &command).unwrap_err();
    let error = read("/nowhere/vm.toml");
    assert_eq!(error.kind(), ErrorKind::MissingFile);
    assert!(error.to_string().starts_with("--config: /nowhere/vm.toml cannot be read ("), "{error}");
    assert_eq!(read("/").kind(), ErrorKind::HostIo);
    assert_eq!(
        read("/dev/zero").to_string(),
        "--config: /dev/zero has more than 1 MiB; name a file with options"
    );
    let folder = Folder::new("bytes");
    let path = folder.0.join("vm.toml");
    fs::write(&path, b"mem = \"\xff\"").unwrap();
    let error = read(path.to_str().unwrap());
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("UTF-8"), "{error}");
}

#[test]
fn what_toml_cannot_hold_is_not_printed() {
    use std::os::unix::ffi::OsStringExt;
    let words = ["ukvm-run".into(), "--print-config".into(), OsString::from_vec(b"--report=\xff".to_vec())];
    let error = cli::parse(words, Instant::now()).unwrap_err().to_string();
    assert!(error.starts_with("report has the value '") && error.contains("not Unicode"), "{error}");
    // All else is.
    let text = "program = \"/a \\\"b\\\" \\\\ \\u0007 é\\n\"\n";
    assert_eq!(config(&printed(text, &[]), &[]).program, PathBuf::from("/a \"b\" \\ \u{7} é\n"));
}
