//! A durable key/value service for unikernels: everything but the program itself.
//!
//! Nothing here knows the runtime: a disk is whatever implements [`Device`](device::Device), a connection whatever reads and writes, and
//! time comes by the trait [`Timer`](session::Timer). So all of it runs, and is tested, on a host too.
//!
//! From the client to the disk: [`request`] splits what comes into arguments, [`command`] makes commands of them, [`session`] runs those
//! of one connection, [`writer`] gathers what all connections want written into transactions, [`store`] keeps them in a database,
//! [`backend`] is that database's file, whose pages wait in [`pending`] until they are on the [`device`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod backend;
pub mod capacity;
pub mod command;
pub mod device;
pub mod pending;
pub mod reply;
pub mod request;
pub mod session;
pub mod store;
pub mod superblock;
pub mod writer;
