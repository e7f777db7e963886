//! `ukvm-runner`, as cargo starts it for a program.

use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use ukvm_tests::artifacts::{artifacts, guest};
use ukvm_tests::files;
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::{Run, Running, SOON};
use ukvm_tests::suite::{Need, patience};
use ukvm_tests::terminal::Terminal;
use ukvm_tests::user::{Devices, NOBODY, in_private_mounts};

ukvm_tests::tests! {
    a_guest_is_reached_without_set_up .needs(&[Need::Network]);
    a_taken_port_is_passed_over .needs(&[Need::Network]);
    an_ordinary_user_needs_no_set_up .needs(&[Need::Network, Need::Root]);
    addresses_are_told_unless_unwanted .needs(&[Need::Network]);
    signals_go_to_the_guest .needs(&[Need::Network]);
    control_c_comes_once .needs(&[Need::Network, Need::Program("setsid")]);
    the_guest_ends_with_the_runner .needs(&[Need::Network]);
    status_input_and_output_pass_through;
    the_projects_file_counts .needs(&[Need::Network]);
    what_is_missing_is_named;
    networks_are_made_for_all_or_none .needs(&[Need::Network]);
    several_devices_have_networks_of_their_own .needs(&[Need::Network]);
    wrong_words;
}

/// The first program, a server that sends back what it gets, reachable at a port from `port` on.
fn server(port: u16) -> Run {
    Run::guest("first-program").runner().option("--forward", format!("{port}:7"))
}

/// The port at which it says that the guest is reached.
fn port(guest: &Running) -> u16 {
    guest.wait_for_error("of the guest\n");
    let line = guest.errors_so_far();
    let port = line.strip_prefix("127.0.0.1:").and_then(|rest| rest.strip_suffix(" → port 7 of the guest\n"));
    port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// Sends much there and gets it back.
fn talk(port: u16) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    stream.set_read_timeout(Some(patience(SOON))).expect("a time limit");
    let sent: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
    let mut writer = stream.try_clone().expect("a descriptor");
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).expect("the guest takes everything");
            // That this is the end must reach the guest, whose end then comes back.
            writer.shutdown(Shutdown::Write).expect("an end");
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("an answer");
        received
    });
    assert!(received == sent, "{} bytes came back", received.len());
}

fn a_guest_is_reached_without_set_up() {
    in_namespace(|| {
        let before = network::interfaces();
        let guest = server(8070).start();
        // At once: what comes too early for the guest waits.
        assert_eq!(port(&guest), 8070);
        talk(8070);
        talk(8070);
        assert_eq!(network::interfaces(), before, "its interface is in a network of its own");
        guest.signal(Signal::SIGTERM);
        let text = guest.wait().status(143).text();
        assert!(text.starts_with("ready\nhello, 10.0.0.1:"), "{text}");
    });
}

fn a_taken_port_is_passed_over() {
    in_namespace(|| {
        let taken = TcpListener::bind("127.0.0.1:8070").expect("a port");
        let (first, second) = (server(8070).start(), server(8070).start());
        let mut ports = [port(&first), port(&second)];
        for port in ports {
            talk(port);
        }
        ports.sort_unstable();
        assert_eq!(ports, [8071, 8072]);
        drop(taken);
    });
}

fn an_ordinary_user_needs_no_set_up() {
    in_private_mounts(Devices::Open, |mounts| {
        let runner = mounts.scratch.join("ukvm-runner");
        std::fs::copy(&artifacts().runner, &runner).expect("a copy");
        let run = |name: &str| {
            let run = Run::elf(mounts.guest(name)).monitor(&runner).option("--monitor", &mounts.monitor);
            run.user(NOBODY).current_directory(&mounts.scratch)
        };
        let guest = run("first-program").option("--forward", "8070:7").start();
        talk(port(&guest));
        guest.signal(Signal::SIGINT);
        let _ = guest.wait().status(130);
        let tests = run("checks").args(["reaches_the_host"]).finish().status(0).text();
        assert!(tests.contains("test result: ok. 2 passed; 0 failed;"), "{tests}");
    });
}

fn addresses_are_told_unless_unwanted() {
    // In place of the monitor what prints its arguments.
    let told = |options: &[&str]| {
        let run = Run::guest("first-program").monitor(&artifacts().runner).option("--monitor", "/bin/echo");
        let run = run.options(["--forward", "none"]).options(options);
        let text = run.args(["word"]).finish().status(0).text();
        text.split_once(" -- ").map(|(_, told)| told.to_owned()).unwrap_or_else(|| panic!("{text}"))
    };
    assert_eq!(told(&[]), "--ip 10.0.0.2/24 --ip fd00::2/64 word\n");
    assert_eq!(told(&["--no-addresses"]), "word\n");
}

fn signals_go_to_the_guest() {
    in_namespace(|| {
        let guest = Run::guest("echo").runner().option("--forward", "none").start();
        guest.wait_for("echo: TCP and UDP port 7 of 10.0.0.2\n");
        guest.signal(Signal::SIGINT);
        // It obeys the notice, of which there was one.
        let _ = guest.wait().status(0).quietly();

        // One that the monitor does not handle ends it: what the runner has blocked is not blocked there.
        let guest = server(8070).start();
        talk(port(&guest));
        guest.signal(Signal::SIGQUIT);
        let _ = guest.wait().status(131);
    });
}

/// A terminal sends it to all that are in the foreground: a second one, passed on, would end the guest at once.
fn control_c_comes_once() {
    in_namespace(|| {
        let mut terminal = Terminal::new();
        let setsid = files::program("setsid").expect("checked before");
        let (runner, monitor) = (&artifacts().runner, &artifacts().monitor);
        let words = ["--ctty".as_ref(), "--wait".as_ref(), runner.as_os_str(), "--monitor".as_ref()];
        let run = Run::bare().monitor(&setsid).options(words).options([monitor.as_os_str()]);
        let run = run.options(["--forward", "none"]).options([guest("echo").as_os_str()]);
        let guest = run.stdin(terminal.end()).stdout(terminal.end()).start();
        terminal.wait_for("echo: TCP and UDP port 7 of 10.0.0.2");
        terminal.type_keys(b"\x03");
        let _ = guest.wait().status(0).quietly();
    });
}

fn the_guest_ends_with_the_runner() {
    in_namespace(|| {
        let guest = server(8070).start();
        let port = port(&guest);
        talk(port);
        guest.signal(Signal::SIGKILL);
        assert_eq!(guest.wait().code(), None, "killed");
        // The output would not have ended before, had the guest lived on; and the way to it is gone.
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    });
}

fn status_input_and_output_pass_through() {
    Run::guest("status").runner().args(["3"]).finish().status(3).prints("").quietly();
    let panicked = Run::guest("outcome").runner().args(["panic"]).finish().status(134);
    let _ = panicked.says(&["ukvm-run: guest panic: "]);
    let echoed = Run::guest("console-echo").runner().input("to and fro\n").finish().status(0);
    assert!(echoed.text().contains("to and fro\n"), "{}", echoed.text());
}

/// A directory of a package with this file.
fn package(file: &str, text: &str) -> tempfile::TempDir {
    let directory = files::directory();
    let path = directory.path().join(file);
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a directory");
    std::fs::write(path, text).expect("a file");
    directory
}

fn the_projects_file_counts() {
    in_namespace(|| {
        network::make_tap_with_address("tap7");
        let package = package("vm.toml", "net = [\"tap7\"]\nenv = [\"LOG=debug\"]\n");
        let run = Run::guest("echo").runner().variable("CARGO_MANIFEST_DIR", package.path());
        let guest = run.args(["--ip", "10.0.0.9/24"]).start();
        guest.wait_for("of 10.0.0.9\n");
        assert_eq!(guest.errors_so_far(), "", "no way is made where there is one");
        let _ = ukvm_tests::client::connect(Ipv4Addr::new(10, 0, 0, 9).into(), 7);
        drop(guest);
    });
    let package = package("vm.toml", "mem = 3\nmen = 4\n");
    let run = Run::guest("status").runner().variable("CARGO_MANIFEST_DIR", package.path());
    let _ = run.finish().status(64).says(&["ukvm-runner: ", "vm.toml, line 2: there is no option men"]);
}

fn what_is_missing_is_named() {
    let package = files::directory();
    let run = |name: &str| Run::guest(name).runner().variable("CARGO_MANIFEST_DIR", package.path());
    let file = package.path().join("vm.toml");
    let remedy = format!("write disk = [\"data=PATH,ro\"] into {}", file.display());
    let _ = run("auth-service").finish().status(78).says(&["needs the block device 'data'", &remedy]);
    let absent = Run::elf("/nowhere/app").runner().finish().status(66);
    let _ = absent.says(&["ukvm-runner: /nowhere/app does not exist"]);
    let program = Run::elf("/bin/true").runner().finish().status(65);
    let _ = program.says(&["ukvm-runner: /bin/true ", "not a ukvm unikernel"]);
    let monitor = Run::guest("status").monitor(&artifacts().runner).option("--monitor", "/nowhere/ukvm-run");
    let _ =
        monitor.finish().status(66).says(&["/nowhere/ukvm-run cannot be started", "name it by --monitor"]);
}

fn networks_are_made_for_all_or_none() {
    let disks = "disk = [\"/dev/null\", \"/dev/null\"]\n";
    let package = package("vm.toml", &format!("net = [\"front=tap7\"]\n{disks}"));
    let run = Run::guest("two-of-each").runner().variable("CARGO_MANIFEST_DIR", package.path());
    let _ = run.finish().status(78).says(&["ukvm-runner: ", "not 'back': write one for each, or none"]);
}

fn several_devices_have_networks_of_their_own() {
    in_namespace(|| {
        let directory = files::directory();
        let image =
            |name: &str, byte: u8| files::file(directory.path(), name, &[byte; 512]).display().to_string();
        let disks = [image("a.img", b'a'), image("b.img", b'b')];
        std::fs::write(directory.path().join("vm.toml"), format!("disk = {disks:?}\n")).expect("a file");
        let run = Run::guest("two-of-each").runner().option("--forward", "8070:7");
        let run = run.variable("CARGO_MANIFEST_DIR", directory.path());
        let guest = run.args(["--front=10.0.0.2/24", "--back=10.0.1.2/24"]).start();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port(&guest))).expect("a connection");
        let mut sector = Vec::new();
        stream.read_to_end(&mut sector).expect("a sector");
        assert_eq!(sector, [b'a'; 512], "the first device is the one that is reached");
        guest.wait_for("back: 10.0.1.2/24\n");
    });
}

fn wrong_words() {
    let run = |words: &[&str]| Run::bare().monitor(&artifacts().runner).options(words).finish();
    let _ = run(&[]).status(64).says(&["APP.ELF"]);
    let _ = run(&["--forward", "80", "app"]).status(64).says(&["8080:80"]);
    let help = run(&["--help"]).status(0).text();
    assert!(help.contains("--forward") && help.contains("vm.toml"), "{help}");
}
