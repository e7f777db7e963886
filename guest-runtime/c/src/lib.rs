//! The runtime for programs in C: calls that wait, on the same devices, clocks and network.
//!
//! `cargo xtask c` builds the library and makes its header of the modules here, comments included; what a caller must know therefore
//! stands in their comments, and in C's terms.
#![no_std]

extern crate alloc;

pub mod block;
pub mod console;
pub mod error;
pub mod heap;
pub mod net;
pub mod object;
pub mod program;
pub mod system;
