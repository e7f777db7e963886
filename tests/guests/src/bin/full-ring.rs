//! Takes no completions while it submits more than the completion ring holds: nothing is lost, submissions wait, and the
//! shutdown notice still comes.
#![no_std]
#![no_main]

use test_guests::{Raw, bare};
use ukvm_abi::request::{Opcode, Request};
use ukvm_abi::ring::{COMPLETION_TAIL, SUBMISSION_HEAD, SharedWords};

ukvm_runtime::program! { main = main; }

/// The user data of the shutdown notice.
const NOTICE: u64 = 1_000_000;

async fn main() {
    let mut raw = Raw::take();
    let entries = raw.boot.completion_entries;
    raw.print("ready\n");
    raw.submit(&Request { user_data: NOTICE, ..bare(Opcode::ShutdownNotice) });
    raw.enter(0);
    let mut next = 0;
    while next < 2 * u64::from(entries) {
        if raw.ring.submit(&Request { user_data: next, ..bare(Opcode::Nop) }).expect("possible indices") {
            next += 1;
        } else if raw.area.load_u32_acquire(SUBMISSION_HEAD) >= entries {
            break;
        } else {
            raw.enter(0);
        }
    }
    // One for the first line, one for the notice; of those left, one stays free for the notice's completion.
    let taken = raw.area.load_u32_acquire(SUBMISSION_HEAD) - 2;
    assert_eq!(taken, entries - 1, "requests taken while no completion was");
    // The notice has an entry of its own, even now.
    while raw.area.load_u32_acquire(COMPLETION_TAIL) != 1 + entries {
        raw.enter(u64::MAX);
    }
    let (mut expected, mut noticed) = (0, false);
    while expected < next || !noticed {
        let done = raw.wait();
        assert_eq!(done.status, 0);
        if done.user_data == NOTICE {
            noticed = true;
        } else {
            assert_eq!(done.user_data, expected, "a completion out of order");
            expected += 1;
        }
    }
    raw.line(format_args!("{expected} requests and the notice"));
    raw.exit(9);
}
