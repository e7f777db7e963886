use super::*;
use crate::config::{ConsoleConfig, DiskConfig, DiskSource};
use crate::device::block::{Block, Worker};
use crate::layout::{Rights, Wishes};
use crate::memory::PAGE;
use crate::spin::SPIN;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::RawFd;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use ukvm_abi::ring::{self, AREA_SIZE, GuestRing, Shape as Rings, SharedWords};

/// A guest's view of its own dispatch, with a pipe as its console.
struct Guest {
    dispatch: Dispatch,
    ring: GuestRing<SharedArea>,
    output: File,
    input: File,
    layout: Layout,
    memory: Arc<Memory>,
    /// The console's descriptors, which it does not own.
    _console: [OwnedFd; 2],
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: an array of two descriptors, as the call wants it.
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: the call has made both, and nobody else has them.
    fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).into()
}

impl Guest {
    fn new() -> Self {
        Self::with(|_| vec![None])
    }

    /// A guest with the devices that `devices` makes for its rings.
    fn with(devices: impl FnOnce(SharedArea) -> Vec<Option<Box<dyn Device>>>) -> Self {
        let wishes = Wishes {
            memory: 8 << 20,
            span: 0..2 * PAGE,
            pages: vec![(0..PAGE, Rights::EXECUTE), (PAGE..2 * PAGE, Rights::WRITE)],
            movable: true,
            alignment: PAGE,
            info: 1,
            rings: AREA_SIZE as u64,
            stack: 4 * PAGE,
            mappings: Vec::new(),
        };
        let layout = Layout::new(&wishes, |below| below / 2).unwrap();
        let memory = Arc::new(Memory::new(layout.memory).unwrap());
        let area = || SharedArea::new(&memory, &layout.rings).unwrap();
        let (output, to_host) = pipe();
        let (from_host, input) = pipe();
        let (input_fd, output_fd) = (from_host.as_raw_fd(), to_host.as_raw_fd());
        let config = ConsoleConfig::Descriptors { input: input_fd, output: output_fd, raw: false };
        let mut interrupts = Interrupts::new(false).unwrap();
        let clock = SharedArea::new(&memory, &layout.clock).unwrap();
        let dispatch = Dispatch::new(Parts {
            memory: Arc::clone(&memory),
            layout: layout.clone(),
            ring: MonitorRing::new(area(), Rings::DEFAULT),
            console: Console::new(&config, &mut interrupts).unwrap(),
            devices: devices(area()),
            clock: ClockPage::new(clock, 1_000_000, 0, false),
            interrupts,
            grace: Duration::from_millis(1),
        });
        let ring = GuestRing::new(area(), Rings::DEFAULT);
        Self {
            dispatch,
            ring,
            output: File::from(output),
            input: File::from(input),
            layout,
            memory,
            _console: [to_host, from_host],
        }
    }

    /// The virtual address of the page that it may write to.
    fn data(&self) -> u64 {
        self.layout.virtual_address(self.layout.image.start + PAGE)
    }

    /// Submits a request and enters; the status and value of its completion, if it has one.
    fn ask(&mut self, request: Request) -> Option<(Status, u64)> {
        assert_eq!(self.ring.submit(&request), Ok(true));
        self.ring.set_deadline(0);
        self.dispatch.enter().unwrap();
        let completion = self.ring.take().unwrap()?;
        assert_eq!(completion.user_data, request.user_data);
        Some((Status::from_number(completion.status), completion.value))
    }
}

fn request(opcode: Opcode) -> Request {
    Request { opcode: opcode as u16, user_data: 77, ..Request::default() }
}

#[test]
fn what_no_monitor_knows_is_an_error_and_the_guest_goes_on() {
    let mut guest = Guest::new();
    let unknown = Request { opcode: 999, ..request(Opcode::Nop) };
    assert_eq!(guest.ask(unknown), Some((Status::UnknownOpcode, 0)));
    for device in [1, 2, u32::MAX] {
        let absent = Request { device, ..request(Opcode::BlockFlush) };
        assert_eq!(guest.ask(absent), Some((Status::BadDevice, 0)), "{device}");
    }
    assert_eq!(guest.ask(Request { device: 1, ..request(Opcode::Nop) }), Some((Status::BadDevice, 0)));
    assert_eq!(
        guest.ask(request(Opcode::BlockFlush)),
        Some((Status::BadDevice, 0)),
        "the console does not flush"
    );
    for bad in [
        Request { flags: 1, ..request(Opcode::Nop) },
        Request { reserved: [0, 0, 1], ..request(Opcode::Nop) },
        Request { address: 1, ..request(Opcode::Nop) },
        Request { length: 1, ..request(Opcode::BlockFlush) },
        Request { offset: 1, ..request(Opcode::ConsoleWrite) },
        Request { address: 1, device: 1, ..request(Opcode::BlockDiscard) },
    ] {
        assert_eq!(guest.ask(bad), Some((Status::BadFlags, 0)), "{bad:?}");
    }
    assert_eq!(guest.ask(request(Opcode::Nop)), Some((Status::Ok, 0)));
}

#[test]
fn a_buffer_must_be_the_guests_own() {
    let mut guest = Guest::new();
    let data = guest.data();
    let text = data - PAGE;
    for (address, length) in [
        (0, 1),
        (data, PAGE + 1),
        (data, u64::MAX),
        (u64::MAX, 1),
        (u64::MAX - 1, 8),
        (guest.layout.slide + PAGE, 8),
        (guest.layout.virtual_address(guest.layout.memory), 1),
        (guest.layout.virtual_address(guest.layout.stack.start) - 1, 2),
    ] {
        for opcode in [Opcode::ConsoleWrite, Opcode::Entropy, Opcode::ConsoleRead] {
            let bad = Request { address, length, ..request(opcode) };
            assert_eq!(guest.ask(bad), Some((Status::BadAddress, 0)), "{bad:x?}");
        }
    }
    let into_text = Request { address: text, length: 8, ..request(Opcode::Entropy) };
    assert_eq!(guest.ask(into_text), Some((Status::BadAddress, 0)));
    let from_text = Request { opcode: Opcode::ConsoleWrite as u16, ..into_text };
    assert_eq!(guest.ask(from_text), Some((Status::Ok, 8)), "what may be read may be printed");
}

#[test]
fn output_is_there_when_enter_returns() {
    let mut guest = Guest::new();
    let address = guest.data();
    guest.memory.write(guest.layout.image.start + PAGE, b"hello").unwrap();
    let print = Request { address, length: 5, ..request(Opcode::ConsoleWrite) };
    assert_eq!(guest.ask(print), Some((Status::Ok, 5)));
    let mut bytes = [0; 5];
    guest.output.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
}

#[test]
fn entropy_is_not_zero_and_has_a_limit() {
    let mut guest = Guest::new();
    let address = guest.data();
    let ask = Request { address, length: 64, ..request(Opcode::Entropy) };
    assert_eq!(guest.ask(ask), Some((Status::Ok, 64)));
    let bytes = guest.memory.copy(guest.memory.buffer(guest.layout.image.start + PAGE, 72).unwrap());
    assert!(bytes[..64].iter().any(|byte| *byte != 0));
    assert_eq!(bytes[64..], [0; 8]);
    let heap = guest.layout.virtual_address(guest.layout.heap.start);
    let long = Request { address: heap, length: MAX_ENTROPY as u64 + 1, ..ask };
    assert_eq!(guest.ask(long), Some((Status::Invalid, 0)));
}

#[test]
fn a_shutdown_completes_the_notice_and_nothing_else_waits_for_it() {
    let mut guest = Guest::new();
    assert_eq!(guest.ask(request(Opcode::ShutdownNotice)), None);
    assert_eq!(guest.ask(request(Opcode::ShutdownNotice)), Some((Status::Invalid, 0)), "one at a time");
    guest.dispatch.ask_to_end(libc::SIGTERM).unwrap();
    assert_eq!(guest.ring.take().unwrap(), Some(completion(77, Ok(0))));
    assert_eq!(guest.ask(request(Opcode::ShutdownNotice)), Some((Status::Ok, 0)), "it was asked already");
    assert!(matches!(guest.dispatch.ask_to_end(libc::SIGINT), Err(Stop::Ended(Cause::Signal(libc::SIGINT)))));
}

#[test]
fn a_guest_without_a_notice_ends_at_once() {
    let mut guest = Guest::new();
    let end = guest.dispatch.ask_to_end(libc::SIGTERM);
    assert!(matches!(end, Err(Stop::Ended(Cause::Signal(libc::SIGTERM)))));
}

#[test]
fn the_grace_ends_a_wait_without_a_deadline() {
    let mut guest = Guest::new();
    assert_eq!(guest.ask(request(Opcode::ShutdownNotice)), None);
    guest.dispatch.ask_to_end(libc::SIGHUP).unwrap();
    assert!(guest.ring.take().unwrap().is_some());
    guest.ring.set_deadline(u64::MAX);
    assert!(matches!(guest.dispatch.enter(), Err(Stop::Ended(Cause::Signal(libc::SIGHUP)))));
}

#[test]
fn a_deadline_is_kept() {
    let mut guest = Guest::new();
    let start = guest.dispatch.clock.now();
    guest.ring.set_deadline(start + 3_000_000);
    guest.dispatch.enter().unwrap();
    assert!(guest.dispatch.clock.now() >= start + 3_000_000);
}

/// A device that has done at once whatever it is asked.
#[derive(Debug)]
struct Prompt;

impl Device for Prompt {
    fn submit(&mut self, request: &DeviceRequest, _: &Arc<Memory>, done: &mut dyn Completions) {
        if request.is_quiet {
            done.post_quietly(request.user_data, 0);
        } else {
            done.post(request.user_data, Ok(0));
        }
    }

    fn advance(&mut self, _: &Arc<Memory>, _: &mut dyn Completions) {}

    fn wait_for(&self, _: &mut Vec<(RawFd, libc::c_short)>) {}

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

#[test]
fn a_quiet_completion_does_not_end_an_enter() {
    let mut guest = Guest::with(|_| vec![Some(Box::new(Prompt))]);
    let loud = Request { device: 1, ..request(Opcode::NetSend) };
    let quiet = Request { flags: QUIET, ..loud };
    for bad in [
        Request { flags: QUIET << 1, ..loud },
        Request { flags: QUIET, ..request(Opcode::ConsoleWrite) },
        Request { device: 1, flags: QUIET, ..request(Opcode::NetReceive) },
    ] {
        assert_eq!(guest.ask(bad), Some((Status::BadFlags, 0)), "{bad:?}");
    }
    // One that the guest does not wait for, then with one that it waits for, before it and after it.
    for (requests, ends) in [(&[quiet][..], false), (&[loud, quiet], true), (&[quiet, loud], true)] {
        for request in requests {
            assert_eq!(guest.ring.submit(request), Ok(true));
        }
        let start = guest.dispatch.clock.now();
        let deadline = if ends { u64::MAX } else { start + 2_000_000 };
        guest.ring.set_deadline(deadline);
        guest.dispatch.enter().unwrap();
        assert!(ends || guest.dispatch.clock.now() >= deadline);
        for _ in requests {
            assert!(guest.ring.take().unwrap().is_some());
        }
    }
    // What fails is not quiet.
    let absent = Request { device: 2, ..quiet };
    assert_eq!(guest.ring.submit(&absent), Ok(true));
    guest.ring.set_deadline(u64::MAX);
    guest.dispatch.enter().unwrap();
    assert_eq!(guest.ring.take().unwrap().unwrap().status, Status::BadDevice as u32);
}

#[test]
fn quiet_completions_that_take_all_room_end_an_enter() {
    let mut guest = Guest::with(|_| vec![Some(Box::new(Prompt))]);
    for _ in 0..ring::SUBMISSION_ENTRIES {
        let quiet = Request { device: 1, flags: QUIET, ..request(Opcode::NetSend) };
        assert_eq!(guest.ring.submit(&quiet), Ok(true));
    }
    guest.ring.set_deadline(u64::MAX);
    guest.dispatch.enter().unwrap();
    assert_eq!(guest.ring.queued(), 1);
}

/// A device to which something has come each time that it is asked, and of which nothing more can be had.
#[derive(Debug)]
struct Hopeful {
    asked: Arc<AtomicU32>,
}

impl Device for Hopeful {
    fn submit(&mut self, _: &DeviceRequest, _: &Arc<Memory>, _: &mut dyn Completions) {}

    fn advance(&mut self, _: &Arc<Memory>, _: &mut dyn Completions) {}

    fn wait_for(&self, _: &mut Vec<(RawFd, libc::c_short)>) {}

    fn expects_more(&mut self) -> Duration {
        self.asked.fetch_add(1, Ordering::Relaxed);
        SPIN
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

#[test]
fn looking_again_ends_in_time() {
    let asked = Arc::new(AtomicU32::new(0));
    let hopeful = Hopeful { asked: Arc::clone(&asked) };
    let mut guest = Guest::with(|_| vec![Some(Box::new(hopeful))]);
    // A deadline within the look, and one after it.
    for left in [5_000, 3_000_000] {
        let start = guest.dispatch.clock.now();
        guest.ring.set_deadline(start + left);
        guest.dispatch.enter().unwrap();
        assert!(guest.dispatch.clock.now() >= start + left);
    }
    // It sleeps after a look, whatever the device says, and without one after a look in vain; a sleep may end a little early, and the first
    // deadline may pass before there is a reason to wait.
    assert!((1..=4).contains(&asked.load(Ordering::Relaxed)), "{asked:?}");
    guest.dispatch.interrupts().arm(Timer::Timeout, Duration::from_micros(20)).unwrap();
    guest.ring.set_deadline(u64::MAX);
    assert!(matches!(guest.dispatch.enter(), Err(Stop::Ended(Cause::Timeout))));
}

#[test]
fn a_panics_message_is_cut_and_must_be_readable() {
    let guest = Guest::new();
    let address = guest.data();
    guest.memory.write(guest.layout.image.start + PAGE, b"oh\xff").unwrap();
    guest.ring.set_panic(address, 3);
    assert_eq!(guest.dispatch.panic_message(), "oh\u{fffd}");
    guest.ring.set_panic(address - PAGE, u64::MAX);
    assert_eq!(guest.dispatch.panic_message().len(), ukvm_abi::ring::PANIC_MAX);
    for address in [0, u64::MAX, guest.layout.slide + PAGE] {
        guest.ring.set_panic(address, 8);
        assert_eq!(guest.dispatch.panic_message(), "");
    }
}

/// A device whose requests write into the rings, as a read from a disk can: there is always room, and always one more.
#[derive(Debug)]
struct Endless {
    rings: SharedArea,
    served: u32,
}

impl Device for Endless {
    fn submit(&mut self, request: &DeviceRequest, _: &Arc<Memory>, done: &mut dyn Completions) {
        self.served += 1;
        done.post(request.user_data, Ok(0));
        self.rings.store_u32_release(ring::SUBMISSION_TAIL, self.served + 1);
        self.rings.store_u32_release(ring::COMPLETION_HEAD, self.served);
    }

    fn advance(&mut self, _: &Arc<Memory>, _: &mut dyn Completions) {}

    fn wait_for(&self, _: &mut Vec<(RawFd, libc::c_short)>) {}

    fn counters(&self) -> Counters {
        Counters { requests_out: self.served.into(), ..Counters::default() }
    }
}

#[test]
fn a_batch_that_never_ends_is_interrupted() {
    let mut guest = Guest::with(|rings| vec![Some(Box::new(Endless { rings, served: 0 }))]);
    let endless = Request { device: 1, ..request(Opcode::BlockFlush) };
    for slot in 0..ring::SUBMISSION_ENTRIES {
        assert_eq!(guest.ring.submit(&endless), Ok(true), "{slot}");
    }
    guest.dispatch.interrupts().arm(Timer::Timeout, Duration::from_millis(20)).unwrap();
    assert!(matches!(guest.dispatch.enter(), Err(Stop::Ended(Cause::Timeout))));
    let served = guest.dispatch.counters().1[0].unwrap().requests_out;
    assert!(served > 512, "{served}: it was endless");
}

#[test]
fn a_signal_does_not_keep_a_batch_from_being_taken() {
    let mut guest = Guest::new();
    assert_eq!(guest.ask(request(Opcode::ShutdownNotice)), None);
    for _ in 0..100 {
        assert_eq!(guest.ring.submit(&request(Opcode::Nop)), Ok(true));
    }
    guest.dispatch.interrupts().arm(Timer::Timeout, Duration::from_secs(1000)).unwrap();
    // SAFETY: the call has no preconditions. SIGALRM is caught, and asks a guest to end unless it is a timer's.
    unsafe { libc::raise(libc::SIGALRM) };
    guest.dispatch.enter().unwrap();
    let completions: Vec<_> = std::iter::from_fn(|| guest.ring.take().unwrap()).collect();
    assert_eq!(completions.len(), 101);
    assert_eq!(guest.ring.queued(), 0);
}

/// Fills the guest's console so that `length` bytes of its heap wait.
fn print_much(guest: &mut Guest, length: u64) {
    let address = guest.layout.virtual_address(guest.layout.small_heap.start);
    assert_eq!(guest.ask(Request { address, length, ..request(Opcode::ConsoleWrite) }), None);
}

#[test]
fn the_last_output_gets_to_a_slow_reader() {
    let mut guest = Guest::new();
    print_much(&mut guest, 3 << 20);
    let mut output = guest.output.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; 3 << 20];
        output.read_exact(&mut bytes).map(|()| bytes.len())
    });
    guest.dispatch.drain().unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 3 << 20);
}

#[test]
fn output_that_nobody_takes_does_not_keep_a_guest() {
    let mut guest = Guest::new();
    print_much(&mut guest, 3 << 20);
    guest.dispatch.interrupts().arm(Timer::Timeout, Duration::from_millis(10)).unwrap();
    assert!(matches!(guest.dispatch.drain(), Err(Stop::Ended(Cause::Timeout))));
    guest.output = File::open("/dev/null").unwrap();
    assert!(matches!(guest.dispatch.drain(), Err(Stop::Ended(Cause::OutputClosed))));
}

/// A small generator, so that failures can be repeated (Marsaglia's xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn of(&mut self, choices: &[u64]) -> u64 {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A request with a bit of everything in each field, most of them almost right. A wild one may write into the rings.
    fn request(&mut self, layout: &Layout, wild: bool) -> Request {
        let rings = if wild { &layout.rings } else { &layout.small_heap };
        let at = |gpa| layout.virtual_address(gpa);
        let places = [
            at(layout.image.start + PAGE),
            at(layout.image.start),
            at(layout.small_heap.start),
            at(layout.heap.start),
            at(layout.heap.end) - PAGE,
            at(rings.start),
            at(rings.end) - 4096,
            at(layout.clock.start),
            at(layout.stack.start),
            0,
            self.0,
        ];
        let lengths =
            [0, 1, 8, 512, 512, 4096, 4096, 65536, 65537, 1 << 20, 3 << 20, 1 << 40, u64::MAX, self.0];
        let rarely = |numbers: &mut Self| if numbers.below(50) == 0 { numbers.0 } else { 0 };
        Request {
            opcode: self.below(14) as u16,
            flags: rarely(self) as u16,
            device: self.of(&[0, 0, 0, 1, 1, 1, 2, 3, u32::MAX.into()]) as u32,
            user_data: self.0 | 1,
            address: self.of(&places).wrapping_add(rarely(self) % 4096),
            length: self.of(&lengths),
            offset: self.of(&[0, 0, 0, 512, 4096, 1 << 20, 511, 1 << 63, u64::MAX - 511]),
            reserved: [rarely(self), 0, 0],
        }
    }
}

/// A disk of 2 MiB in memory.
fn disk() -> Box<dyn Device> {
    // SAFETY: a name that ends with a NUL.
    let fd = unsafe { libc::memfd_create(c"disk".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: the call has made it, and nobody else has it.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(2 << 20).unwrap();
    let config = DiskConfig {
        name: None,
        source: DiskSource::Fd(fd),
        read_only: false,
        direct: false,
        block_size: None,
    };
    Box::new(Block::open(config, &Arc::new(Worker::start().unwrap())).unwrap())
}

/// Lets a guest do `steps` things at random, a wild one to its indices too. It ends early where it deserves that.
fn run_anything(numbers: &mut Numbers, steps: u32, wild: bool) -> Option<Stop> {
    let mut guest = Guest::with(|_| vec![Some(disk()), None]);
    let rings = SharedArea::new(&guest.memory, &guest.layout.rings).unwrap();
    let mut output = guest.output.try_clone().unwrap();
    let reader = std::thread::spawn(move || io::copy(&mut output, &mut io::sink()));
    let mut tail = 0_u32;
    for _ in 0..steps {
        match numbers.below(16) {
            0..10
                if tail.wrapping_sub(rings.load_u32_acquire(ring::SUBMISSION_HEAD))
                    < ring::SUBMISSION_ENTRIES
                    || wild =>
            {
                let slot = (tail % ring::SUBMISSION_ENTRIES) as usize;
                for (word, value) in numbers.request(&guest.layout, wild).to_words().into_iter().enumerate() {
                    rings.store_u64_release(ring::HEADER_SIZE + slot * 64 + word * 8, value);
                }
                tail = tail.wrapping_add(1);
            }
            10 if wild && numbers.below(40) == 0 => tail = tail.wrapping_add(numbers.below(600) as u32),
            10 => guest.input.write_all(&[b'x'; 100]).unwrap(),
            11 if wild && numbers.below(100) == 0 => {
                rings.store_u32_release(ring::COMPLETION_HEAD, numbers.0 as u32);
            }
            12 if wild && numbers.below(10) == 0 => {
                let posted = rings.load_u32_acquire(ring::COMPLETION_TAIL);
                rings.store_u32_release(ring::COMPLETION_HEAD, posted.wrapping_sub(numbers.below(3) as u32));
            }
            13 if numbers.below(300) == 0 => {
                if let Err(stop) = guest.dispatch.ask_to_end(libc::SIGTERM) {
                    return Some(stop);
                }
            }
            _ => {
                rings.store_u32_release(ring::SUBMISSION_TAIL, tail);
                let now = guest.dispatch.clock.now();
                rings.store_u64_release(ring::DEADLINE, numbers.of(&[0, 0, now, now + 50_000]));
                if let Err(stop) = guest.dispatch.enter() {
                    return Some(stop);
                }
                let posted = rings.load_u32_acquire(ring::COMPLETION_TAIL);
                if numbers.below(4) == 0 {
                    rings.store_u32_release(ring::COMPLETION_HEAD, posted);
                }
            }
        }
    }
    // With an end of its input and a reader of its output, all that it asked for comes to an end, and it is served again.
    guest.input = File::options().write(true).open("/dev/null").unwrap();
    let (mut last, end) = (false, Instant::now() + Duration::from_secs(20));
    while !last {
        assert!(Instant::now() < end, "it is not served any more");
        let (mut head, posted) =
            (rings.load_u32_acquire(ring::COMPLETION_HEAD), rings.load_u32_acquire(ring::COMPLETION_TAIL));
        while head != posted {
            let slot = (head % ring::COMPLETION_ENTRIES) as usize;
            let at = ring::HEADER_SIZE + ring::SUBMISSION_ENTRIES as usize * 64 + slot * 32;
            last |= rings.load_u64_acquire(at) == 0;
            head = head.wrapping_add(1);
        }
        rings.store_u32_release(ring::COMPLETION_HEAD, posted);
        if rings.load_u32_acquire(ring::SUBMISSION_HEAD) == tail {
            let slot = (tail % ring::SUBMISSION_ENTRIES) as usize;
            for word in 0..8 {
                rings.store_u64_release(ring::HEADER_SIZE + slot * 64 + word * 8, 0);
            }
            tail = tail.wrapping_add(1);
        }
        rings.store_u32_release(ring::SUBMISSION_TAIL, tail);
        rings.store_u64_release(ring::DEADLINE, guest.dispatch.clock.now() + 1_000_000);
        if let Err(stop) = guest.dispatch.enter() {
            return Some(stop);
        }
    }
    drop(guest);
    reader.join().unwrap().unwrap();
    None
}

#[test]
fn a_guest_that_does_anything_at_all_is_served_or_ended() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut served, mut faults) = (0, 0);
    for round in 0..60 {
        match run_anything(&mut numbers, 4000, round % 3 == 0) {
            None => served += 1,
            Some(Stop::Fault(Fault::Ring(_))) if round % 3 == 0 => faults += 1,
            Some(Stop::Ended(Cause::Signal(libc::SIGTERM))) => {}
            Some(other) => panic!("{other:?}"),
        }
    }
    assert!(served > 10 && faults > 10, "{served} {faults}");
}
