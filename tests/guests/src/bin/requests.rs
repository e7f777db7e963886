//! Submits requests that are wrong in one field each; prints how each completes, and goes on.
#![no_std]
#![no_main]

use test_guests::{Raw, bare, console_write};
use ukvm_abi::request::{Opcode, Request};

ukvm_runtime::program! { main = main; net lan: plain, optional; block data: optional; }

async fn main() {
    let mut raw = Raw::take();
    let text = b"x";
    let good = console_write(text);
    let nop = bare(Opcode::Nop);
    for (name, request) in [
        ("nop", nop),
        ("opcode 13", Request { opcode: 13, ..nop }),
        ("opcode 65535", Request { opcode: u16::MAX, ..nop }),
        ("device 3", Request { device: 3, ..good }),
        ("device max", Request { device: u32::MAX, ..good }),
        ("absent net", Request { device: 1, ..console_write(&[0; 100]) }),
        ("absent block", Request { device: 2, ..bare(Opcode::BlockFlush) }),
        ("flush of the console", bare(Opcode::BlockFlush)),
        ("entropy of a net", Request { device: 1, ..bare(Opcode::Entropy) }),
        ("flags", Request { flags: 1, ..good }),
        ("reserved 0", Request { reserved: [1, 0, 0], ..good }),
        ("reserved 2", Request { reserved: [0, 0, 1 << 63], ..good }),
        ("offset of a console write", Request { offset: 1, ..good }),
        ("address of a nop", Request { address: 4096, ..nop }),
        ("length of a nop", Request { length: 1, ..nop }),
        ("empty write", Request { length: 0, ..good }),
    ] {
        let done = raw.call(&request);
        raw.line(format_args!("{name}: {} {}", done.status, done.value));
    }
    // The first waits, so that its completion does not come between.
    raw.submit(&Request { user_data: 7, ..bare(Opcode::ShutdownNotice) });
    let done = raw.call(&bare(Opcode::ShutdownNotice));
    raw.line(format_args!("second notice: {} {}", done.status, done.value));
    raw.exit(0);
}
