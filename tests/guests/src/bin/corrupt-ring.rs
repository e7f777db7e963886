//! Writes indices into the ring header that no correct guest writes: which is the argument.
#![no_std]
#![no_main]

use test_guests::{Raw, argument};
use ukvm_abi::ring::{COMPLETION_HEAD, SUBMISSION_TAIL, SharedWords};

ukvm_runtime::program! { main = main; }

async fn main() {
    let mut raw = Raw::take();
    raw.print("before");
    // Twice, so that the monitor has seen the head move before it goes back. Both indices are then 2.
    raw.print(" it");
    let entries = raw.boot.submission_entries;
    match argument() {
        "tail-ahead" => raw.area.store_u32_release(SUBMISSION_TAIL, 2 + entries + 1),
        "tail-far" => raw.area.store_u32_release(SUBMISSION_TAIL, 1 << 31),
        "tail-back" => raw.area.store_u32_release(SUBMISSION_TAIL, 1),
        "head-ahead" => raw.area.store_u32_release(COMPLETION_HEAD, 3),
        "head-back" => raw.area.store_u32_release(COMPLETION_HEAD, 0),
        other => panic!("no way {other:?}"),
    }
    // With something to do, so that both indices are looked at.
    if argument().starts_with("head") {
        raw.area.store_u32_release(SUBMISSION_TAIL, 3);
    }
    raw.enter(0);
    raw.exit(0);
}
