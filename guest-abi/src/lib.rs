//! The contract between the ukvm monitor and its guests.
//!
//! Both sides compile this crate, so that neither can drift from the other. It has no dependencies,
//! no unsafe code and no policy: only numbers, layouts and the ring arithmetic that both sides share.
//! `docs/abi.md` describes the same contract for people who write a guest or a monitor without it.
//!
//! The way of a request through the modules:
//!
//! 1. [`note`] and [`manifest`]: what the ELF file says of the guest before it starts.
//! 2. [`boot_info`]: what the monitor tells the guest at its first instruction.
//! 3. [`ring`]: how a [`request`] reaches the monitor and how its completion comes back.
//! 4. [`net`]: what the two sides of a network device can leave to each other.
//! 5. [`doorbell`]: the one I/O port that makes the monitor look, and ends the guest.
//! 6. [`clock`]: the page from which the guest reads the time without an exit.
//! 7. [`exit_status`]: how it all ended, as the process that ran the guest reports it.
//! 8. [`mod@test`]: how a program tells which tests are in it.
//!
//! # Evolution
//!
//! The contract grows by appending: fields at the end of a structure whose size is stated in it, new
//! opcodes, new feature bits. [`ABI_VERSION`] counts the steps. A monitor runs every guest whose version
//! is not above its own. All integers are little-endian.
#![no_std]
#![forbid(unsafe_code)]

pub mod boot_info;
mod bytes;
pub mod clock;
pub mod doorbell;
pub mod exit_status;
pub mod manifest;
pub mod net;
pub mod note;
pub mod request;
pub mod ring;
pub mod test;

/// The version of the contract that this crate describes.
///
/// A guest states the version that it was built for in its [`note`]; a monitor refuses a guest whose version
/// is above its own.
pub const ABI_VERSION: u32 = 1;
