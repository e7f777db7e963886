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

use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::fmt::{self, Write};
use embedded_io_async::ErrorType;

mod input;
mod output;

pub(crate) use input::done as input_done;
pub use input::read;
pub(crate) use output::{done as output_done, drain, submit};
pub use output::{flush, write_all};

/// Bytes that at any time are either the guest's or the monitor's.
struct MonitorBuffer<const N: usize>(UnsafeCell<[u8; N]>);

// SAFETY: a guest has one vCPU; the state beside each buffer says whose turn it is.
unsafe impl<const N: usize> Sync for MonitorBuffer<N> {}

impl<const N: usize> MonitorBuffer<N> {
    const fn new() -> Self {
        Self(UnsafeCell::new([0; N]))
    }

    const fn address(&self) -> *mut u8 {
        self.0.get().cast()
    }
}

/// The console as the embedded ecosystem's asynchronous reader and writer.
///
/// `write` returns once the bytes are in the buffer, `flush` once the host has taken them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Console;

impl ErrorType for Console {
    type Error = Infallible;
}

impl embedded_io_async::Read for Console {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        Ok(read(buffer).await)
    }
}

impl embedded_io_async::Write for Console {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        write_all(bytes).await;
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        flush().await;
        Ok(())
    }
}

/// What [`print!`](crate::print) writes to.
struct Printer {
    ends_line: bool,
}

impl Write for Printer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(last) = text.bytes().next_back() {
            self.ends_line = last == b'\n';
            output::write_blocking(text.as_bytes());
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
        crate::ring::enter(0);
        crate::ring::reap();
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
