//! Uses an I/O port as it must not: which way is the argument.
#![no_std]
#![no_main]

use test_guests::{Raw, argument, execute, ring_doorbell};
use ukvm_abi::doorbell::PORT;

ukvm_runtime::program! { main = main; }

async fn main() {
    let mut raw = Raw::take();
    raw.print("before");
    // So that a string instruction that is as good as an OUT does not wait for ever.
    raw.ring.set_deadline(0);
    let mut buffer = [0_u32; 4];
    let address = buffer.as_mut_ptr();
    match argument() {
        "unknown-port" => execute!("out dx, eax", in("dx") 0x3f8_u16, in("eax") 0),
        "serial-byte" => execute!("out dx, al", in("dx") 0x3f8_u16, in("al") 0x41_u8),
        "immediate" => execute!("out 0x80, al", in("al") 0_u8),
        "last-port" => execute!("out dx, al", in("dx") 0xffff_u16, in("al") 0_u8),
        "in" => execute!("in eax, dx", in("dx") PORT, out("eax") _),
        "in-byte" => execute!("in al, dx", in("dx") PORT, out("al") _),
        "in-word" => execute!("in ax, dx", in("dx") PORT, out("ax") _),
        "in-other" => execute!("in al, dx", in("dx") 0x60_u16, out("al") _),
        "out-byte" => execute!("out dx, al", in("dx") PORT, in("al") 0_u8),
        "out-word" => execute!("out dx, ax", in("dx") PORT, in("ax") 0_u16),
        "overlap" => execute!("out dx, eax", in("dx") PORT - 2, in("eax") 0),
        "unknown-function" => ring_doorbell(0xff),
        "stray-argument" => ring_doorbell(0x100),
        "high-bits" => ring_doorbell(1 << 31 | 1),
        "outsb" => execute!("outsb", in("dx") PORT, inout("rsi") address => _),
        "outsd" => execute!("outsd", in("dx") PORT, inout("rsi") address => _),
        "rep-outsd" => {
            execute!("rep outsd", in("dx") PORT, inout("rsi") address => _, inout("rcx") 4_u64 => _);
        }
        "rep-outsb-other" => {
            execute!("rep outsb", in("dx") 0x3f8_u16, inout("rsi") address => _, inout("rcx") 4_u64 => _);
        }
        "insb" => execute!("insb", in("dx") PORT, inout("rdi") address => _),
        "insd" => execute!("insd", in("dx") PORT, inout("rdi") address => _),
        "rep-insd" => {
            execute!("rep insd", in("dx") PORT, inout("rdi") address => _, inout("rcx") 4_u64 => _);
        }
        other => panic!("no way {other:?}"),
    }
    raw.print(" and went on");
    raw.exit(0);
}
