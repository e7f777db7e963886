//! The console: the monitor's standard output and input.
//!
//! # When output appears
//!
//! All output passes through a buffer in the order in which it was written. [`print!`](crate::print) and
//! [`println!`](crate::println) hand it to the host at once, by one exit to the monitor for each call, line feed or not: so it is seen even
//! if the next instruction is a fault or the start of an hour's computing. [`write_all`] leaves it in the buffer until the next
//! `enter`, when no task can go on or after a bounded number of polls, which costs nothing of its own. The end of the program and a
//! panic wait until the host has taken all.
//!
//! While the host takes nothing (a pipe that nobody reads), the buffer holds 16 KiB. After that `print!` waits, and the
//! whole guest with it; `write_all` lets other tasks go on. A service that must not stall uses that, or [`Notices`].

use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::fmt::{self, Write};
use embedded_io_async::ErrorType;

mod input;
mod notices;
mod output;

pub(crate) use input::done as input_done;
pub use input::read;
pub use notices::Notices;
pub(crate) use output::{done as output_done, drain, panic_message, submit};
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
struct Printer;

impl Write for Printer {
    #[unsafe(link_section = ".text.startup.ukvm")]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        output::write_blocking(text.as_bytes());
        Ok(())
    }
}

/// For [`print!`](crate::print).
#[doc(hidden)]
pub fn print(arguments: fmt::Arguments<'_>) {
    // The printer never fails; an implementation of `Display` that does has nobody to tell.
    let _ = Printer.write_fmt(arguments);
    output::submit_now();
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
