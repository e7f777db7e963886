//! A web site over TLS for unikernels: what `static-site` does not have already.
//!
//! Nothing here knows the runtime, so that all of it runs, and is tested, on a host too.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod capacity;
pub mod identity;
