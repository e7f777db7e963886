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
use ukvm_abi::net::{RECORD_HEADER, record_size};
use ukvm_abi::request::{NET_HEADER_SIZE, Opcode, QUIET, Request};
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
    net raw: batched, optional;
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

/// Sends frames back for ever, on the ring itself, each from where it was received.
fn mirror(mut raw: Raw, exit: u128) -> ! {
    /// Buffers for batches of frames.
    const BATCHES: usize = 4;
    /// Bytes of each.
    const BATCH: usize = 64 << 10;
    /// Added to a batch's number in what is sent.
    const SENT: u64 = BATCHES as u64;
    let mut batches = vec![vec![0; BATCH]; BATCHES];
    // Frames of each batch that are being sent.
    let mut under_way = [0; BATCHES];
    // Batches that are not with the monitor to receive in.
    let mut busy = 0;
    // Before there can be frames: the completion that is waited for must be the next one.
    raw.line(format_args!("exit {exit}\nready"));
    for (number, batch) in batches.iter_mut().enumerate() {
        raw.submit(&net(Opcode::NetReceive, number as u64, batch));
    }
    loop {
        let done = raw.wait();
        assert_eq!(done.status, 0, "a frame failed");
        let number = (done.user_data % SENT) as usize;
        let batch = &mut batches[number];
        if done.user_data >= SENT {
            under_way[number] -= 1;
        } else {
            busy += 1;
            let mut rest = &mut batch[..done.value as usize];
            while let Some((header, record)) = rest.split_first_chunk_mut::<RECORD_HEADER>() {
                let length = u64::from_le_bytes(*header) as usize;
                let (packet, padding) = record.split_at_mut(length);
                rest = padding.get_mut(record_size(length) - RECORD_HEADER - length..).unwrap_or_default();
                if turn_round(&mut packet[NET_HEADER_SIZE..]) {
                    // What is sent is waited for only where there is nothing else to wait for.
                    let flags = if busy < BATCHES { QUIET } else { 0 };
                    let user_data = number as u64 + SENT;
                    while !raw
                        .ring
                        .submit(&Request { flags, ..net(Opcode::NetSend, user_data, packet) })
                        .expect("possible indices")
                    {
                        raw.enter(0);
                    }
                    under_way[number] += 1;
                }
            }
        }
        if under_way[number] == 0 {
            busy -= 1;
            raw.submit(&net(Opcode::NetReceive, number as u64, batch));
        }
    }
}

fn net(opcode: Opcode, user_data: u64, bytes: &mut [u8]) -> Request {
    let (address, length) = (bytes.as_mut_ptr() as u64, bytes.len() as u64);
    Request { device: RAW, user_data, address, length, ..bare(opcode) }
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
