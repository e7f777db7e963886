//! `--console unix:PATH` and `ukvm-run attach`.

use nix::sys::signal::Signal;
use nix::sys::termios::LocalFlags;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ukvm_tests::artifacts::{artifacts, guest};
use ukvm_tests::files;
use ukvm_tests::run::{Run, Running, SOON};
use ukvm_tests::suite::{Need, patience};
use ukvm_tests::terminal::Terminal;
use ukvm_tests::user::NOBODY;

ukvm_tests::tests! {
    who_joins_sees_the_last_lines_types_and_leaves;
    two_watch_and_both_type;
    a_watcher_that_does_not_read_holds_up_nobody;
    a_watcher_that_reads_again_is_told_what_it_missed;
    the_end_of_the_guest_ends_the_watching;
    the_last_words_of_a_guest_reach_who_watches;
    there_is_room_for_so_many;
    the_words_of_a_refusal_printed_by_a_guest;
    a_guest_that_computes_can_be_joined;
    a_solo5_guest_can_be_joined;
    the_terminal_is_restored_whatever_ends_it;
    control_bracket_leaves_a_guest_that_does_not_read;
    without_a_terminal_it_copies;
    nobody_reads_what_is_watched_any_more;
    any_program_can_watch;
    there_is_nothing_to_join;
    the_socket_of_another_user .needs(&[Need::Root]);
    a_socket_that_was_left_over_is_replaced;
    a_path_that_cannot_be_a_socket;
    a_program_that_is_called_attach;
}

/// A socket's place.
struct Place {
    _directory: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = files::directory();
        let path = directory.path().join("console");
        Self { _directory: directory, path }
    }

    /// The guest with its console here, once it can be joined.
    fn start(&self, run: Run) -> Running {
        let guest = run.option("--console", format!("unix:{}", self.path.display())).start();
        let end = Instant::now() + patience(SOON);
        while UnixStream::connect(&self.path).is_err() {
            assert!(Instant::now() < end, "nobody listens on {}", self.path.display());
            std::thread::sleep(Duration::from_millis(2));
        }
        guest
    }

    fn attach(&self) -> Run {
        attach(&self.path)
    }

    /// Joins in a terminal, and waits until it has done so.
    fn attach_in(&self, terminal: &Terminal) -> Running {
        let watching = self.attach().stdin(terminal.end()).stdout(terminal.end()).start();
        watching.wait_for_error("; Ctrl-] leaves it\n");
        watching
    }
}

fn attach(path: &Path) -> Run {
    Run::bare().options(["attach".as_ref(), path.as_os_str()])
}

fn who_joins_sees_the_last_lines_types_and_leaves() {
    let (place, mut terminal) = (Place::new(), Terminal::new());
    let before = terminal.settings();
    let mut guest = place.start(Run::guest("console-echo").args(["prompt"]));
    let mode = fs::metadata(&place.path).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let watching = place.attach_in(&terminal);
    terminal.wait_for("? ");
    let flags = terminal.settings().local_flags;
    assert!(!flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG), "{flags:?}");
    // Ctrl-C, Ctrl-D, Ctrl-Z and letters, none with a return.
    terminal.type_keys(b"\x03\x04\x1ayes");
    terminal.wait_for("? \u{3}\u{4}\u{1a}yes");
    terminal.type_keys(b"\x1d");
    let _ = watching.wait().status(0).says(&["detached, and the guest runs on\n"]);
    assert_eq!(terminal.settings(), before);
    assert!(guest.is_running());

    let mut terminal = Terminal::new();
    let watching = place.attach_in(&terminal);
    terminal.wait_for("? \u{3}\u{4}\u{1a}yes");
    // What stands before the key that leaves still counts.
    terminal.type_keys(b"last\x1dnot this");
    let _ = watching.wait().status(0);
    let mut terminal = Terminal::new();
    let _watching = place.attach_in(&terminal);
    terminal.wait_for("yeslast");
    assert!(guest.is_running());
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143).prints("").quietly();
    assert!(!place.path.exists());
}

fn two_watch_and_both_type() {
    let (place, mut first, mut second) = (Place::new(), Terminal::new(), Terminal::new());
    let guest = place.start(Run::guest("console-echo"));
    let one = place.attach_in(&first);
    let two = place.attach_in(&second);
    first.type_keys(b"first.");
    first.wait_for("first.");
    second.wait_for("first.");
    second.type_keys(b"second.");
    first.wait_for("first.second.");
    second.wait_for("first.second.");
    // One leaves, and the other goes on.
    first.type_keys(b"\x1d");
    let _ = one.wait().status(0);
    second.type_keys(b"third.");
    second.wait_for("first.second.third.");
    drop(guest);
    let _ = two.wait().status(0);
}

fn a_watcher_that_does_not_read_holds_up_nobody() {
    let place = Place::new();
    let mut guest = place.start(Run::guest("console-echo").args(["prompt"]));
    let (_unread, full) = files::full_pipe();
    let mut stuck = place.attach().input_pipe().stdout(full).start();
    stuck.wait_for_error("attached");
    let mut typing = UnixStream::connect(&place.path).expect("a connection");
    typing.set_read_timeout(Some(patience(SOON))).expect("a time limit");
    typing.read_exact(&mut [0; 2]).expect("the prompt");
    let line = [[b'x'; 9999].as_slice(), b"\n"].concat();
    let mut seen = vec![0; line.len()];
    // More than a socket and two pipes hold.
    for _ in 0..200 {
        typing.write_all(&line).expect("a write");
        typing.read_exact(&mut seen).expect("its echo");
        assert!(seen == line);
    }
    assert!(stuck.is_running() && guest.is_running());
    guest.signal(Signal::SIGTERM);
    let start = Instant::now();
    let _ = guest.wait().status(143).quietly();
    // Nobody waits for who was too slow.
    assert!(start.elapsed() < patience(Duration::from_millis(800)), "{:?}", start.elapsed());
    assert_eq!(typing.read(&mut seen).expect("the end"), 0);
}

fn a_watcher_that_reads_again_is_told_what_it_missed() {
    let place = Place::new();
    let guest = place.start(Run::guest("flood").args(["8000000"]).option("--timeout", "20s"));
    let mut slow = UnixStream::connect(&place.path).expect("a connection");
    let _ = guest.wait().status(0).quietly();
    let mut seen = Vec::new();
    let _ = slow.read_to_end(&mut seen).expect("the output");
    // What its socket took, and no more.
    assert!(!seen.is_empty() && seen.len() < 4_000_000, "{}", seen.len());

    let place = Place::new();
    let mut guest = place.start(Run::guest("flood"));
    let mut slow = UnixStream::connect(&place.path).expect("a connection");
    std::thread::sleep(patience(Duration::from_millis(200)));
    let mut seen = Vec::new();
    let mut piece = vec![0; 1 << 16];
    while !String::from_utf8_lossy(&seen).contains(" bytes left out]\r\n") {
        let count = slow.read(&mut piece).expect("output");
        assert!(count > 0 && seen.len() < 1 << 30);
        // The last of what was there before, and this.
        let kept = seen.len().saturating_sub(100);
        seen = [&seen[kept..], &piece[..count]].concat();
    }
    assert!(guest.is_running());
}

fn the_end_of_the_guest_ends_the_watching() {
    for (arguments, status) in [(["obey"], 7), (["deaf"], 143)] {
        let (place, mut terminal) = (Place::new(), Terminal::new());
        let before = terminal.settings();
        let guest = place.start(Run::guest("shutdown").args(arguments));
        let watching = place.attach_in(&terminal);
        terminal.wait_for("ready");
        guest.signal(Signal::SIGTERM);
        let _ = guest.wait().status(status);
        let _ = watching.wait().status(0).says(&["the console is closed: the guest has ended\n"]);
        assert_eq!(terminal.settings(), before);
    }
    // Also where it was killed.
    let place = Place::new();
    let guest = place.start(Run::guest("console-echo"));
    let watching = place.attach().input_pipe().start();
    watching.wait_for_error("attached");
    guest.signal(Signal::SIGKILL);
    let _ = watching.wait().status(0).says(&["the guest has ended"]);
}

fn the_last_words_of_a_guest_reach_who_watches() {
    // As much as is kept at most, printed just before the end.
    for length in [1, 9_999, 60_000] {
        let place = Place::new();
        let guest = place.start(Run::guest("flood").args([&length.to_string(), "on-input"]));
        let mut watching = place.attach().input_pipe().start();
        watching.wait_for_error("attached");
        watching.send(b"!");
        let _ = guest.wait().status(0).quietly();
        let all: Vec<u8> = (0..length).map(|place| b'0' + (place % 10) as u8).collect();
        let ended = watching.wait().status(0).says(&["the guest has ended"]);
        assert!(ended.output == all, "{} of {length}", ended.output.len());
    }
}

fn there_is_room_for_so_many() {
    let place = Place::new();
    let mut guest = place.start(Run::guest("console-echo").args(["prompt"]));
    let connect = || {
        let mut stream = UnixStream::connect(&place.path).expect("a connection");
        stream.set_read_timeout(Some(patience(SOON))).expect("a time limit");
        stream.read_exact(&mut [0; 2]).expect("the prompt");
        stream
    };
    let mut all: Vec<_> = (0..16).map(|_| connect()).collect();
    let _ = place
        .attach()
        .input_pipe()
        .finish()
        .status(78)
        .prints("")
        .says(&["16 others watch ", " already: have one of them leave"]);
    assert!(guest.is_running());
    drop(all.pop());
    let watching = place.attach().input_pipe().start();
    watching.wait_for("? ");
}

fn the_words_of_a_refusal_printed_by_a_guest() {
    let place = Place::new();
    let guest = place.start(Run::guest("console-echo"));
    let words = b"ukvm-run: 16 others watch this console already\r\n";
    let mut stream = UnixStream::connect(&place.path).expect("a connection");
    stream.write_all(words).expect("a write");
    stream.read_exact(&mut vec![0; words.len()]).expect("its echo");
    let mut watching = place.attach().input_pipe().start();
    watching.wait_for("already\r\n");
    watching.send(b"more");
    watching.wait_for("more");
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143);
    let _ = watching.wait().status(0).says(&["the guest has ended"]);
}

fn a_guest_that_computes_can_be_joined() {
    let (place, mut terminal) = (Place::new(), Terminal::new());
    let guest = place.start(Run::guest("spin"));
    let watching = place.attach_in(&terminal);
    terminal.wait_for("spinning");
    terminal.type_keys(b"\x1d");
    let _ = watching.wait().status(0);
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143);
}

fn a_solo5_guest_can_be_joined() {
    let place = Place::new();
    // It polls for 50 ms each time.
    let guest = place.start(Run::hvt("poll").args(["50000000", "1000"]));
    let watching = place.attach().input_pipe().start();
    watching.wait_for("poll: ready 0 set 0x0");
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143);
    let _ = watching.wait().status(0);
}

fn the_terminal_is_restored_whatever_ends_it() {
    let place = Place::new();
    let mut guest = place.start(Run::guest("console-echo"));
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let terminal = Terminal::new();
        let before = terminal.settings();
        let watching = place.attach_in(&terminal);
        let end = Instant::now() + patience(SOON);
        while terminal.settings() == before {
            assert!(Instant::now() < end, "no raw mode");
            std::thread::sleep(Duration::from_millis(2));
        }
        watching.signal(signal);
        let ended = watching.wait();
        assert_eq!(ended.code(), None, "{ended:?}");
        assert_eq!(terminal.settings(), before, "after {signal}");
    }
    assert!(guest.is_running());
}

fn control_bracket_leaves_a_guest_that_does_not_read() {
    let (place, mut terminal) = (Place::new(), Terminal::new());
    let mut guest = place.start(Run::guest("spin"));
    let watching = place.attach_in(&terminal);
    terminal.wait_for("spinning");
    // More than monitor, socket and client keep.
    for _ in 0..400 {
        terminal.type_keys(&[b'x'; 1000]);
    }
    terminal.type_keys(b"\x1d");
    let _ = watching.wait().status(0);
    assert!(guest.is_running());
}

fn without_a_terminal_it_copies() {
    let place = Place::new();
    let guest = place.start(Run::guest("console-echo").args(["prompt"]));
    // Ctrl-] is a byte as any other there, and the end of the input ends nothing.
    let bytes: Vec<u8> = (0..=255).collect();
    let mut watching = place.attach().input(bytes.clone()).start();
    watching.wait_for("? ");
    let end = Instant::now() + patience(SOON);
    while watching.output_so_far().len() < 2 + bytes.len() {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut other = place.attach().input_pipe().start();
    other.send(b"more");
    watching.wait_for("more");
    assert!(watching.is_running());
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143);
    let ended = watching.wait().status(0).says(&["attached to ", "the guest has ended"]);
    assert!(!ended.errors.contains("Ctrl-]"), "{}", ended.errors);
    assert!(ended.output == [b"? ".as_slice(), &bytes, b"more"].concat());
}

fn nobody_reads_what_is_watched_any_more() {
    let place = Place::new();
    let mut guest = place.start(Run::guest("flood"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let watching = place.attach().stdout(writer).start();
    drop(reader);
    let _ = watching.wait().status(141);
    assert!(guest.is_running());
}

fn any_program_can_watch() {
    let place = Place::new();
    let guest = place.start(Run::guest("console-echo").args(["prompt"]));
    let mut stream = UnixStream::connect(&place.path).expect("a connection");
    stream.set_read_timeout(Some(patience(SOON))).expect("a time limit");
    stream.write_all(b"\0\xff").expect("a write");
    let mut seen = [0; 4];
    stream.read_exact(&mut seen).expect("the output");
    assert_eq!(&seen, b"? \0\xff");
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143);
    assert_eq!(stream.read(&mut seen).expect("the end"), 0);
}

fn there_is_nothing_to_join() {
    let directory = files::directory();
    let none = directory.path().join("none");
    let _ = attach(&none).finish().refuses(66, &["there is no ", "none", "--console unix:"]);
    let left = directory.path().join("left");
    drop(UnixListener::bind(&left).expect("a socket"));
    let _ = attach(&left).finish().refuses(66, &["nobody listens on ", "has ended"]);
    let file = files::file(directory.path(), "file", b"");
    let _ = attach(&file).finish().refuses(78, &["is no socket"]);
    let _ = attach(&directory.path().join("x".repeat(200))).finish().refuses(78, &["107", "shorter"]);
    let _ = Run::bare().options(["attach"]).finish().refuses(64, &["attach PATH"]);
    let _ = Run::bare().options(["attach", ""]).finish().refuses(64, &["empty"]);
    let _ = Run::bare().options(["attach", "a", "b"]).finish().refuses(64, &["'b'"]);
}

fn the_socket_of_another_user() {
    let place = Place::new();
    let directory = place.path.parent().expect("a directory");
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(directory, open).expect("it is ours");
    // The one that was built may be in a directory that is closed to others.
    let monitor = directory.join("ukvm-run");
    fs::copy(&artifacts().monitor, &monitor).expect("a copy");
    let _guest = place.start(Run::guest("console-echo"));
    let _ = place.attach().monitor(&monitor).user(NOBODY).finish().refuses(77, &["another user"]);
}

fn a_socket_that_was_left_over_is_replaced() {
    let place = Place::new();
    let guest = place.start(Run::guest("console-echo"));
    // While it is in use nobody else gets it.
    let option = format!("unix:{}", place.path.display());
    let second = Run::guest("console-echo").option("--console", &option).finish();
    let _ = second.refuses(78, &["another process listens on "]);
    guest.signal(Signal::SIGKILL);
    drop(guest);
    assert!(place.path.exists());
    let guest = place.start(Run::guest("console-echo").args(["prompt"]));
    place.attach().input_pipe().start().wait_for("? ");
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143);
    assert!(!place.path.exists());
}

fn a_path_that_cannot_be_a_socket() {
    let directory = files::directory();
    let file = files::file(directory.path(), "file", b"mine");
    let refused = |path: &Path, status, words: &[&str]| {
        let option = format!("unix:{}", path.display());
        let _ = Run::guest("status").option("--console", option).finish().refuses(status, words);
    };
    refused(&file, 78, &["is there and is no socket"]);
    assert_eq!(fs::read(&file).expect("the file"), b"mine");
    refused(&directory.path().join("no/console"), 66, &["cannot be a socket"]);
    refused(&directory.path().join("x".repeat(200)), 78, &["107"]);
    // Where the guest cannot start, nothing is left.
    let path = directory.path().join("console");
    let run = Run::guest("status").option("--console", format!("unix:{}", path.display()));
    let _ = run.option("--kvm", "/nowhere").finish().status(69);
    assert!(!path.exists());
}

fn a_program_that_is_called_attach() {
    let directory = files::directory();
    let program = directory.path().join("attach");
    let _ = fs::copy(guest("status"), &program).expect("a copy");
    let run = Run::elf("./attach").current_directory(directory.path()).args(["3"]);
    let _ = run.finish().status(3).quietly();
    let run = Run::bare().options(["--mem", "64M", "attach", "4"]).current_directory(directory.path());
    let _ = run.finish().status(4).quietly();
}
