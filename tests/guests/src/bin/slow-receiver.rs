//! Receives datagrams with as many buffers as both rings hold at all, and takes no completion before a byte of input came; then it
//! takes them as they come, and keeps fewer buffers, so that there is room for other requests.
//!
//! - UDP port 9: a number of 8 bytes, larger than all before it, and noise of this seed; it compares, and counts them.
//! - other UDP ports: sends back what it gets.
//!
//! At the shutdown notice it prints how many it has counted, and exits with 3.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use test_guests::{Raw, bare, console_write, noise};
use ukvm_abi::request::{NET_HEADER_SIZE, NET_HEADERS_SIZE, Opcode, Request};
use ukvm_abi::ring::{COMPLETION_TAIL, SharedWords};

include!("../../../io/frames.rs");

ukvm_runtime::program! { main = main; net lan: plain; }

/// Bytes of the longest frame, with its headers.
const FRAME: usize = NET_HEADERS_SIZE + 1500;
/// The buffers that it keeps after it was slow.
const KEPT: u64 = 256;
const INPUT: u64 = 1 << 32;
const NOTICE: u64 = 1 << 33;
const SENT: u64 = 1 << 34;

async fn main() {
    let mut raw = Raw::take();
    let (submissions, completions) = (raw.boot.submission_entries, raw.boot.completion_entries);
    // One entry for completions is the notice's, one will be that of the input; the others and the submissions are all buffers.
    let buffers = u64::from(completions - 2 + submissions);
    let mut frames: Vec<Vec<u8>> = (0..buffers).map(|_| vec![0; FRAME]).collect();
    let mut input = [0];
    raw.print("receiving\n");
    raw.submit(&Request { user_data: NOTICE, ..bare(Opcode::ShutdownNotice) });
    let (address, length) = (input.as_mut_ptr() as u64, 1);
    raw.submit(&Request { user_data: INPUT, address, length, ..bare(Opcode::ConsoleRead) });
    let posted = raw.area.load_u32_acquire(COMPLETION_TAIL);
    for (slot, frame) in (0..).zip(&mut frames) {
        submit(&mut raw, &net(Opcode::NetReceive, slot, frame));
    }
    raw.enter(0);
    assert!(!raw.ring.submit(&bare(Opcode::Nop)).expect("possible indices"), "the submission ring is full");
    // Until the last completion for which there is room, which is that of the input.
    while raw.area.load_u32_acquire(COMPLETION_TAIL) - posted < completions - 1 {
        raw.enter(u64::MAX);
    }
    assert_eq!(raw.ring.queued(), submissions, "requests taken without room for their completions");

    let (mut received, mut counted, mut next) = (0, 0, 0);
    let mut sending: VecDeque<Vec<u8>> = VecDeque::new();
    loop {
        let done = raw.wait();
        assert_eq!(done.status, 0, "request {:#x} failed", done.user_data);
        match done.user_data {
            INPUT => continue,
            NOTICE => {
                let line = format!("{counted} in order\n");
                submit(&mut raw, &console_write(line.as_bytes()));
                raw.enter(0);
                raw.exit(3);
            }
            SENT => {
                sending.pop_front();
                continue;
            }
            _ => {}
        }
        // Buffers are filled in the order in which they were submitted.
        let slot = if received < buffers { received } else { (received - buffers) % KEPT };
        assert_eq!(done.user_data, slot, "another buffer was filled");
        received += 1;
        let frame = &mut frames[slot as usize];
        let mut packet = frame[..done.value as usize].to_vec();
        if slot < KEPT {
            submit(&mut raw, &net(Opcode::NetReceive, slot, frame));
        }
        if let Some((number, rest)) = numbered(&packet[NET_HEADER_SIZE..]) {
            assert!(number >= next, "datagram {number} is there when {next} is the least that can come");
            assert!(*rest == noise(number, rest.len()), "datagram {number} has changed");
            (next, counted) = (number + 1, counted + 1);
        } else if turn_round(&mut packet[NET_HEADER_SIZE..]) {
            sending.push_back(packet);
            let packet = sending.back_mut().expect("a packet");
            submit(&mut raw, &net(Opcode::NetSend, SENT, packet));
        }
    }
}

/// Submits, where it must with the room that the monitor makes.
fn submit(raw: &mut Raw, request: &Request) {
    while !raw.ring.submit(request).expect("possible indices") {
        raw.enter(0);
    }
}

fn net(opcode: Opcode, user_data: u64, frame: &mut [u8]) -> Request {
    let (address, length) = (frame.as_mut_ptr() as u64, frame.len() as u64);
    Request { device: 1, user_data, address, length, ..bare(opcode) }
}

/// The number and the rest of a datagram to port 9.
fn numbered(frame: &[u8]) -> Option<(u64, &[u8])> {
    // UDP over IPv4 without options: its header is at 34.
    if frame.len() < 42 || frame[12..15] != [0x08, 0x00, 0x45] || frame[23] != 17 || frame[36..38] != [0, 9] {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([frame[38], frame[39]]));
    let (number, rest) = frame[42..34 + length].split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}
