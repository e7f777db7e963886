//! The console on pipes and files.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use ukvm_abi::request::Status;
use ukvm_tests::files::{self, noise};
use ukvm_tests::run::Run;

ukvm_tests::tests! {
    pipes_are_binary_clean_both_ways;
    files_are_binary_clean_both_ways;
    a_file_is_appended_to_where_it_is_opened_so;
    output_is_there_when_it_is_written;
    input_arrives_as_it_is_typed;
    the_end_of_input_is_a_completion;
    a_closed_input_is_an_end_of_input;
    a_flood_is_complete_and_in_order;
    output_that_nobody_reads_waits;
    a_guest_that_waits_for_a_reader_ends_on_a_signal;
    a_closed_pipe_ends_things_quietly;
    a_full_device_is_an_error_for_the_guest;
    inherited_descriptors_keep_their_flags;
    what_a_guest_printed_before_a_fault_is_in_a_file;
    nothing_as_a_console;
    a_file_as_a_console;
    a_file_that_cannot_be_a_console;
    a_pseudo_terminal_as_a_console;
    the_last_words_on_a_pseudo_terminal .not_in_rig("whoever reads has a second, in which an emulated processor does little");
}

/// All bytes in all places, and more than a pipe holds.
fn bytes() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.extend(noise(21, 1 << 20));
    bytes
}

fn pipes_are_binary_clean_both_ways() {
    let ended = Run::guest("console-echo").input(bytes()).finish().status(0).quietly();
    assert!(ended.output == bytes(), "{} bytes came back, or others", ended.output.len());
}

fn files_are_binary_clean_both_ways() {
    let directory = files::directory();
    let input = files::file(directory.path(), "input", &bytes());
    let output = directory.path().join("output");
    Run::guest("console-echo")
        .stdin(File::open(&input).expect("the input"))
        .stdout(File::create(&output).expect("a file"))
        .finish()
        .status(0)
        .quietly();
    assert!(std::fs::read(&output).expect("the output") == bytes());
}

fn a_file_is_appended_to_where_it_is_opened_so() {
    let directory = files::directory();
    let output = files::file(directory.path(), "log", b"old ");
    for _ in 0..2 {
        let file = OpenOptions::new().append(true).open(&output).expect("the file");
        Run::guest("console-echo").input("new ").stdout(file).finish().status(0).quietly();
    }
    assert_eq!(std::fs::read(&output).expect("the file"), b"old new new ");
}

fn output_is_there_when_it_is_written() {
    // The guest prints without a newline, and then waits for input.
    let mut guest = Run::guest("console-echo").args(["prompt"]).input_pipe().start();
    guest.wait_for("? ");
    assert!(guest.is_running());
    guest.send(b"yes");
    guest.wait_for("? yes");
    guest.wait().status(0).prints("? yes").quietly();
}

fn input_arrives_as_it_is_typed() {
    let mut guest = Run::guest("console-echo").input_pipe().start();
    let mut expected = String::new();
    for word in ["a", "bc", "\0\u{4}\u{3}", "\r\n", "é"] {
        guest.send(word.as_bytes());
        expected += word;
        guest.wait_for(&expected);
    }
    guest.wait().status(0).prints(&expected).quietly();
}

fn the_end_of_input_is_a_completion() {
    Run::guest("console-echo").args(["count"]).finish().status(0).prints("0").quietly();
    Run::guest("console-echo")
        .args(["count"])
        .input(vec![7; 300_000])
        .finish()
        .status(0)
        .prints("300000")
        .quietly();
    let mut guest = Run::guest("console-echo").args(["count"]).input_pipe().start();
    std::thread::sleep(Duration::from_millis(100));
    assert!(guest.is_running(), "it did not wait for input");
    guest.end_input();
    guest.wait().status(0).prints("0").quietly();
}

fn a_closed_input_is_an_end_of_input() {
    // As a shell's `<&-`. The descriptor must not become a disk or a TAP by accident either.
    let monitor = &ukvm_tests::artifacts::artifacts().monitor;
    let guest = ukvm_tests::artifacts::guest("console-echo");
    let line = format!("exec {} {} count <&-", monitor.display(), guest.display());
    let output = std::process::Command::new("/bin/sh").args(["-c", &line]).output().expect("a shell");
    assert_eq!(output.stdout, b"0", "{output:?}");
    assert!(output.status.success(), "{output:?}");
}

fn a_flood_is_complete_and_in_order() {
    let ended = Run::guest("flood").args(["5000000"]).finish().status(0).quietly();
    assert_eq!(ended.output.len(), 5_000_000);
    let wrong = ended.output.iter().enumerate().position(|(place, byte)| *byte != b'0' + (place % 10) as u8);
    assert_eq!(wrong, None, "the first byte that is wrong");
}

fn output_that_nobody_reads_waits() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut guest = Run::guest("flood").args(["3000000"]).stdout(writer).start();
    std::thread::sleep(Duration::from_millis(300));
    assert!(guest.is_running(), "3 MB went into a pipe that nobody reads");
    let mut output = Vec::new();
    let _ = reader.read_to_end(&mut output).expect("output");
    assert_eq!(output.len(), 3_000_000);
    let _ = guest.wait().status(0).quietly();
}

fn a_guest_that_waits_for_a_reader_ends_on_a_signal() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let guest = Run::guest("flood").stdout(writer).start();
    // Once there is something it runs, and soon the pipe is full.
    reader.read_exact(&mut [0; 100]).expect("output");
    std::thread::sleep(Duration::from_millis(100));
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143).quietly();
    let (_reader, full) = files::full_pipe();
    let _ = Run::guest("flood").option("--timeout", "200ms").stdout(full).finish().status(124);
}

fn a_closed_pipe_ends_things_quietly() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let guest = Run::guest("flood").stdout(writer).start();
    let mut piece = [0; 100];
    reader.read_exact(&mut piece).expect("output");
    drop(reader);
    // As a program that SIGPIPE ended: what `head` does to every other program.
    let _ = guest.wait().status(141).quietly();
    // Closed before the first byte.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let _ = Run::guest("flood").stdout(writer).finish().status(141).quietly();
}

fn a_full_device_is_an_error_for_the_guest() {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let ended = Run::guest("write-error").stdout(full).finish();
    let _ = ended.status(Status::NoSpace as i32);
}

fn inherited_descriptors_keep_their_flags() {
    let (input, _keyboard) = std::io::pipe().expect("a pipe");
    let (mut reader, output) = std::io::pipe().expect("a pipe");
    let flags = |fd: &dyn std::os::fd::AsFd| {
        OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL).expect("flags"))
    };
    let before = (flags(&input), flags(&output));
    let mut guest = Run::guest("console-echo")
        .args(["prompt"])
        .stdin(input.try_clone().expect("a descriptor"))
        .stdout(output.try_clone().expect("a descriptor"))
        .start();
    let mut prompt = [0; 2];
    reader.read_exact(&mut prompt).expect("output");
    // While it runs, and after it was killed.
    assert!(guest.is_running());
    assert_eq!((flags(&input), flags(&output)), before);
    drop(guest);
    assert_eq!((flags(&input), flags(&output)), before);
}

fn what_a_guest_printed_before_a_fault_is_in_a_file() {
    let directory = files::directory();
    for (guest, way, status) in [("divide-by-zero", "", 139), ("outcome", "panic", 134)] {
        let output = directory.path().join("output");
        let file = File::create(&output).expect("a file");
        let _ = Run::guest(guest).args([way]).stdout(file).finish().status(status);
        assert_eq!(std::fs::read(&output).expect("the output"), b"before");
    }
}

fn nothing_as_a_console() {
    let run = || Run::guest("console-echo").options(["--console", "null"]);
    let _ = run().args(["prompt"]).input("not this").finish().status(0).prints("").quietly();
    let run = Run::guest("flood").args(["5000000"]).options(["--console", "null"]);
    let _ = run.finish().status(0).prints("").quietly();
}

fn a_file_as_a_console() {
    let directory = files::directory();
    let output = directory.path().join("log");
    let option = format!("file:{}", output.display());
    for _ in 0..2 {
        let run = Run::guest("status").option("--console", &option).args(["3", "print"]);
        let _ = run.input("not this").finish().status(3).prints("").quietly();
    }
    assert_eq!(std::fs::read(&output).expect("the output"), b"the last wordsthe last words");
    let run = Run::guest("flood").option("--console", &option).args(["5000000"]);
    let _ = run.finish().status(0).quietly();
    assert_eq!(std::fs::metadata(&output).expect("the output").len(), 28 + 5_000_000);
    let run = Run::guest("write-error").options(["--console", "file:/dev/full"]);
    let _ = run.finish().status(Status::NoSpace as i32);
}

fn a_file_that_cannot_be_a_console() {
    let directory = files::directory();
    let refused = |run: Run, path: &Path, status, words: &[&str]| {
        let option = format!("file:{}", path.display());
        let _ = run.option("--console", option).finish().refuses(status, words);
    };
    let (status, here) = (|| Run::guest("status"), directory.path());
    refused(status(), &here.join("no/log"), 66, &["--console", "no/log", "directory"]);
    refused(status(), here, 74, &["--console"]);
    let fifo = here.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    refused(status(), &fifo, 74, &["nobody reads"]);
    let disk = files::file(here, "disk", &[7; 4096]);
    let run = Run::guest("disk").option("--disk", format!("data={}", disk.display()));
    refused(run, &disk, 78, &["--console", "is the program or a disk"]);
    assert_eq!(std::fs::read(&disk).expect("the disk"), [7; 4096]);
    let _ = status().options(["--console", "tty"]).finish().refuses(64, &["--console", "stdio", "pty"]);
    let run = status().options(["--console", "null", "--raw"]);
    let _ = run.finish().refuses(64, &["--raw", "--console"]);
}

fn the_last_words_on_a_pseudo_terminal() {
    // More than the kernel takes at once, and printed just before the end.
    let length = 40 << 10;
    let guest = Run::guest("flood").options(["--console", "pty"]);
    let guest = guest.args([&length.to_string(), "on-input"]).start();
    guest.wait_for_error("\n");
    let said = guest.errors_so_far();
    let path = said.trim_end().rsplit(' ').next().expect("a path");
    let mut user = File::options().read(true).write(true).open(path).expect("the terminal");
    user.write_all(b"!").expect("it takes keys");
    let mut seen = vec![0; length];
    user.read_exact(&mut seen).expect("all that was printed");
    assert!(seen.iter().zip(0..).all(|(&byte, place): (&u8, usize)| byte == b'0' + (place % 10) as u8));
    // Only then is the end.
    assert_ne!(user.read(&mut [0; 1]).unwrap_or(0), 1);
    let _ = guest.wait().status(0);
}

fn a_pseudo_terminal_as_a_console() {
    let mut guest = Run::guest("console-echo").options(["--console", "pty"]).args(["prompt"]).start();
    guest.wait_for_error("the console is /dev/pts/");
    guest.wait_for_error("\n");
    let said = guest.errors_so_far();
    let path = said.trim_end().rsplit(' ').next().expect("a path");
    let mut user = File::options().read(true).write(true).open(path).expect("the terminal");
    let mut seen = [0; 2];
    user.read_exact(&mut seen).expect("the prompt");
    assert_eq!(&seen, b"? ");
    user.write_all(b"\x03line\n\x04").expect("it takes keys");
    let mut seen = [0; 8];
    user.read_exact(&mut seen).expect("the answer");
    assert_eq!(&seen, b"\x03line\r\n\x04");
    // Nobody has it open, and the guest runs on.
    drop(user);
    std::thread::sleep(Duration::from_millis(100));
    assert!(guest.is_running());
    let mut user = File::options().read(true).write(true).open(path).expect("the terminal");
    user.write_all(b"again").expect("it takes keys");
    let mut seen = [0; 5];
    user.read_exact(&mut seen).expect("the answer");
    assert_eq!(&seen, b"again");
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143).prints("");
    // The last words wait a moment for who has it open.
    let guest = Run::guest("shutdown").options(["--console", "pty"]).args(["obey"]).start();
    guest.wait_for_error("\n");
    let said = guest.errors_so_far();
    let path = said.trim_end().rsplit(' ').next().expect("a path");
    let mut user = File::open(path).expect("the terminal");
    let mut seen = [0; 7];
    user.read_exact(&mut seen).expect("the output");
    assert_eq!(&seen, b"ready\r\n");
    guest.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(100));
    user.read_exact(&mut seen).expect("the last words");
    assert_eq!(&seen, b"asked\r\n");
    let _ = guest.wait().status(7);
}
