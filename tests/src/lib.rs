//! What the end-to-end tests in `tests/tests/suite` are made of.
//!
//! - [`suite`]: what a test is, what it needs of the host, and how all of them are run and counted.
//! - [`artifacts`]: the monitor and the guests that are tested.
//! - [`run`]: a monitor with a guest as a child process, and what came out of it.
//! - [`network`]: network namespaces and TAP devices.
//! - [`wire`]: the host's end of a TAP, as bytes.
//! - [`dhcp`]: DHCP servers of others.
//! - [`processors`]: fewer processors than the machine has.
//! - [`user`]: the same as an ordinary user.
//! - [`terminal`]: a pseudo-terminal.
//! - [`elf`]: ELF files that are broken in one place.
//! - [`hvt`]: the same of guests for the hvt ABI.
//! - [`rig`]: the whole suite in another machine.
//! - [`journal`]: what became of each test, also where the machine is gone.
//! - [`peer`]: another host on the network.
//! - [`daemon`]: servers that a test starts beside the guest.
//! - [`files`]: disk images, other files and outside programs.
//! - [`client`]: clients of the guests' services.
//! - [`certificates`]: authorities, and what they certify.
//! - [`random`]: random numbers that are the same in each run.
//! - [`redis`]: a client of the Redis protocol, and guests that speak it.
//! - [`site`]: web sites, and images of them.
//! - [`web`]: a web server that says what a test has it say.

pub mod artifacts;
pub mod certificates;
pub mod client;
pub mod daemon;
pub mod dhcp;
pub mod elf;
pub mod files;
pub mod hvt;
pub mod journal;
pub mod network;
pub mod peer;
pub mod processors;
pub mod random;
pub mod redis;
pub mod rig;
pub mod routing;
pub mod run;
pub mod site;
pub mod suite;
pub mod terminal;
pub mod user;
pub mod web;
pub mod wire;
