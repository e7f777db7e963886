//! A password service for unikernels: everything but the program itself.
//!
//! Nothing here knows the runtime: a disk is whatever implements [`Device`](ukvm_storage::Device), and what answers is a
//! [`Service`](ukvm_http::Service) for whatever serves HTTP. So all of it runs, and is tested, on a host too.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod accounts;
pub mod capacity;
pub mod login;
pub mod password;
pub mod query;
pub mod user;
