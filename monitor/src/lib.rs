//! A minimal KVM monitor for unikernels, as a library.
//!
//! The way through it, from an ELF file to an exit status:
//!
//! 1. [`cli`] reads the command line into a [`config`].
//! 2. [`elf`] checks the program, its manifest and its segments; [`bind`] finds a host device for each that it declares.
//! 3. [`layout`] decides where everything goes, [`memory`] holds it, [`paging`] gives each page its rights, [`slots`]
//!    shows it to KVM.
//! 4. [`vm`] puts these together with a [`vcpu`] and the [`device`]s, in one readable sequence, and runs.
//! 5. [`abi`] serves what the guest asks for, [`clock`] tells it the time, [`interrupt`] what comes from outside; [`fault`]
//!    explains what it did wrong.
//! 6. [`outcome`] says how it ended, [`observe`] what was seen on the way; [`conclusion`] has [`report`] write it down and
//!    [`stderr`] tell it.
//!
//! [`hosted`] is a shorter way, for a program that is linked with this library and runs in its process, without KVM.

pub mod abi;
pub mod attach;
pub mod bind;
pub mod cli;
pub mod clock;
pub mod conclusion;
pub mod config;
pub mod device;
pub mod elf;
pub mod error;
pub mod fault;
mod guest;
pub mod hosted;
pub mod inspect;
pub mod interrupt;
pub mod kvm;
pub mod layout;
mod local_socket;
pub mod memory;
pub mod observe;
pub mod outcome;
pub mod paging;
pub mod random;
pub mod report;
pub mod slots;
pub mod spin;
pub mod stderr;
mod syscall;
pub mod vcpu;
pub mod vm;
pub mod wait;
