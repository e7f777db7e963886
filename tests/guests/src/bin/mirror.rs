//! Sends every UDP packet over IPv4 back to where it came from, without a network stack: it swaps the addresses in the frame.
//!
//! With `disk` as an argument it keeps a read of its disk going all the time, with `flood` a write to the console, with `deaf` it
//! does not ask for the shutdown notice. At the notice it exits with 3.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use test_guests::{Raw, bare, console_write};
use ukvm_abi::request::{NET_HEADER_SIZE, Opcode, Request};

include!("../../../io/frames.rs");

ukvm_runtime::program! { main = main; net lan: plain; block data: optional; }

/// Frames under way.
const SLOTS: usize = 64;
/// The largest frame that the host hands over, with its headers.
const FRAME: usize = 65_536 + 64;
const DISK: u64 = 1000;
const FLOOD: u64 = 1001;
const NOTICE: u64 = 1002;
/// Added to a slot's number while its frame is being sent.
const SENT: u64 = 2000;

async fn main() {
    let has = |word| ukvm_runtime::args().any(|argument| argument == word);
    let mut raw = Raw::take();
    let mut frames: Vec<Vec<u8>> = (0..SLOTS).map(|_| vec![0; FRAME]).collect();
    let mut sector = vec![0_u8; 4096];
    let noise = vec![b'#'; 60_000];
    raw.print("mirroring\n");
    let mut read = Request { device: 2, ..bare(Opcode::BlockRead) };
    (read.user_data, read.address, read.length) = (DISK, sector.as_mut_ptr() as u64, 4096);
    let write = Request { user_data: FLOOD, ..console_write(&noise) };
    if !has("deaf") {
        raw.submit(&Request { user_data: NOTICE, ..bare(Opcode::ShutdownNotice) });
    }
    if has("disk") {
        raw.submit(&read);
    }
    if has("flood") {
        raw.submit(&write);
    }
    for (slot, frame) in frames.iter_mut().enumerate() {
        raw.submit(&net(Opcode::NetReceive, slot as u64, frame, FRAME));
    }
    loop {
        let done = raw.wait();
        match done.user_data {
            NOTICE => raw.exit(3),
            DISK => {
                assert_eq!(done.status, 0, "the disk failed");
                raw.submit(&read);
            }
            FLOOD => raw.submit(&write),
            slot if slot < SENT => {
                assert_eq!(done.status, 0, "receiving failed");
                let frame = &mut frames[slot as usize];
                let request = if turn_round(&mut frame[NET_HEADER_SIZE..done.value as usize]) {
                    net(Opcode::NetSend, slot + SENT, frame, done.value as usize)
                } else {
                    net(Opcode::NetReceive, slot, frame, FRAME)
                };
                raw.submit(&request);
            }
            sent => {
                assert_eq!(done.status, 0, "sending failed");
                let slot = sent - SENT;
                raw.submit(&net(Opcode::NetReceive, slot, &mut frames[slot as usize], FRAME));
            }
        }
    }
}

fn net(opcode: Opcode, user_data: u64, frame: &mut [u8], length: usize) -> Request {
    let address = frame.as_mut_ptr() as u64;
    Request { device: 1, user_data, address, length: length as u64, ..bare(opcode) }
}
