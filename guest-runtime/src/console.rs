//! The console: the monitor's standard output and input.
//!
//! # When output appears
//!
//! All output passes through a buffer in the order in which it was written. It is handed to the host
//!
//! - when a [`print!`](crate::print) or [`println!`](crate::println) ends with a line feed: at once, by one exit to the monitor,
//!   so that it is seen even if the next instruction is a fault or the start of an hour's computing;
//! - else at the next `enter`: when no task can go on, or after a bounded number of polls;
//! - at the latest when the program ends or panics, which waits until the host has taken it.
//!
//! While the host takes nothing (a pipe that nobody reads), the buffer holds 16 KiB. After that `print!` waits, and the
//! whole guest with it. A service that must not stall uses [`write_all`], which lets other tasks go on.

use crate::local::Local;
use crate::ring;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// Bytes of each of the two halves of the buffer: one fills while the host takes the other.
const HALF: usize = 8192;

static HALVES: [Half; 2] = [Half::new(), Half::new()];
static OUTPUT: Local<Output> =
    Local::new(Output { filling: 0, filled: 0, under_way: false, waiting: Vec::new() });

/// Bytes that are written by the guest or read by the monitor, never both.
struct Half(core::cell::UnsafeCell<[u8; HALF]>);

// SAFETY: a guest has one vCPU; `Output` says whose turn it is.
unsafe impl Sync for Half {}

impl Half {
    const fn new() -> Self {
        Self(core::cell::UnsafeCell::new([0; HALF]))
    }
}

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
    fn push(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(HALF - self.filled);
        let half: *mut u8 = HALVES[self.filling].0.get().cast();
        // SAFETY: `filled` is at most the length of the half.
        let end = unsafe { half.add(self.filled) };
        // SAFETY: `count` bytes are left behind `end`, and the half being filled belongs to the guest alone.
        unsafe { end.copy_from_nonoverlapping(bytes.as_ptr(), count) };
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
        let half: *const u8 = HALVES[self.filling].0.get().cast();
        // SAFETY: these bytes were written before, and nobody writes them again until `output_done`.
        let bytes = unsafe { core::slice::from_raw_parts(half, self.filled) };
        self.under_way = true;
        self.filling = 1 - self.filling;
        self.filled = 0;
        Some(bytes)
    }
}

/// Hands to the ring what there is, if the host has taken the last.
pub(crate) fn submit() {
    if let Some(bytes) = OUTPUT.with(Output::turn) {
        ring::submit_console_output(bytes);
    }
}

/// The host has taken a half, or never will (then it is lost, as there is nobody to tell).
pub(crate) fn output_done() -> Option<Waker> {
    let waiting = OUTPUT.with(|output| {
        output.under_way = false;
        core::mem::take(&mut output.waiting)
    });
    submit();
    waiting.into_iter().for_each(Waker::wake);
    None
}

/// Waits until the host has taken all output. In a panic that came from inside, does what is possible: nothing.
pub(crate) fn drain() {
    while OUTPUT.try_with(|output| output.under_way || output.filled > 0) == Some(true) {
        if !ring::is_at_rest() {
            return;
        }
        submit();
        ring::enter(u64::MAX);
        ring::reap();
    }
}

fn write_blocking(mut bytes: &[u8]) {
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

/// What [`print!`](crate::print) writes to.
struct Printer {
    ends_line: bool,
}

impl Write for Printer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(last) = text.bytes().next_back() {
            self.ends_line = last == b'\n';
            write_blocking(text.as_bytes());
        }
        Ok(())
    }
}

/// For [`print!`](crate::print).
#[doc(hidden)]
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut printer = Printer { ends_line: false };
    // The printer never fails; an implementation of `Display` that does has nobody to tell.
    let _ = printer.write_fmt(arguments);
    if printer.ends_line {
        submit();
        ring::enter(0);
        ring::reap();
    }
}

/// Prints to the console. See [`console`](crate::console) for when it appears there.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => { $crate::console::print(::core::format_args!($($arguments)*)) };
}

/// Prints to the console, followed by a line feed. See [`console`](crate::console) for when it appears there.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arguments:tt)*) => {
        $crate::console::print(::core::format_args!("{}\n", ::core::format_args!($($arguments)*)))
    };
}
