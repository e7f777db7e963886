//! The host's side of a guest's network, for programs that make one of their own and leave nothing behind: the demo, the
//! benchmarks and the floors that they compare with, and the tests.
//!
//! - [`namespace`]: a network namespace for this process, as root or not.
//! - [`tap`]: TAP interfaces in it.

pub mod namespace;
pub mod tap;
