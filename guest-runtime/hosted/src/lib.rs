//! What programs of the runtime stand on in a process of Linux, instead of a monitor: a thread with tasks, a TAP interface, a
//! file, a clock. The network stack is the guests' own, `ukvm-net-stack`.
//!
//! The benchmarks compare a guest with the same program on this: what differs is what the virtual machine costs.
//!
//! - [`executor`]: runs tasks, and sleeps in the kernel when none can go on.
//! - [`net`]: the driver that carries frames between a stack and a TAP interface.
//! - [`block`]: a file as a disk.
//! - [`time`]: clocks and timers.
//!
//! The modules have the names that the runtime has for the same things. There is no console, as there is one in the standard
//! library.
#![forbid(unsafe_code)]

pub mod block;
pub mod executor;
pub mod net;
pub mod time;
