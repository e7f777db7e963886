//! A guest that is served, and what is observed of it, whatever runs it.

use crate::abi::{Abi, Stop};
use crate::elf::Manifest;
use crate::error::{Error, host};
use crate::interrupt::Timer;
use crate::observe::counts::ExitCounts;
use crate::observe::timeline::Timeline;
use crate::observe::{DeviceObservations, Observations, Placement};
use crate::outcome::{Cause, Outcome};
use std::time::Duration;
use ukvm_abi::manifest::DeviceKind;

/// A guest's end of its ABI, with all that is counted beside it.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) abi: Box<dyn Abi>,
    pub(crate) exits: ExitCounts,
    pub(crate) timeline: Timeline,
    placement: Placement,
    /// The names of the devices by handle less 1.
    pub(crate) devices: Vec<(DeviceKind, String)>,
}

impl Guest {
    pub(crate) fn new(
        abi: Box<dyn Abi>,
        manifest: &Manifest,
        timeline: Timeline,
        placement: Placement,
    ) -> Self {
        let devices = manifest.devices.iter().map(|device| (device.kind, device.name.clone())).collect();
        Self { abi, exits: ExitCounts::default(), timeline, placement, devices }
    }

    /// From now on the guest may run for `timeout`.
    ///
    /// # Errors
    ///
    /// The host has no timer for it.
    pub(crate) fn arm(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let Some(timeout) = timeout else { return Ok(()) };
        let armed = self.abi.interrupts().arm(Timer::Timeout, timeout);
        armed.map_err(|error| host("set the timer for --timeout", &error))
    }

    /// Does what the guest asks for by writing `value`, of `width` bytes, to an I/O port.
    ///
    /// # Errors
    ///
    /// A [`Stop`] where the guest is not to go on.
    #[inline]
    pub(crate) fn out(&mut self, port: u16, width: u8, value: u32) -> Result<(), Stop> {
        self.abi.out(port, width, value, &mut self.exits)
    }

    /// Lets the guest's last output get to its reader, and gives what was observed of it.
    pub(crate) fn end(mut self, cause: Cause) -> Outcome {
        let cause = self.drain(cause);
        self.timeline.mark("ended");
        self.abi.first_output().into_iter().for_each(|time| self.timeline.insert("first byte", time));
        let (console, counters) = self.abi.counters();
        let devices = self.devices.into_iter().zip(counters).filter_map(|((kind, name), counters)| {
            Some(DeviceObservations { kind, name, counters: counters? })
        });
        Outcome {
            cause,
            observations: Observations {
                timeline: self.timeline,
                exits: self.exits,
                console,
                devices: devices.collect(),
                placement: self.placement,
            },
        }
    }

    /// Lets the last output of a guest that has ended of itself get to its reader. If it does not, an exit was not all that the
    /// guest wanted; a panic or a fault remains what is to be told.
    fn drain(&mut self, cause: Cause) -> Cause {
        match cause {
            Cause::Exit(_) => match self.abi.drain() {
                Err(Stop::Ended(instead)) => instead,
                _ => cause,
            },
            Cause::Panic(_) | Cause::Fault(_) => {
                let _ = self.abi.drain();
                cause
            }
            _ => cause,
        }
    }
}
