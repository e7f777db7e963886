//! The runtime for programs in C: calls that wait, on the same devices, clocks and network.
//!
//! `cargo xtask c` builds the library and makes its header of the modules here, comments included; what a caller must know therefore
//! stands in their comments, and in C's terms.
#![no_std]

extern crate alloc;

mod block;
mod console;
mod error;
mod heap;
mod net;
mod object;
mod program;
mod system;
