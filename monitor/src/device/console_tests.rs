use super::super::testing::{Rig, flags, pipe};
use super::*;
use crate::error::ErrorKind;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(50);

fn console(input: RawFd, output: RawFd, raw: bool) -> Result<Console, Error> {
    // Descriptors need no signals.
    Console::new(&ConsoleConfig::Descriptors { input, output, raw }, &mut Interrupts::new(false).unwrap())
}

fn rig(input: RawFd, output: RawFd) -> Rig<Console> {
    Rig::new(console(input, output, false).unwrap())
}

fn file() -> File {
    // SAFETY: the name is a valid C string.
    let fd = unsafe { libc::memfd_create(c"console".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: a new descriptor that nobody else knows.
    unsafe { File::from_raw_fd(fd) }
}

fn null() -> File {
    File::options().read(true).write(true).open("/dev/null").unwrap()
}

/// A pseudo-terminal: its master, and what a program sees as its terminal.
fn terminal() -> (File, OwnedFd) {
    let (mut master, mut slave) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: the call writes two descriptors; the other arguments may be null.
    let result = unsafe { libc::openpty(&raw mut master, &raw mut slave, null, null.cast(), null.cast()) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    // SAFETY: a new descriptor that nobody else knows.
    let master = unsafe { File::from_raw_fd(master) };
    // SAFETY: as above.
    (master, unsafe { OwnedFd::from_raw_fd(slave) })
}

fn settings(fd: RawFd) -> String {
    let mut settings = std::mem::MaybeUninit::uninit();
    // SAFETY: the call writes a `termios`.
    assert_eq!(unsafe { libc::tcgetattr(fd, settings.as_mut_ptr()) }, 0);
    // SAFETY: the call has succeeded.
    let settings: libc::termios = unsafe { settings.assume_init() };
    format!("{settings:?}")
}

fn read_available(from: &mut File) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    let count = from.read(&mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn output_is_with_the_host_when_the_request_has_been_submitted() {
    let (reader, writer) = pipe();
    let mut rig = rig(null().as_raw_fd(), writer.as_raw_fd());
    let bytes = b"no newline, \0\xff binary";
    let buffer = rig.put(0, bytes);
    rig.submit(Opcode::ConsoleWrite, 7, buffer, 0);
    rig.submit(Opcode::ConsoleWrite, 8, buffer.truncate(0), 0);
    assert_eq!(rig.taken(), [(7, Ok(bytes.len() as u64)), (8, Ok(0))]);
    assert_eq!(read_available(&mut File::from(reader)), bytes);
    assert!(rig.wanted().is_empty());
    assert_eq!(rig.device.counters().bytes_out, bytes.len() as u64);
    assert_eq!(rig.device.flags(), 0);
}

/// Writes more than the pipe holds, then reads it all: `reader` and `writer` are the ends of a pipe without a reader.
fn nobody_reads(reader: OwnedFd, writer: OwnedFd) {
    let before = flags(writer.as_raw_fd());
    let mut rig = rig(null().as_raw_fd(), writer.as_raw_fd());
    let expected: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    let big = rig.put(0, &expected[..200_000]);
    let rest = rig.put(1 << 20, &expected[200_000..]);
    rig.submit(Opcode::ConsoleWrite, 1, big, 0);
    rig.submit(Opcode::ConsoleWrite, 2, rest, 0);
    rig.advance();
    assert_eq!(rig.taken(), []);
    assert_eq!(rig.wanted(), [(writer.as_raw_fd(), libc::POLLOUT)]);
    assert!(!rig.wait(MOMENT));
    assert_eq!(flags(writer.as_raw_fd()), before);
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; expected.len()];
        File::from(reader).read_exact(&mut bytes).unwrap();
        assert!(bytes == expected);
    });
    assert_eq!(rig.completions(2), [(1, Ok(200_000)), (2, Ok(100_000))]);
    reader.join().unwrap();
}

#[test]
fn output_that_nobody_reads_waits_in_order() {
    let (reader, writer) = pipe();
    nobody_reads(reader, writer);
}

#[test]
fn a_fifo_which_knows_no_nowait_does_not_block() {
    let path = std::env::temp_dir().join(format!("ukvm-console-{}", std::process::id()));
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the name is a valid C string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let both = File::options().read(true).write(true).open(&path).unwrap();
    let reader = File::open(&path).unwrap();
    let writer = File::options().write(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    drop(both);
    nobody_reads(reader.into(), writer.into());
}

#[test]
fn output_that_nobody_reads_does_not_hold_up_input() {
    let (_reader, full) = pipe();
    let (input, keyboard) = pipe();
    let mut rig = rig(input.as_raw_fd(), full.as_raw_fd());
    let (out, inward) = (rig.buffer(0, 200_000), rig.buffer(1 << 20, 10));
    rig.submit(Opcode::ConsoleWrite, 1, out, 0);
    rig.submit(Opcode::ConsoleRead, 2, inward, 0);
    File::from(keyboard).write_all(b"key").unwrap();
    assert_eq!(rig.completions(1), [(2, Ok(3))]);
    assert_eq!(rig.bytes(1 << 20, 3), b"key");
}

#[test]
fn a_closed_pipe_is_remembered() {
    let (reader, writer) = pipe();
    let mut rig = rig(null().as_raw_fd(), writer.as_raw_fd());
    let buffer = rig.buffer(0, 200_000);
    rig.submit(Opcode::ConsoleWrite, 1, buffer, 0);
    rig.submit(Opcode::ConsoleWrite, 2, buffer, 0);
    assert!(!rig.device.output_closed());
    drop(reader);
    assert!(rig.wait(MOMENT));
    rig.advance();
    assert_eq!(rig.taken(), [(1, Err(Status::Io)), (2, Err(Status::Io))]);
    assert!(rig.device.output_closed());
    assert!(rig.wanted().is_empty());
}

#[test]
fn a_regular_file_gets_it_in_pieces() {
    let mut file = file();
    let mut rig = rig(null().as_raw_fd(), file.as_raw_fd());
    let expected: Vec<u8> = (0..(5_u32 << 20)).map(|i| (i % 253) as u8).collect();
    let buffer = rig.put(0, &expected);
    rig.submit(Opcode::ConsoleWrite, 1, buffer, 0);
    assert_eq!(rig.taken(), []);
    assert!(rig.wait(MOMENT));
    assert_eq!(rig.completions(1), [(1, Ok(5 << 20))]);
    std::io::Seek::rewind(&mut file).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert!(bytes == expected);
}

#[test]
fn a_full_disk_is_an_error_of_that_request() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut rig = rig(null().as_raw_fd(), full.as_raw_fd());
    let buffer = rig.buffer(0, 10);
    rig.submit(Opcode::ConsoleWrite, 1, buffer, 0);
    assert_eq!(rig.taken(), [(1, Err(Status::NoSpace))]);
    assert_eq!(rig.device.counters().errors, 1);
    assert!(!rig.device.output_closed());
}

#[test]
fn input_is_binary_clean_and_ends_for_ever() {
    let (input, keyboard) = pipe();
    let before = flags(input.as_raw_fd());
    let mut rig = rig(input.as_raw_fd(), null().as_raw_fd());
    let (first, second) = (rig.buffer(0, 4), rig.buffer(100, 100));
    rig.submit(Opcode::ConsoleRead, 1, first, 0);
    rig.submit(Opcode::ConsoleRead, 2, second, 0);
    assert_eq!(rig.taken(), []);
    assert_eq!(rig.wanted(), [(input.as_raw_fd(), libc::POLLIN)]);
    let mut keyboard = File::from(keyboard);
    keyboard.write_all(b"\x00\x03\x04\x1d\xff\r\n").unwrap();
    assert_eq!(rig.completions(2), [(1, Ok(4)), (2, Ok(3))]);
    assert_eq!(rig.bytes(0, 4), b"\x00\x03\x04\x1d");
    assert_eq!(rig.bytes(100, 3), b"\xff\r\n");
    rig.submit(Opcode::ConsoleRead, 3, second, 0);
    drop(keyboard);
    assert_eq!(rig.completions(1), [(3, Ok(0))]);
    rig.submit(Opcode::ConsoleRead, 4, second, 0);
    assert_eq!(rig.taken(), [(4, Ok(0))]);
    assert!(rig.wanted().is_empty());
    assert!(!rig.device.escape_pressed());
    assert_eq!(flags(input.as_raw_fd()), before);
}

#[test]
fn input_that_is_not_open_has_ended() {
    let mut rig = rig(-1, null().as_raw_fd());
    let buffer = rig.buffer(0, 10);
    rig.submit(Opcode::ConsoleRead, 1, buffer, 0);
    assert_eq!(rig.taken(), [(1, Ok(0))]);
}

#[test]
fn a_file_as_input_and_an_opcode_that_the_console_does_not_know() {
    let mut file = file();
    file.write_all(b"line").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut rig = rig(file.as_raw_fd(), null().as_raw_fd());
    let buffer = rig.buffer(0, 10);
    rig.submit(Opcode::ConsoleRead, 1, buffer, 0);
    rig.submit(Opcode::ConsoleRead, 2, buffer, 0);
    rig.submit(Opcode::BlockFlush, 3, buffer, 0);
    assert_eq!(rig.taken(), [(1, Ok(4)), (2, Ok(0)), (3, Err(Status::BadDevice))]);
}

#[test]
fn a_terminal_keeps_its_lines_and_never_blocks() {
    let (mut master, slave) = terminal();
    let before = flags(slave.as_raw_fd());
    let mut rig = rig(slave.as_raw_fd(), slave.as_raw_fd());
    assert_eq!(rig.device.flags(), CONSOLE_INPUT_TERMINAL | CONSOLE_OUTPUT_TERMINAL);
    let buffer = rig.put(0, b"prompt\n");
    rig.submit(Opcode::ConsoleWrite, 1, buffer, 0);
    assert_eq!(rig.taken(), [(1, Ok(7))]);
    assert_eq!(read_available(&mut master), b"prompt\r\n");
    let line = rig.buffer(100, 100);
    rig.submit(Opcode::ConsoleRead, 2, line, 0);
    master.write_all(b"half").unwrap();
    assert!(!rig.wait(MOMENT));
    master.write_all(b" a line\n").unwrap();
    assert_eq!(rig.completions(1), [(2, Ok(12))]);
    assert_eq!(rig.bytes(100, 12), b"half a line\n");
    // Nobody reads the master: what does not fit waits.
    let much = rig.buffer(0, 1 << 20);
    rig.submit(Opcode::ConsoleWrite, 3, much, 0);
    rig.advance();
    assert_eq!(rig.taken(), []);
    assert_eq!(flags(slave.as_raw_fd()), before);
    // The end of input, then a terminal that has gone.
    rig.submit(Opcode::ConsoleRead, 4, line, 0);
    master.write_all(b"\x04").unwrap();
    assert_eq!(rig.completions(1), [(4, Ok(0))]);
    drop(master);
    assert_eq!(rig.completions(1), [(3, Err(Status::Io))]);
    assert!(rig.wanted().is_empty());
}

#[test]
fn raw_mode_passes_keys_on_and_is_undone() {
    let (input, _keyboard) = pipe();
    let error = console(input.as_raw_fd(), 1, true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadConfig);
    assert_eq!(
        error.to_string(),
        "raw mode needs a terminal as input: start this in a terminal, or without `--raw`"
    );

    let (mut master, slave) = terminal();
    let before = settings(slave.as_raw_fd());
    let raw = || console(slave.as_raw_fd(), slave.as_raw_fd(), true);
    let mut rig = Rig::new(raw().unwrap());
    assert_ne!(settings(slave.as_raw_fd()), before);
    let second = raw().unwrap_err();
    assert_eq!(second.kind(), ErrorKind::BadConfig);

    // Keys that the guest has not asked for are taken all the same, to see Ctrl-].
    master.write_all(b"\x03\x1a\r").unwrap();
    assert!(rig.wait(MOMENT));
    rig.advance();
    assert!(!rig.device.escape_pressed());
    let buffer = rig.buffer(0, 2);
    rig.submit(Opcode::ConsoleRead, 1, buffer, 0);
    rig.submit(Opcode::ConsoleRead, 2, buffer.skip(0), 0);
    rig.submit(Opcode::ConsoleRead, 3, buffer, 0);
    assert_eq!(rig.taken(), [(1, Ok(2)), (2, Ok(1))]);
    assert_eq!(rig.bytes(0, 2), b"\r\x1a");
    // A guest that does not read fills the buffer, no more.
    for _ in 0..5 {
        master.write_all(&[b'x'; 1000]).unwrap();
        while rig.wait(MOMENT) {
            rig.advance();
        }
    }
    assert_eq!(rig.completions(1), [(3, Ok(2))]);
    master.write_all(b"\x1d").unwrap();
    let sink = rig.buffer(4096, 4096);
    for user_data in 4..9 {
        rig.submit(Opcode::ConsoleRead, user_data, sink, 0);
        rig.advance();
        while rig.wait(MOMENT) {
            rig.advance();
        }
    }
    assert!(rig.device.escape_pressed());
    let count: u64 = rig.taken().iter().map(|(_, result)| result.unwrap()).sum();
    assert_eq!(count, 4998);
    // Output keeps its translation of line ends.
    let line = rig.put(0, b"\n");
    rig.submit(Opcode::ConsoleWrite, 20, line, 0);
    assert_eq!(read_available(&mut master), b"\r\n");
    drop(rig);
    assert_eq!(settings(slave.as_raw_fd()), before);
}

/// A process of its own in raw mode, on a terminal of its own, with a guest that computes and does not look at its input.
struct Computing {
    master: File,
    slave: OwnedFd,
    cooked: String,
    process: std::process::Child,
}

impl Computing {
    /// Set in the environment of that process.
    const INSIDE: &str = "UKVM_TEST_INSIDE";

    fn start(test: &str) -> Self {
        let (master, slave) = terminal();
        let cooked = settings(slave.as_raw_fd());
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("device::console::tests::{test}")]);
        command.env(Self::INSIDE, "1").stdin(slave.try_clone().unwrap()).stdout(std::process::Stdio::null());
        let own_terminal = || {
            // SAFETY: the call has no preconditions.
            if unsafe { libc::setsid() } < 0 {
                return Err(io::Error::last_os_error());
            }
            for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
                // A shell's background job, and what nohup starts, inherits them as ignored.
                // SAFETY: the default action is no handler that anything could be wrong with.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            // SAFETY: the ioctl takes a number.
            match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: the closure only makes system calls, which is allowed between fork and exec.
        unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, own_terminal) };
        let process = command.spawn().unwrap();
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while settings(slave.as_raw_fd()) == cooked {
            assert!(std::time::Instant::now() < end);
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { master, slave, cooked, process }
    }

    /// What is done in that process.
    fn run() {
        let _console = console(0, 0, true).unwrap();
        std::thread::sleep(Duration::from_secs(20));
    }

    fn is_inside() -> bool {
        std::env::var_os(Self::INSIDE).is_some()
    }

    fn assert_ended_by(mut self, signal: i32) {
        let status = self.process.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal));
        assert_eq!(settings(self.slave.as_raw_fd()), self.cooked, "after signal {signal}");
    }
}

#[test]
fn the_escape_key_interrupts_a_guest_that_computes() {
    if Computing::is_inside() {
        return Computing::run();
    }
    let mut computing = Computing::start("the_escape_key_interrupts_a_guest_that_computes");
    // Neither Ctrl-C nor Ctrl-\ nor Ctrl-Z does anything.
    computing.master.write_all(b"\x03\x1c\x1a").unwrap();
    std::thread::sleep(MOMENT);
    assert!(computing.process.try_wait().unwrap().is_none());
    computing.master.write_all(b"\x1d").unwrap();
    computing.assert_ended_by(libc::SIGINT);
}

#[test]
fn raw_mode_is_undone_whatever_ends_the_process() {
    if Computing::is_inside() {
        return Computing::run();
    }
    for signal in [libc::SIGTERM, libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGQUIT, libc::SIGHUP] {
        let computing = Computing::start("raw_mode_is_undone_whatever_ends_the_process");
        // SAFETY: the process is our child and not waited for.
        assert_eq!(unsafe { libc::kill(computing.process.id() as i32, signal) }, 0);
        computing.assert_ended_by(signal);
    }
}
