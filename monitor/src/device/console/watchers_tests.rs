use super::*;
use crate::device::console::history::KEPT;
use crate::local_socket::connect;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

/// A console on a socket, and what it needs.
struct Rig {
    // First what sends signals.
    console: Watchers,
    interrupts: Interrupts,
    path: PathBuf,
}

impl Rig {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ukvm-watchers-{name}-{}", std::process::id()));
        let mut interrupts = Interrupts::new(false).unwrap();
        let console = Watchers::listen(&path, &mut interrupts).unwrap();
        Self { console, interrupts, path }
    }

    /// One who watches from now on.
    fn join(&mut self) -> File {
        let connection = File::from(connect(&self.path).unwrap());
        self.attend();
        connection
    }

    /// Looks after them because a signal has come, as the vCPU's thread does.
    #[track_caller]
    fn attend(&mut self) {
        assert!(self.interrupts.take().readiness, "no signal has come");
        self.console.attend();
    }

    fn print(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut done = 0;
        while done < bytes.len() {
            done += self.console.write(&VolatileSlice::from(&mut bytes[done..]));
        }
    }

    fn keys(&mut self, most: usize) -> Vec<u8> {
        let mut keys = vec![0; most];
        let count = self.console.read(&VolatileSlice::from(keys.as_mut_slice())).unwrap_or(0);
        keys.truncate(count);
        keys
    }
}

#[track_caller]
fn expect(from: &mut File, text: &[u8]) {
    let mut read = vec![0; text.len()];
    from.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(text));
}

#[test]
fn who_joins_gets_the_last_lines_and_all_that_follows() {
    let mut rig = Rig::new("join");
    rig.print(b"one\ntwo\n");
    let mut first = rig.join();
    expect(&mut first, b"one\ntwo\n");
    rig.print(&[b"line\n".as_slice(), &[b'x'; KEPT - 4], b"\nlast\n"].concat());
    let mut second = rig.join();
    expect(&mut second, b"last\n");
    rig.print(b"more");
    expect(&mut second, b"more");
    expect(&mut first, b"line\n");
}

#[test]
fn anyone_types_and_nobody_ends_the_input() {
    let mut rig = Rig::new("type");
    let (mut first, mut second) = (rig.join(), rig.join());
    assert_eq!(rig.keys(10), b"");
    first.write_all(b"ab").unwrap();
    rig.attend();
    second.write_all(b"\x03\x1d\0").unwrap();
    rig.attend();
    assert_eq!(rig.keys(3), b"ab\x03");
    assert_eq!(rig.keys(10), b"\x1d\0");
    // One that sends no more still watches.
    // SAFETY: the call has no preconditions.
    assert_eq!(unsafe { libc::shutdown(first.as_raw_fd(), libc::SHUT_WR) }, 0);
    rig.attend();
    rig.print(b"still here");
    expect(&mut first, b"still here");
    drop(first);
    rig.attend();
    assert_eq!(rig.console.watchers.len(), 1);
    // What one has sent before it went counts.
    second.write_all(b"last").unwrap();
    drop(second);
    rig.attend();
    assert_eq!(rig.keys(10), b"last");
    assert!(rig.console.watchers.is_empty());
    assert_eq!(rig.keys(10), b"");
}

#[test]
fn input_that_the_guest_does_not_read_stays_outside() {
    let mut rig = Rig::new("full");
    let mut typist = rig.join();
    let typed: Vec<u8> = (0..3 * KEYS).map(|number| (number % 251) as u8).collect();
    typist.write_all(&typed).unwrap();
    rig.attend();
    assert_eq!(rig.console.keys.len(), KEYS);
    let mut read = Vec::new();
    while read.len() < typed.len() {
        let keys = rig.keys(KEYS);
        assert!(!keys.is_empty(), "{} of {}", read.len(), typed.len());
        read.extend(keys);
    }
    assert!(read == typed);
}

#[test]
fn what_was_typed_before_leaving_counts_also_where_it_had_to_wait() {
    let mut rig = Rig::new("left");
    let mut typist = rig.join();
    let typed: Vec<u8> = (0..2 * KEYS).map(|number| (number % 251) as u8).collect();
    typist.write_all(&typed).unwrap();
    drop(typist);
    rig.attend();
    rig.print(b"nobody reads this");
    let mut read = Vec::new();
    while read.len() < typed.len() {
        let keys = rig.keys(KEYS);
        assert!(!keys.is_empty(), "{} of {}", read.len(), typed.len());
        read.extend(keys);
    }
    assert!(read == typed && rig.keys(1).is_empty());
    assert!(rig.console.watchers.is_empty());
    // Also where the guest prints before it is seen that there is input.
    let mut typist = rig.join();
    typist.write_all(b"typed").unwrap();
    drop(typist);
    rig.print(b"nobody reads this");
    rig.attend();
    assert_eq!(rig.keys(10), b"typed");
    assert!(rig.console.watchers.is_empty());
}

#[test]
fn those_who_have_gone_make_room() {
    let mut rig = Rig::new("gone");
    for _ in 0..2 * MOST {
        let mut typist = rig.join();
        typist.write_all(&[b'x'; 2 * KEYS]).unwrap();
        drop(typist);
        rig.attend();
    }
    assert_eq!(rig.console.watchers.len(), MOST);
    rig.print(b"room");
    expect(&mut rig.join(), b"room");
}

#[test]
fn who_does_not_read_misses_output_and_is_told() {
    let mut rig = Rig::new("slow");
    let (mut slow, mut quick) = (rig.join(), rig.join());
    let line = [[b'x'; 999].as_slice(), b"\n"].concat();
    let lines = 1000;
    for _ in 0..lines {
        rig.print(&line);
        expect(&mut quick, &line);
    }
    assert_eq!(rig.console.watchers.len(), 2);
    // It reads again, and the kernel tells that there is room.
    let mut seen = Vec::new();
    let end = b"\nend";
    let mut buffer = vec![0; 1 << 20];
    rig.print(&end[1..]);
    while !seen.ends_with(end) {
        let count = slow.read(&mut buffer).unwrap();
        seen.extend_from_slice(&buffer[..count]);
        if rig.interrupts.take().readiness {
            rig.console.attend();
        }
    }
    let text = String::from_utf8(seen).unwrap();
    let (before, rest) = text.split_once("\r\n[ukvm-run: ").unwrap();
    let (number, after) = rest.split_once(" bytes left out]\r\n").unwrap();
    let left_out: usize = number.parse().unwrap();
    assert!(left_out > 0 && !after.contains("left out"));
    assert_eq!(before.len() + left_out + after.len(), lines * line.len() + end.len() - 1);
    assert!(after.starts_with('x') && after.len() <= KEPT);
    assert_eq!(after.find('\n'), Some(line.len() - 1), "it goes on with a whole line");
}

#[test]
fn there_is_room_for_so_many() {
    let mut rig = Rig::new("many");
    let all: Vec<File> = (0..MOST).map(|_| rig.join()).collect();
    let mut late = rig.join();
    let mut text = String::new();
    late.read_to_string(&mut text).unwrap();
    assert_eq!(text, "ukvm-run: 16 others watch this console already\r\n");
    drop(all);
    rig.attend();
    rig.print(b"room");
    expect(&mut rig.join(), b"room");
}

#[test]
fn the_last_output_is_waited_for_but_not_for_those_who_were_too_slow() {
    let mut rig = Rig::new("end");
    // More than a socket takes at once, and less than is kept.
    let mut quick = rig.join();
    while !rig.console.watchers[0].is_awaited(&rig.console.history) {
        rig.print(&[b'x'; 1000]);
    }
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        quick.read_to_end(&mut all).map(|_| all)
    });
    rig.print(b"the last words");
    drop(rig);
    assert!(reader.join().unwrap().unwrap().ends_with(b"the last words"));

    let mut rig = Rig::new("end");
    let _slow = rig.join();
    rig.print(&vec![b'x'; 4 << 20]);
    let start = Instant::now();
    drop(rig);
    assert!(start.elapsed() < PATIENCE / 2);
}

#[test]
fn who_comes_just_before_the_end_gets_the_last_lines() {
    let mut rig = Rig::new("late");
    rig.print(b"short-lived\n");
    let mut late = File::from(connect(&rig.path).unwrap());
    drop(rig);
    let mut text = String::new();
    late.read_to_string(&mut text).unwrap();
    assert_eq!(text, "short-lived\n");
}

/// How many of the last bytes a terminal's reader gets that reads `piece` of them after each pause, and how long the end waits.
fn last_output_in_pieces(piece: usize, pause: Duration) -> (usize, Duration) {
    let mut interrupts = Interrupts::new(false).unwrap();
    let mut console = Watchers::on_terminal(&mut interrupts).unwrap();
    let Place::Terminal(terminal) = &console.place else { panic!() };
    let mut user = File::open(terminal.path()).unwrap();
    // More than the kernel takes at once, and less than is kept.
    let mut bytes = vec![b'x'; KEPT - 10];
    let mut done = 0;
    while done < bytes.len() {
        done += console.write(&VolatileSlice::from(&mut bytes[done..]));
    }
    let reader = thread::spawn(move || {
        let (mut all, mut buffer) = (0, vec![0; piece]);
        // The end is an error where the other end is closed meanwhile.
        loop {
            thread::sleep(pause);
            match user.read_exact(&mut buffer) {
                Ok(()) => all += piece,
                Err(_) => return all,
            }
        }
    });
    let start = Instant::now();
    drop(console);
    (reader.join().unwrap(), start.elapsed())
}

#[test]
fn who_has_a_terminal_open_gets_all_of_the_last_output() {
    let (seen, _) = last_output_in_pieces(KEPT - 10, PATIENCE / 50);
    assert_eq!(seen, KEPT - 10);
}

#[test]
fn who_takes_the_last_output_slowly_gets_all_of_it() {
    let piece = (KEPT - 10) / 6;
    let (seen, took) = last_output_in_pieces(piece, PATIENCE / 3);
    assert_eq!(seen, piece * 6);
    assert!(took > PATIENCE, "{took:?}");
}

#[test]
fn nobody_holds_up_the_end_for_ever() {
    let (seen, took) = last_output_in_pieces(1000, PATIENCE / 6);
    assert!(seen < KEPT - 1000 && took >= LONGEST && took < LONGEST * 2, "{seen} in {took:?}");
}

#[test]
fn a_terminal_keeps_what_nobody_has_read_and_gives_whole_lines() {
    let mut interrupts = Interrupts::new(false).unwrap();
    let mut console = Watchers::on_terminal(&mut interrupts).unwrap();
    assert!(console.are_on_terminal());
    let Place::Terminal(terminal) = &console.place else { panic!() };
    let path = terminal.path().to_owned();
    let mut bytes = *b"early\n";
    assert_eq!(console.write(&VolatileSlice::from(bytes.as_mut_slice())), 6);
    let mut user = File::options().read(true).write(true).open(&path).unwrap();
    expect(&mut user, b"early\r\n");
    // Nothing of that comes back as input.
    let mut keys = [0; 100];
    assert!(console.read(&VolatileSlice::from(keys.as_mut_slice())).is_err());
    user.write_all(b"\x03key\r").unwrap();
    let end = Instant::now() + PATIENCE * 20;
    while !interrupts.take().readiness {
        assert!(Instant::now() < end);
        thread::sleep(Duration::from_millis(1));
    }
    console.attend();
    assert_eq!(console.read(&VolatileSlice::from(keys.as_mut_slice())).unwrap(), 5);
    assert_eq!(&keys[..5], b"\x03key\r");
    // One that nobody reads holds up nothing.
    drop(user);
    let mut much = vec![b'x'; 4 << 20];
    let mut done = 0;
    while done < much.len() {
        done += console.write(&VolatileSlice::from(&mut much[done..]));
    }
    let start = Instant::now();
    drop(console);
    assert!(start.elapsed() < PATIENCE / 2);
}
