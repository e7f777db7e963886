//! The runtime of unikernels that run under ukvm.
//!
//! A program is an async `main` and a declaration of the devices that it needs:
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! ukvm_runtime::program! { main = main; }
//!
//! async fn main() {
//!     ukvm_runtime::println!("hello, world");
//! }
//! ```
//!
//! From the bottom up:
//!
//! 1. Entry, panic, heap and the C functions that compilers call: what every program stands on.
//! 2. [`ring`]: requests to the monitor and their completions.
//! 3. [`task`] and [`time`]: who runs next, and sleeping in the monitor when nobody can.
//! 4. [`console`], [`block`], `net`, [`entropy`], [`shutdown`]: what the monitor offers, each on the ring.
//! 5. [`program!`] and [`Termination`]: how it starts and ends. [`tests!`]: a program of tests.
//!
//! With the feature `hosted` the program is a process of Linux: the first layer is then the standard library and the C library, a
//! doorbell is a call into the monitor, which is linked in, and all else is the same.
#![no_std]

extern crate alloc;
#[cfg(feature = "hosted")]
extern crate std;

pub use ukvm_abi as abi;
// Copying, filling and comparing memory, which compilers call without being asked.
#[cfg(not(feature = "hosted"))]
use ukvm_mem as _;

pub mod block;
#[cfg(not(feature = "hosted"))]
mod c_library;
pub mod console;
mod critical_section;
pub mod device;
mod doorbell;
pub mod entropy;
mod entry;
mod executor;
#[cfg(not(feature = "hosted"))]
mod heap;
#[cfg(feature = "hosted")]
mod hosted;
#[cfg(feature = "http")]
pub mod http;
mod local;
mod logger;
#[cfg(feature = "net")]
pub mod net;
mod panic;
#[doc(hidden)]
pub mod program;
pub mod ring;
mod shared;
pub mod shutdown;
#[cfg(feature = "storage")]
pub mod storage;
pub mod task;
#[doc(hidden)]
pub mod testing;
pub mod time;
#[cfg(feature = "tls")]
pub mod tls;

pub use entry::{args, boot_info, env, exit, vars};
pub use program::Termination;
