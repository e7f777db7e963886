//! A job for unikernels, everything but the program itself: it fetches a URL into a file.
//!
//! Nothing here knows the runtime: connections come from a [`Connector`](ukvm_http::client::Connector), and a disk is whatever
//! implements [`WritableDevice`](ukvm_storage::WritableDevice). So all of it runs, and is tested, on a host too.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod delivery;
pub mod download;
pub mod failure;
pub mod options;
pub mod stages;
