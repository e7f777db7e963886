//! The host's side of a guest's network, for programs that make one of their own and leave nothing behind: the demo, `ukvm-runner`, the
//! benchmarks and the floors that they compare with, and the tests.
//!
//! - [`namespace`]: a network namespace for this process or thread, as root or not.
//! - [`tap`]: TAP interfaces in it.
//! - [`link`]: one with addresses, between the host and one guest.
//! - [`child`]: processes that go when their maker does, and so does a namespace with them.

pub mod child;
pub mod link;
pub mod namespace;
pub mod tap;
