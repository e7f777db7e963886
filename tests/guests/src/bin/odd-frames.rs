//! Sends frames whose headers tell lies about checksums and segments: chosen ones, then random ones; all to port 10 of
//! 10.0.0.1; then an honest datagram to port 9. Prints how many were refused.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use test_guests::{Raw, bare, noise};
use ukvm_abi::net::LONGEST;
use ukvm_abi::request::{NET_HEADER_SIZE, Opcode, Request, Status};

ukvm_runtime::program! { main = main; net lan; }

const NEEDS_CSUM: u8 = 1;
/// GSO types: none, TCP over IPv4, UDP fragments, TCP over IPv6, UDP segments; with ECN.
const TYPES: [u8; 7] = [0, 1, 3, 4, 5, 0x81, 0xff];

async fn main() {
    let mut raw = Raw::take();
    let mut refused = 0;
    let words = [0, 1, 13, 14, 33, 34, 53, 54, 74, 1514, 0x7fff, 0xffff];
    let tcp = frame(6, 10, 40_000);
    for kind in TYPES {
        for flags in [0, NEEDS_CSUM, 0xff] {
            for word in words {
                // Each field in turn tells a lie, the others do not.
                for field in 0..4 {
                    let mut fields = [54, 1446, 34, 16];
                    fields[field] = word;
                    refused += send(&mut raw, &header(flags, kind, fields), &tcp);
                }
            }
        }
    }
    let numbers = noise(7, 8 << 10);
    for (index, random) in numbers.chunks_exact(16).enumerate() {
        let mut header: [u8; NET_HEADER_SIZE] = random[..NET_HEADER_SIZE].try_into().expect("ten bytes");
        // A frame of any length, down to less than its headers.
        let length = usize::from(u16::from_le_bytes([random[10], random[11]])) >> (index % 12);
        header[1] = TYPES[index % TYPES.len()];
        let frame = frame(if index % 3 == 0 { 17 } else { 6 }, 10, length);
        refused += send(&mut raw, &header, &frame[..frame.len().min(LONGEST - NET_HEADER_SIZE)]);
    }
    raw.line(format_args!("refused {refused}"));
    // The checksum is left out, which UDP allows.
    let datagram = frame(17, 9, 5);
    assert_eq!(send(&mut raw, &[0; NET_HEADER_SIZE], &datagram), 0, "an honest frame");
    raw.exit(0);
}

fn header(flags: u8, kind: u8, fields: [u16; 4]) -> [u8; NET_HEADER_SIZE] {
    let mut header = [flags, kind, 0, 0, 0, 0, 0, 0, 0, 0];
    for (place, field) in header[2..].chunks_exact_mut(2).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    header
}

/// An Ethernet frame to everybody with an IPv4 packet for 10.0.0.1: TCP (protocol 6) or UDP (17) to `port`, and
/// `length` bytes.
fn frame(protocol: u8, port: u8, length: usize) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0]);
    let transport = if protocol == 6 { 20 } else { 8 };
    let total = (20 + transport + length).min(65535) as u16;
    frame.extend(total.to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
    let mut sum: u32 =
        frame[14..34].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    frame.extend([0, 9, 0, port]);
    if protocol == 6 {
        frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    } else {
        frame.extend(((8 + length).min(65535) as u16).to_be_bytes());
        frame.extend([0, 0]);
    }
    frame.resize(frame.len() + length, b'x');
    frame
}

/// Sends a frame; whether it was refused.
fn send(raw: &mut Raw, header: &[u8; NET_HEADER_SIZE], frame: &[u8]) -> u32 {
    let packet = [&header[..], frame].concat();
    let (address, length) = (packet.as_ptr() as u64, packet.len() as u64);
    let done = raw.call(&Request { device: 1, address, length, ..bare(Opcode::NetSend) });
    match Status::from_number(done.status) {
        Status::Ok => {
            assert_eq!(done.value, length);
            0
        }
        Status::Invalid => 1,
        other => panic!("{other:?} for a frame with the header {header:?}"),
    }
}
