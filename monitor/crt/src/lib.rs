//! The start of a process, and the functions of a C library that Rust's standard library and the monitor call.
//!
//! A static program on glibc spends more time before `main` than KVM takes to make a virtual machine where the host is itself a
//! virtual machine: glibc asks the processor for its features some 60 times, and each `CPUID` is an exit there. The monitor needs
//! little of a C library, nearly all of it system calls, so that it has a small one of its own. It is used by the optimised
//! program alone (see `build.rs` of the monitor); a debug build and all tests have the host's.
//!
//! The functions have the signatures, and the results, of POSIX and Linux (the manual pages in sections 2 and 3); what is not
//! there is missed by the linker, as no other C library is on its way. Differences:
//!
//! - Variadic functions take the arguments of their longest call: the System V ABI passes both alike in registers.
//! - Threads are detached from the start; nobody can join one.
//! - `dlsym` and `dl_iterate_phdr` find nothing, `pthread_getattr_np` does not know, and nothing unwinds: panics abort.
//!
//! | module | what is there |
//! |---|---|
//! | [`start`](mod@start) | the entry point: relocation, thread-local storage, `main` |
//! | `thread` | the thread control block, threads, `errno` |
//! | `call` | system calls |
//! | `heap` | dlmalloc behind a lock |
//! | `wrappers` | functions that are a system call each |
//! | `environment`, `messages`, `terminal` | the few that are more |
//! | `absent` | what must be there and is never called, or says that it cannot |
#![cfg_attr(not(test), no_std)]
// A test runs on the host's C library, and so calls but what it tests.
#![cfg_attr(test, allow(dead_code))]

// Copying, filling and comparing memory.
use ukvm_mem as _;

mod absent;
mod call;
mod environment;
mod heap;
mod messages;
mod signal;
pub mod start;
mod terminal;
mod thread;
mod wrappers;
