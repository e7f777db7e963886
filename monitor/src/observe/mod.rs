//! What is observed of a run: when each step of the start was done, why the vCPU came back, what the devices did.
//!
//! All of it is counted in plain memory, always: it costs a few nanoseconds an event. What costs more, such as reading
//! `/proc`, is done by [`report`](crate::report) when somebody asked for it.

pub mod counts;
pub mod timeline;

use crate::device::Counters;
use counts::ExitCounts;
use timeline::Timeline;
use ukvm_abi::manifest::DeviceKind;

/// What was observed of a run.
#[derive(Clone, Debug)]
pub struct Observations {
    /// When each step was done.
    pub timeline: Timeline,
    /// Why the vCPU came back to the monitor, and how often.
    pub exits: ExitCounts,
    /// The console's counters.
    pub console: Counters,
    /// The devices that were bound, in the manifest's order.
    pub devices: Vec<DeviceObservations>,
    /// Where the guest was put.
    pub placement: Placement,
}

/// What was observed of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceObservations {
    /// What it is.
    pub kind: DeviceKind,
    /// Its name in the manifest.
    pub name: String,
    /// What it did.
    pub counters: Counters,
}

/// Where the guest was put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// All of the guest's memory in bytes.
    pub memory: u64,
    /// What is added to a guest physical address to get the virtual one; a multiple of 2 MiB.
    pub slide: u64,
    /// What was added to the program's link-time addresses: 0 for a program with fixed addresses.
    pub load_bias: u64,
    /// The seed for `--aslr-seed` that gives the same placement again; `None` with `--no-aslr`.
    pub seed: Option<u64>,
}
