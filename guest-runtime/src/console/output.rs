//! Output: a buffer of two halves, one of which fills while the host takes the other.

use super::MonitorBuffer;
use crate::local::Local;
use crate::ring;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use ukvm_abi::ring::PANIC_MAX;

/// Bytes of each of the two halves of the buffer: one fills while the host takes the other.
const HALF: usize = 8192;

/// The large buffers of every program, in the order in which it comes to need them: the start of the first is in a page that every
/// start touches.
struct Buffers {
    halves: [MonitorBuffer<HALF>; 2],
    panic_message: MonitorBuffer<PANIC_MAX>,
}

static BUFFERS: Buffers =
    Buffers { halves: [const { MonitorBuffer::new() }; 2], panic_message: MonitorBuffer::new() };
// With the variables that have values, which every start touches, and not behind the halves.
#[unsafe(link_section = ".data.ukvm_output")]
static OUTPUT: Local<Output> =
    Local::new(Output { filling: 0, filled: 0, under_way: false, waiting: Vec::new() });

struct Output {
    /// Which half is being filled.
    filling: usize,
    /// Bytes in it.
    filled: usize,
    /// Whether the monitor has the other half.
    under_way: bool,
    /// Who waits for room.
    waiting: Vec<Waker>,
}

impl Output {
    /// Appends what fits and returns how much that was.
    #[unsafe(link_section = ".text.startup.ukvm")]
    fn push(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(HALF - self.filled);
        let half: *mut u8 = BUFFERS.halves[self.filling].address();
        // SAFETY: `filled` is at most the length of the half.
        let end = unsafe { half.add(self.filled) };
        // Not by `memcpy`, which is called through a table in a page that a start would touch for nothing else.
        // SAFETY: `count` bytes are left behind `end`, and the half being filled belongs to the guest alone; the direction flag is clear,
        // as the ABI has it.
        unsafe {
            core::arch::asm!(
                "rep movsb",
                inout("rdi") end => _,
                inout("rsi") bytes.as_ptr() => _,
                inout("rcx") count => _,
                options(nostack, preserves_flags),
            );
        }
        self.filled += count;
        count
    }

    /// Notes who waits for the host to take a half.
    fn wait<T>(&mut self, waker: &Waker) -> Poll<T> {
        if !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
        Poll::Pending
    }

    /// If there is something to write and the monitor has nothing: the bytes to hand to it.
    fn turn(&mut self) -> Option<&'static [u8]> {
        if self.under_way || self.filled == 0 {
            return None;
        }
        let half: *const u8 = BUFFERS.halves[self.filling].address();
        // SAFETY: these bytes were written before, and nobody writes them again until `done`.
        let bytes = unsafe { core::slice::from_raw_parts(half, self.filled) };
        self.under_way = true;
        self.filling = 1 - self.filling;
        self.filled = 0;
        Some(bytes)
    }
}

/// Hands to the ring what there is, if the host has taken the last.
#[unsafe(link_section = ".text.startup.ukvm")]
pub(crate) fn submit() {
    if let Some(bytes) = OUTPUT.with(Output::turn) {
        ring::submit_console_output(bytes);
    }
}

/// Hands to the host what there is.
#[unsafe(link_section = ".text.startup.ukvm")]
pub(super) fn submit_now() {
    // The last time leaves its completion for now: a program may have no other.
    if OUTPUT.with(|output| output.under_way) {
        ring::reap();
    }
    submit();
    ring::enter(0);
}

/// The host has taken a half, or never will (then it is lost, as there is nobody to tell).
pub(crate) fn done() {
    let waiting = OUTPUT.with(|output| {
        output.under_way = false;
        core::mem::take(&mut output.waiting)
    });
    submit();
    waiting.into_iter().for_each(Waker::wake);
}

/// Hands all output to the monitor, which finishes what it has however the guest ends. In a panic that came from inside, does what is
/// possible: nothing.
pub(crate) fn drain() {
    loop {
        let Some(filled) = OUTPUT.try_with(|output| output.filled) else { return };
        if !ring::is_at_rest() || (filled == 0 && !ring::pending().unannounced) {
            return;
        }
        submit();
        // What is left waits for the half that the monitor has.
        let left = OUTPUT.with(|output| output.filled);
        ring::enter(if left == 0 { 0 } else { u64::MAX });
        ring::reap();
    }
}

/// [`PANIC_MAX`] bytes for the message of a panic.
pub(crate) const fn panic_message() -> *mut u8 {
    BUFFERS.panic_message.address()
}

#[unsafe(link_section = ".text.startup.ukvm")]
pub(super) fn write_blocking(mut bytes: &[u8]) {
    loop {
        let count = OUTPUT.with(|output| output.push(bytes));
        bytes = &bytes[count..];
        if bytes.is_empty() {
            return;
        }
        submit();
        if OUTPUT.with(|output| output.filled == HALF) {
            ring::enter(u64::MAX);
            ring::reap();
        }
    }
}

/// Writes all of `bytes`, and lets other tasks go on while there is no room in the buffer. It returns once the bytes are in the
/// buffer; [`flush`] waits for the host.
pub async fn write_all(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = poll_fn(|context| {
            OUTPUT.with(|output| match output.push(bytes) {
                0 => output.wait(context.waker()),
                count => Poll::Ready(count),
            })
        })
        .await;
        bytes = &bytes[count..];
    }
}

/// Waits until the host has taken all that was written before.
pub async fn flush() {
    submit();
    poll_fn(|context| {
        OUTPUT.with(|output| {
            if !output.under_way && output.filled == 0 {
                return Poll::Ready(());
            }
            output.wait(context.waker())
        })
    })
    .await;
}
