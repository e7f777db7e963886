//! The library of the example `kv-server`, on the host: the protocol, and the store on disks that crash, fail and are full.

mod crash;
mod disk;
mod faults;
mod requests;
