//! Requests of all kinds, by a guest that keeps to the rules of the rings and by one that does not.

use arbitrary::{Result, Unstructured};
use nix::sys::signal::{Signal, raise};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};
use ukvm::abi::ukvm::dispatch::{Dispatch, Parts};
use ukvm::abi::{Abi, Stop};
use ukvm::clock::ClockPage;
use ukvm::config::{ConsoleConfig, DiskConfig, DiskSource};
use ukvm::device::block::{Block, BlockBackend, Worker};
use ukvm::device::console::Console;
use ukvm::device::{Completions, Counters, Device, DeviceRequest};
use ukvm::fault::Fault;
use ukvm::interrupt::{Interrupts, Timer};
use ukvm::layout::{Layout, Rights, Wishes};
use ukvm::memory::{Memory, PAGE, SharedArea};
use ukvm::observe::counts::ExitCounts;
use ukvm_abi::doorbell::{Function, PORT};
use ukvm_abi::request::{Opcode, Request, Status};
use ukvm_abi::ring::{AREA_SIZE, DEADLINE, GuestRing, HEADER_SIZE, MonitorRing, Shape, SharedWords};
use vm_memory::VolatileSlice;

/// The disks' size in bytes.
const DISK: usize = 64 << 10;
/// The disks' block size in bytes.
const BLOCK: u32 = 512;
/// What the pages hold that the guest may only read.
const PATTERN: u8 = 0x90;
/// How long the worker may take to complete what an honest guest asked for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A disk in memory.
#[derive(Debug)]
struct Ram {
    bytes: Mutex<Vec<u8>>,
    read_only: bool,
}

impl Ram {
    fn with(&self, offset: u64, length: usize, act: impl FnOnce(&mut [u8])) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        // The device has checked the range; a range that is not inside is its bug, and this finds it.
        act(&mut bytes[offset as usize..][..length]);
    }
}

impl BlockBackend for Ram {
    fn capacity(&self) -> u64 {
        DISK as u64
    }
    fn block_size(&self) -> u32 {
        BLOCK
    }
    fn is_read_only(&self) -> bool {
        self.read_only
    }
    fn read_now(&self, into: &VolatileSlice<'_>, offset: u64) -> io::Result<usize> {
        // Now and then all, half or nothing of it is there at once.
        let ready = into.len() * (offset as usize / BLOCK as usize % 3) / 2;
        self.with(offset, ready, |bytes| into.copy_from(bytes));
        Ok(ready)
    }
    fn read(&self, into: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        self.with(offset, into.len(), |bytes| into.copy_from(bytes));
        Ok(())
    }
    fn write(&self, from: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        assert!(!self.read_only);
        self.with(offset, from.len(), |bytes| {
            from.copy_to(bytes);
        });
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        assert!(!self.read_only);
        self.with(offset, length as usize, |bytes| bytes.fill(0));
        Ok(())
    }
}

/// A network device that keeps each request for a while, and completes the last one first.
#[derive(Debug, Default)]
struct Slow {
    kept: Vec<DeviceRequest>,
    turn: u32,
}

impl Device for Slow {
    fn submit(&mut self, request: &DeviceRequest, _: &Arc<Memory>, done: &mut dyn Completions) {
        match request.opcode {
            Opcode::NetSend | Opcode::NetReceive => self.kept.push(*request),
            _ => done.post(request.user_data, Err(Status::BadDevice)),
        }
    }
    fn advance(&mut self, memory: &Arc<Memory>, done: &mut dyn Completions) {
        self.turn += 1;
        if self.turn.is_multiple_of(3)
            && let Some(request) = self.kept.pop()
        {
            if request.opcode == Opcode::NetReceive {
                memory.slice(request.buffer).copy_from(&[0xee_u8; 64]);
            }
            done.post(request.user_data, Ok(request.buffer.len() as u64));
        }
    }
    fn wait_for(&self, _: &mut Vec<(RawFd, libc::c_short)>) {}
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

struct Guest {
    dispatch: Dispatch,
    ring: GuestRing<SharedArea>,
    area: SharedArea,
    layout: Layout,
    memory: Arc<Memory>,
    /// Whether it writes where it should not.
    hostile: bool,
    asked: u64,
    /// What it has not got a completion for, by user data.
    owed: BTreeMap<u64, Request>,
}

/// The thread of all disks.
fn worker() -> &'static Arc<Worker> {
    static WORKER: OnceLock<Arc<Worker>> = OnceLock::new();
    WORKER.get_or_init(|| Arc::new(Worker::start().expect("a thread")))
}

fn disk(read_only: bool) -> Option<Box<dyn Device>> {
    let source = DiskSource::Backend(Box::new(Ram { bytes: Mutex::new(vec![PATTERN; DISK]), read_only }));
    let config = DiskConfig { name: None, source, read_only, direct: false, block_size: None };
    Some(Box::new(Block::open(config, worker()).expect("a disk")))
}

impl Guest {
    fn new(hostile: bool, null: &File) -> Self {
        let wishes = Wishes {
            memory: 4 << 20,
            span: 0..2 * PAGE,
            pages: vec![(0..PAGE, Rights::EXECUTE), (PAGE..2 * PAGE, Rights::WRITE)],
            movable: true,
            alignment: PAGE,
            info: 1,
            rings: AREA_SIZE as u64,
            stack: 4 * PAGE,
            mappings: Vec::new(),
        };
        let layout = Layout::new(&wishes, |below| below / 2).expect("a layout");
        let memory = Arc::new(Memory::new(layout.memory).expect("memory"));
        for page in Self::read_only_pages(&layout) {
            memory.write(page, &[PATTERN; PAGE as usize]).expect("it is inside the memory");
        }
        let share = |range| SharedArea::new(&memory, range).expect("it is inside the memory");
        let area = share(&layout.rings);
        let (input, output) = (null.as_raw_fd(), null.as_raw_fd());
        let console = ConsoleConfig::Descriptors { input, output, raw: false };
        let mut interrupts = Interrupts::new(false).expect("one guest a thread");
        let mut dispatch = Dispatch::new(Parts {
            ring: MonitorRing::new(area.clone(), Shape::DEFAULT),
            console: Console::new(&console, &mut interrupts).expect("a console"),
            devices: vec![disk(false), Some(Box::<Slow>::default()), None, disk(true)],
            clock: ClockPage::new(share(&layout.clock), 1_000_000, 0, false),
            interrupts,
            grace: Duration::from_secs(3600),
            memory: Arc::clone(&memory),
            layout: layout.clone(),
        });
        if hostile {
            // A disk may write a deadline into the rings.
            let time = Duration::from_millis(100);
            dispatch.interrupts().arm(Timer::Timeout, time).expect("a timer");
        }
        let ring = GuestRing::new(area.clone(), Shape::DEFAULT);
        Self { dispatch, ring, area, layout, memory, hostile, asked: 0, owed: BTreeMap::new() }
    }

    fn read_only_pages(layout: &Layout) -> [u64; 2] {
        [layout.image.start, layout.info.start]
    }

    /// What `input` has the guest ask for: mostly something that makes sense but for one field or two.
    fn request(&mut self, input: &mut Unstructured<'_>) -> Result<Request> {
        let opcode = match input.arbitrary::<u8>()? {
            number @ 0..240 => u16::from(number % 12),
            _ => input.arbitrary()?,
        };
        let device = match input.arbitrary::<u8>()? {
            number @ 0..240 => u32::from(number % 6),
            _ => input.arbitrary()?,
        };
        let place = input.arbitrary::<u8>()?;
        let start = match place % 8 {
            0..3 => self.layout.image.start + PAGE,
            3 => self.layout.image.start,
            4 => self.layout.stack.start,
            5 => self.layout.small_heap.start,
            6 if self.hostile => self.layout.rings.start,
            6 => self.layout.info.start,
            _ => input.arbitrary()?,
        };
        let mut address = self.layout.virtual_address(start).wrapping_add(input.arbitrary::<u16>()?.into());
        if place & 0x10 == 0 {
            address &= !0xfff;
        }
        let mut length = match place >> 5 {
            0..4 => u64::from(input.arbitrary::<u8>()? & 7) * u64::from(BLOCK),
            4..7 => u64::from(input.arbitrary::<u16>()?),
            _ => input.arbitrary()?,
        };
        let mut offset = match input.arbitrary::<u8>()? {
            block @ 0..250 => u64::from(block) * u64::from(BLOCK),
            _ => input.arbitrary()?,
        };
        let odd = input.arbitrary::<u8>()?;
        if odd < 200 {
            let opcode = Opcode::from_number(opcode);
            let range = matches!(opcode, Some(Opcode::BlockDiscard | Opcode::BlockWriteZeroes));
            let moves = matches!(opcode, Some(Opcode::BlockRead | Opcode::BlockWrite));
            let nothing = matches!(opcode, Some(Opcode::Nop | Opcode::BlockFlush | Opcode::ShutdownNotice));
            address *= u64::from(!range && !nothing);
            length *= u64::from(!nothing);
            offset *= u64::from(range || moves);
        }
        let rings = &self.layout.rings;
        let above = address.wrapping_sub(self.layout.virtual_address(rings.start));
        if !self.hostile && (above < rings.end - rings.start || above.wrapping_neg() <= length) {
            // Who keeps to the rules has no data written into the rings.
            address = 0;
        }
        let flags = u16::from(odd == 201);
        let reserved = [0, 0, u64::from(odd == 202)];
        self.asked += 1;
        Ok(Request { opcode, flags, device, user_data: self.asked, address, length, offset, reserved })
    }

    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<Option<Stop>> {
        let event = input.arbitrary::<u8>()?;
        match event % 16 {
            0..9 => {
                let request = self.request(input)?;
                match self.ring.submit(&request) {
                    Ok(true) => drop(self.owed.insert(request.user_data, request)),
                    Ok(false) => {}
                    Err(corrupt) => assert!(self.hostile, "{corrupt:?}"),
                }
            }
            9..11 => return Ok(self.enter()),
            11..13 => self.reap(),
            13 => match event >> 4 {
                0 => {
                    raise(Signal::SIGALRM).expect("a signal");
                    return Ok(self.dispatch.interrupted().err());
                }
                1 => drop(self.dispatch.panic_message()),
                _ => {
                    let clock = Function::Clock.encode(0);
                    let stop = self.dispatch.out(PORT, 4, clock, &mut ExitCounts::default());
                    return Ok(stop.err());
                }
            },
            14 if self.hostile => {
                let field = usize::from(input.arbitrary::<u8>()?) % (HEADER_SIZE / 64) * 64;
                self.area.store_u32_release(field, input.arbitrary()?);
            }
            _ if self.hostile => {
                let place = usize::from(input.arbitrary::<u16>()?) * 8 % AREA_SIZE;
                self.area.store_u64_release(place, input.arbitrary()?);
            }
            _ => {}
        }
        Ok(None)
    }

    /// Rings the doorbell, and does not wait.
    fn enter(&mut self) -> Option<Stop> {
        self.area.store_u64_release(DEADLINE, 0);
        self.dispatch.enter().err()
    }

    fn reap(&mut self) {
        while let Ok(Some(completion)) = self.ring.take() {
            if self.hostile {
                // It may see the same one for ever.
                return;
            }
            let request = self.owed.remove(&completion.user_data).expect("one completion for each request");
            assert_eq!(Status::from_number(completion.status) as u32, completion.status);
            if completion.status == Status::Ok as u32 {
                assert!(completion.value <= request.length, "{request:?} {completion:?}");
            } else {
                assert_eq!(completion.value, 0);
            }
        }
    }

    /// Until everything that an honest guest asked for is done, but one shutdown notice.
    fn finish(&mut self) {
        let end = Instant::now() + PATIENCE;
        let waits = |request: &Request| request.opcode != Opcode::ShutdownNotice as u16;
        while self.owed.len() > 1 || self.owed.values().any(waits) {
            assert!(Instant::now() < end, "{:?}", self.owed);
            if let Some(stop) = self.enter() {
                return self.stopped(&stop);
            }
            self.reap();
            thread::yield_now();
        }
    }

    fn stopped(&self, stop: &Stop) {
        match stop {
            Stop::Fault(Fault::Ring(corrupt)) => assert!(self.hostile, "{corrupt:?}"),
            Stop::Fault(fault) => panic!("{fault:?}"),
            Stop::Ended(_) => {}
        }
    }
}

/// Has a guest do what `data` says.
///
/// # Panics
///
/// Where the monitor panics, where a page changes that the guest may not write to, or where a guest that keeps to the rules
/// of the rings does not get one completion for each request.
pub fn run(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let null = File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
    let mut guest = Guest::new(kind & 1 == 1, &null);
    let mut input = Unstructured::new(data);
    let mut stop = None;
    while stop.is_none() && !input.is_empty() {
        let Ok(stopped) = guest.step(&mut input) else { break };
        stop = stopped;
    }
    match stop {
        Some(stop) => guest.stopped(&stop),
        None if !guest.hostile => guest.finish(),
        None => {}
    }
    let _ = guest.dispatch.drain();
    for page in Guest::read_only_pages(&guest.layout) {
        let buffer = guest.memory.buffer(page, PAGE).expect("it is inside the memory");
        assert!(guest.memory.copy(buffer).iter().all(|&byte| byte == PATTERN), "{page:#x}");
    }
}

/// Each opcode on each device with a good buffer, by either guest; notices; indices that are wrong.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let ask = |opcode: u8, device: u8| [0, opcode, device, 0, 0, 0, 1, 0, 0];
    let all: Vec<u8> =
        (0..12).flat_map(|opcode| (0..6).flat_map(move |device| ask(opcode, device))).collect();
    let notice = [&ask(11, 0)[..], &[9, 13, 9, 11], &ask(11, 0), &[9, 11]].concat();
    vec![
        [&[0][..], &all, &[9, 11, 9, 11]].concat(),
        [&[1][..], &all, &[9, 11, 9, 11]].concat(),
        [&[0][..], &notice].concat(),
        // A second notice that is still in the ring at the end.
        [&[0][..], &ask(11, 0), &[9, 11], &ask(11, 0)].concat(),
        [&[1][..], &all, &[9, 14, 0, 0xff, 0, 0, 0, 9]].concat(),
        [&[1][..], &all, &[9, 14, 1, 0xff, 0, 0, 0], &ask(0, 0), &[9]].concat(),
    ]
}
