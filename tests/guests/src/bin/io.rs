//! What `ukvm-bench io` measures of a guest: sends frames back, serves sockets, or reads its disk. Its first argument says
//! what; the floor `io-floor` does the same on the host.
//!
//! It prints the cost of one exit in nanoseconds, then `ready`. With `block` a line for each phase follows, its name and how
//! many requests it had; the others run until they are killed.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use test_guests::{Raw, bare};
use ukvm_abi::request::{NET_HEADER_SIZE, NET_HEADERS_SIZE, Opcode, Request};
use ukvm_runtime::abi::exit_status;
use ukvm_runtime::block::Disk;
use ukvm_runtime::net::{self, Stack, TcpOptions, TcpStream, UdpSocket};
use ukvm_runtime::{println, task, time};

include!("../../../io/frames.rs");
include!("../../../io/phases.rs");
include!("../../../io/sockets.rs");

ukvm_runtime::program! {
    main = main;
    net lan: optional;
    // For frames without a stack.
    net raw: plain, optional;
    block data: writable, optional;
    // A disk that the program never writes to, which the monitor may serve in another way.
    block image: optional;
}

/// Exits that one's cost is the mean of.
const EXITS: u32 = 300;
/// The device `raw`.
const RAW: u32 = 2;

async fn main() -> u8 {
    let mut arguments = ukvm_runtime::args();
    let mode = arguments.next().unwrap_or("");
    // Nothing is submitted by it, so the runtime may use the ring afterwards.
    let raw = Raw::take();
    let exit = exit_cost(&raw).as_nanos();
    if mode == "frames" {
        mirror(raw, exit);
    }
    println!("exit {exit}");
    if mode == "block" {
        return block(arguments).await;
    }
    let options = match net::Options::parse_all(arguments) {
        Ok(options) => options,
        Err(error) => {
            println!("io: {error}");
            return exit_status::USAGE;
        }
    };
    let stack = Stack::open("lan", options.config).expect("a network device");
    println!("ready");
    match mode {
        "udp" => serve_udp(&stack).await,
        "tcp" => serve_tcp(&stack).await,
        _ => println!("io: there is nothing called `{mode}`; name frames, udp, tcp or block"),
    }
    exit_status::USAGE
}

/// What an exit costs that has nothing to do.
fn exit_cost(raw: &Raw) -> Duration {
    raw.enter(0);
    let start = time::monotonic();
    for _ in 0..EXITS {
        raw.enter(0);
    }
    (time::monotonic() - start) / EXITS
}

/// Sends frames back for ever, on the ring itself.
fn mirror(mut raw: Raw, exit: u128) -> ! {
    /// Requests of each direction that may be under way at once.
    const SLOTS: usize = 128;
    /// Bytes: no frame of a benchmark is longer.
    const FRAME: usize = NET_HEADERS_SIZE + 1500;
    /// Added to a slot's number while its frame is being sent.
    const SENT: u64 = SLOTS as u64;
    let mut frames: Vec<[u8; FRAME]> = vec![[0; FRAME]; SLOTS];
    // Before there can be frames: the completion that is waited for must be the next one.
    raw.line(format_args!("exit {exit}\nready"));
    for (slot, frame) in frames.iter_mut().enumerate() {
        raw.submit(&net(Opcode::NetReceive, slot as u64, frame, FRAME));
    }
    loop {
        let done = raw.wait();
        assert_eq!(done.status, 0, "a frame failed");
        let (slot, was_sent) = (done.user_data % SENT, done.user_data >= SENT);
        let frame = &mut frames[slot as usize];
        let length = done.value as usize;
        let request = if !was_sent && turn_round(&mut frame[NET_HEADER_SIZE..length]) {
            net(Opcode::NetSend, slot + SENT, frame, length)
        } else {
            net(Opcode::NetReceive, slot, frame, FRAME)
        };
        raw.submit(&request);
    }
}

fn net(opcode: Opcode, user_data: u64, frame: &mut [u8], length: usize) -> Request {
    let address = frame.as_mut_ptr() as u64;
    Request { device: RAW, user_data, address, length: length as u64, ..bare(opcode) }
}

/// Reads the disk, phase by phase.
async fn block(names: impl Iterator<Item = &'static str>) -> u8 {
    let disk = Disk::open("data").or_else(|_| Disk::open("image")).expect("a disk");
    let mut phases = Vec::new();
    for name in names {
        let Some(phase) = Phase::parse(name) else {
            println!("io: `{name}` is no phase; write one like random-4096-32");
            return exit_status::USAGE;
        };
        // Touched here, not in the phase.
        let buffers: Vec<_> = (0..phase.depth).map(|_| aligned(phase.size)).collect();
        phases.push((phase, buffers));
    }
    let (mut memory, start) = aligned(WARM_CHUNK);
    for _ in 0..WARM_PASSES {
        for offset in (0..disk.len()).step_by(WARM_CHUNK) {
            disk.read(offset, &mut memory[start..start + WARM_CHUNK]).await.expect("a read");
        }
    }
    println!("ready");
    for (phase, mut buffers) in phases {
        let watch = Rc::new(RefCell::new((Watch::start(time::monotonic), phase.offsets(disk.len()))));
        // The first reads here, the others beside it.
        let own = buffers.pop();
        let others: Vec<_> = buffers
            .into_iter()
            .map(|buffer| task::spawn(read(disk.clone(), phase.size, buffer, watch.clone())))
            .collect();
        if let Some(buffer) = own {
            read(disk.clone(), phase.size, buffer, watch.clone()).await;
        }
        for other in others {
            other.await;
        }
        println!("{} {}", phase.name, watch.borrow().0.count);
    }
    0
}

/// One of those who read in a phase: what it shares with the others is when the phase is over, and where to read.
async fn read(
    disk: Disk,
    size: usize,
    (mut memory, start): (Vec<u8>, usize),
    shared: Rc<RefCell<(Watch, Offsets)>>,
) {
    let buffer = &mut memory[start..start + size];
    loop {
        let offset = shared.borrow_mut().1.next().unwrap_or(0);
        disk.read(offset, buffer).await.expect("a read");
        if !shared.borrow_mut().0.goes_on() {
            return;
        }
    }
}
