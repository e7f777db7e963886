//! A minimal KVM monitor for unikernels, as a library.
//!
//! The way through it, from an ELF file to an exit status:
//!
//! 1. [`cli`] reads the command line into a [`config`].
//! 2. [`elf`] checks the program, its manifest and its segments.
//! 3. [`layout`] decides where everything goes, [`memory`] holds it, [`paging`] gives each page its rights.
//! 4. [`vm`] puts these together with a [`vcpu`] and the [`device`]s, in one readable sequence, and runs.
//! 5. [`dispatch`] serves what the guest asks for through its ring; [`fault`] explains what it did wrong.
//! 6. [`report`] tells how it all ended.

pub mod cli;
pub mod clock;
pub mod config;
pub mod device;
pub mod elf;
pub mod error;
pub mod interrupt;
pub mod layout;
pub mod memory;
pub mod observe;
pub mod paging;
pub mod report;
pub mod vcpu;
