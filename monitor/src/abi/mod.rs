//! What a guest and the monitor have agreed on: one folder for each ABI, one interface for all.
//!
//! Devices, memory, tables, faults and reports are the same for all guests and know no ABI. An ABI says how a program asks for them:
//! what an `OUT` means, what becomes of an exception, what is told at the start.

pub mod hvt;
pub mod setup;
pub mod ukvm;

use crate::device::Counters;
use crate::fault::Fault;
use crate::interrupt::Interrupts;
use crate::layout::Layout;
use crate::memory::Memory;
use crate::observe::counts::ExitCounts;
use crate::outcome::Cause;
use crate::paging::Tables;
use crate::vcpu::Vcpu;
use std::fmt::Debug;
use std::sync::Arc;

/// Why the guest does not go on.
#[derive(Debug)]
pub enum Stop {
    /// It has ended.
    Ended(Cause),
    /// It did something that it may not.
    Fault(Fault),
}

/// A guest's end of its ABI, as the vCPU's thread serves it while the guest does not run.
pub trait Abi: Debug {
    /// The guest has written `value`, of `width` bytes, to an I/O port. Counts the exit.
    ///
    /// # Errors
    ///
    /// A [`Stop`] where the guest is not to go on.
    fn out(&mut self, port: u16, width: u8, value: u32, exits: &mut ExitCounts) -> Result<(), Stop>;

    /// The guest has raised the exception `vector`, and the processor is in its stub. Where this returns, the processor has been
    /// given the state in which the guest goes on.
    ///
    /// # Errors
    ///
    /// A [`Stop`] where it does not, in most ABIs always.
    fn exception(&mut self, vector: u8, _vcpu: &mut Vcpu, _tables: &Tables) -> Result<(), Stop> {
        Err(Stop::Fault(Fault::Exception { vector, error: 0, address: 0 }))
    }

    /// Acts on what came from outside.
    ///
    /// # Errors
    ///
    /// A [`Stop`] where it ends the guest.
    fn interrupted(&mut self) -> Result<(), Stop>;

    /// Writes what the guest has printed and the host has not taken yet, for a guest that has come to its end.
    ///
    /// # Errors
    ///
    /// A [`Stop`] where not all of it could be written: nobody reads it any more, or a signal or `--timeout` came.
    fn drain(&mut self) -> Result<(), Stop>;

    /// Signals and timers.
    fn interrupts(&mut self) -> &mut Interrupts;

    /// Where what is in the guest's memory, and that memory.
    fn guest(&self) -> (&Layout, &Arc<Memory>);

    /// What the console and the devices, by their place in the manifest, have done.
    fn counters(&self) -> (Counters, Vec<Option<Counters>>);

    /// When the guest and its program began, as the guest says, on the monotonic clock in nanoseconds: asked at the first exit.
    fn begin_times(&self) -> [Option<u64>; 2] {
        [None; 2]
    }

    /// When the host took the first byte of output, on its `CLOCK_MONOTONIC` in nanoseconds.
    fn first_output(&self) -> Option<u64>;
}
