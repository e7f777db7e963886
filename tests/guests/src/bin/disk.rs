//! Does to its disks what the arguments say, and prints how each request completes.
//!
//! An argument is `HANDLE:OPERATION:OFFSET:LENGTH`, for `read`, `write` (of the byte `OFFSET / 512 + 1`), `flush`, `discard`,
//! `zero` and `info`. Devices have the handles 1 to 3.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use test_guests::{Raw, checksum};
use ukvm_abi::boot_info::DeviceInfo;
use ukvm_abi::request::{Opcode, Request};

ukvm_runtime::program! {
    main = main;
    block data: optional;
    block scratch: writable, optional;
    block third: optional;
}

async fn main() {
    let mut raw = Raw::take();
    for argument in ukvm_runtime::args() {
        let mut parts = argument.split(':');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
        let device = number().expect("a handle") as u32;
        let operation = parts.next().expect("an operation");
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok()).unwrap_or(0);
        let (offset, length) = (number(), number());
        if operation == "info" {
            let info = info(&raw, device);
            let (capacity, block, transfer) = (info.capacity, info.block_size, info.max_transfer);
            raw.line(format_args!(
                "{argument} flags {} of {capacity} in {block} up to {transfer}",
                info.flags
            ));
            continue;
        }
        // The monitor checks lengths; only what fits in memory gets a buffer, and the rest only an address.
        let fill = if operation == "write" { (offset / 512 + 1) as u8 } else { 0xee };
        let mut buffer = vec![fill; length.min(8 << 20) as usize];
        let address = buffer.as_mut_ptr() as u64;
        let (opcode, address) = match operation {
            "read" => (Opcode::BlockRead, address),
            "write" => (Opcode::BlockWrite, address),
            "flush" => (Opcode::BlockFlush, 0),
            "discard" => (Opcode::BlockDiscard, 0),
            "zero" => (Opcode::BlockWriteZeroes, 0),
            other => panic!("no operation {other:?}"),
        };
        let request =
            Request { opcode: opcode as u16, device, address, length, offset, ..Request::default() };
        let done = raw.call(&request);
        if operation == "read" && done.status == 0 {
            raw.line(format_args!("{argument} ok {} {:016x}", done.value, checksum(&buffer)));
        } else {
            raw.line(format_args!("{argument} status {} {}", done.status, done.value));
        }
    }
    raw.exit(0);
}

fn info(raw: &Raw, device: u32) -> DeviceInfo {
    let devices = raw.boot.devices;
    assert!(device >= 1 && device <= raw.boot.device_count);
    let at = devices.start + u64::from(device - 1) * u64::from(raw.boot.device_size);
    // SAFETY: the monitor has put as many entries of at least this size there, read-only and for ever.
    unsafe { core::ptr::read(at as *const DeviceInfo) }
}
