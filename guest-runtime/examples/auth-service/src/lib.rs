//! A password service for unikernels: everything but the program itself.
//!
//! Nothing here knows the runtime: a disk is whatever implements [`Device`](ukvm_storage::Device), a connection whatever reads and
//! writes as `embedded-io-async` does, and time comes from a [`Timer`](http::Timer). So all of it runs, and is tested, on a
//! host too.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod accounts;
pub mod capacity;
pub mod http;
pub mod login;
pub mod password;
pub mod query;
pub mod user;
