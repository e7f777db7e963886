//! The way of a request: from the submission ring to a device, and its completion back.
//!
//! Everything here happens on the vCPU's thread, inside the exit of an `Enter`, while the guest does not run.

use crate::abi::{Abi, Stop};
use crate::clock::ClockPage;
use crate::device::console::Console;
use crate::device::{Completions, Counters, Device, DeviceRequest};
use crate::fault::Fault;
use crate::interrupt::{Interrupts, Pending, Timer};
use crate::layout::Layout;
use crate::memory::{GuestBuffer, Memory, SharedArea};
use crate::observe::counts::ExitCounts;
use crate::outcome::Cause;
use crate::stderr::say_briefly;
use crate::wait::Waiter;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use ukvm_abi::doorbell::{Function, PORT};
use ukvm_abi::request::{Completion, MAX_ENTROPY, Opcode, QUIET, Request, SYSTEM, Status};
use ukvm_abi::ring::{MonitorRing, SUBMISSION_ENTRIES};

/// Serves a guest's requests.
#[derive(Debug)]
pub struct Dispatch {
    memory: Arc<Memory>,
    layout: Layout,
    ring: Ring,
    console: Console,
    /// By handle less 1; `None`: declared as optional, and absent.
    devices: Vec<Option<Box<dyn Device>>>,
    clock: ClockPage,
    interrupts: Interrupts,
    shutdown: Shutdown,
    grace: Duration,
    waiter: Waiter,
}

/// The ring as devices see it.
#[derive(Debug)]
struct Ring {
    ring: MonitorRing<SharedArea>,
    /// How many of the last completions were quiet.
    quiet: u32,
}

impl Completions for Ring {
    fn post(&mut self, user_data: u64, result: Result<u64, Status>) {
        self.ring.post(&completion(user_data, result));
        self.quiet = 0;
    }

    fn post_quietly(&mut self, user_data: u64, value: u64) {
        self.ring.post(&completion(user_data, Ok(value)));
        self.quiet = self.quiet.saturating_add(1);
    }
}

impl Ring {
    fn post_notice(&mut self, user_data: u64) {
        self.ring.post_notice(&completion(user_data, Ok(0)));
        self.quiet = 0;
    }

    /// Whether the guest waits for a completion that it has not taken yet. It does for a quiet one, too, where that keeps requests
    /// from being taken.
    fn has_news(&mut self) -> Result<bool, Stop> {
        let unreaped = self.ring.unreaped().map_err(corrupt)?;
        Ok(unreaped > self.quiet || (unreaped > 0 && !self.ring.is_drained()))
    }
}

/// How far a shutdown has come.
#[derive(Debug, Default)]
struct Shutdown {
    /// The user data of the notice that the guest asked for.
    notice: Option<u64>,
    /// The signal that asked the guest to end.
    requested: Option<i32>,
}

/// What an opcode needs of a request's fields.
enum Shape {
    /// No buffer, length or offset.
    Nothing,
    /// A buffer; `write`: to be written to. With `offset`, an offset too.
    Buffer { write: bool, offset: bool },
    /// A range of the device: length and offset, no buffer.
    Range,
}

const fn shape(opcode: Opcode) -> Shape {
    match opcode {
        Opcode::Nop | Opcode::BlockFlush | Opcode::ShutdownNotice => Shape::Nothing,
        Opcode::ConsoleWrite | Opcode::NetSend => Shape::Buffer { write: false, offset: false },
        Opcode::ConsoleRead | Opcode::NetReceive | Opcode::Entropy => {
            Shape::Buffer { write: true, offset: false }
        }
        Opcode::BlockRead => Shape::Buffer { write: true, offset: true },
        Opcode::BlockWrite => Shape::Buffer { write: false, offset: true },
        Opcode::BlockDiscard | Opcode::BlockWriteZeroes | Opcode::NetLink => Shape::Range,
    }
}

fn completion(user_data: u64, result: Result<u64, Status>) -> Completion {
    match result {
        Ok(value) => Completion { user_data, status: Status::Ok as u32, value },
        Err(status) => Completion { user_data, status: status as u32, value: 0 },
    }
}

/// Everything that serves a guest.
#[derive(Debug)]
pub struct Parts {
    /// The guest's memory.
    pub memory: Arc<Memory>,
    /// Where what is in it.
    pub layout: Layout,
    /// The rings.
    pub ring: MonitorRing<SharedArea>,
    /// The console.
    pub console: Console,
    /// The devices by handle less 1.
    pub devices: Vec<Option<Box<dyn Device>>>,
    /// The clock page.
    pub clock: ClockPage,
    /// Signals and timers.
    pub interrupts: Interrupts,
    /// How long the guest may take to obey a shutdown notice.
    pub grace: Duration,
}

impl Dispatch {
    /// Brings the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { memory, layout, ring, console, devices, clock, interrupts, grace } = parts;
        Self {
            memory,
            layout,
            ring: Ring { ring, quiet: 0 },
            console,
            devices,
            clock,
            interrupts,
            shutdown: Shutdown::default(),
            grace,
            waiter: Waiter::default(),
        }
    }

    /// The message of a panic, as far as the guest may read it itself.
    #[must_use]
    pub fn panic_message(&self) -> String {
        let (address, length) = self.ring.ring.panic_message();
        let length = length.min(ukvm_abi::ring::PANIC_MAX as u64);
        let buffer = self
            .layout
            .translate(address, length, false)
            .and_then(|gpa| self.memory.buffer(gpa, length))
            .unwrap_or_default();
        String::from_utf8_lossy(&self.memory.copy(buffer)).into_owned()
    }

    /// Serves an `Enter`: takes what was submitted, and waits for a completion or the deadline.
    ///
    /// # Errors
    ///
    /// A [`Stop`] where the guest is not to go on.
    pub fn enter(&mut self) -> Result<(), Stop> {
        self.clock.refresh();
        let deadline = self.ring.ring.deadline();
        loop {
            let all = self.serve()?;
            self.interrupted()?;
            if !all {
                continue;
            }
            if self.ring.has_news()? || self.clock.now() >= deadline {
                return Ok(());
            }
            self.wait_for_devices(deadline);
        }
    }

    /// The host wants the guest to end: by `signal`, or as if by it.
    fn ask_to_end(&mut self, signal: i32) -> Result<(), Stop> {
        let Some(notice) = self.shutdown.notice.take() else {
            return Err(Stop::Ended(Cause::Signal(signal)));
        };
        if let Err(error) = self.interrupts.arm(Timer::Grace, self.grace) {
            // Without a timer nothing would end a guest that does not obey.
            say_briefly(&format_args!(
                "cannot set a timer for the guest's shutdown, so it ends at once: {error}"
            ));
            return Err(Stop::Ended(Cause::Signal(signal)));
        }
        self.shutdown.requested = Some(signal);
        self.ring.post_notice(notice);
        Ok(())
    }

    /// Takes the requests for whose completions there is room, and lets the devices carry on. `false` where it has left
    /// some: whatever came from outside goes first, and a request that writes into the rings can go on submitting others.
    fn serve(&mut self) -> Result<bool, Stop> {
        let mut all = false;
        for _ in 0..SUBMISSION_ENTRIES {
            if self.interrupts.came() {
                break;
            }
            let Some(request) = self.ring.ring.take().map_err(corrupt)? else {
                all = true;
                break;
            };
            if let Some(result) = self.start(&request) {
                self.ring.post(request.user_data, result);
            }
        }
        self.console.advance(&self.memory, &mut self.ring);
        for device in self.devices.iter_mut().flatten() {
            device.advance(&self.memory, &mut self.ring);
        }
        if self.console.output_closed() {
            return Err(Stop::Ended(Cause::OutputClosed));
        }
        if self.console.escape_pressed() && self.shutdown.requested.is_none() {
            self.ask_to_end(libc::SIGINT)?;
        }
        Ok(all)
    }

    /// Checks a request and starts it. `None`: a device has it, and posts the completion.
    fn start(&mut self, request: &Request) -> Option<Result<u64, Status>> {
        let Some(opcode) = Opcode::from_number(request.opcode) else {
            return Some(Err(Status::UnknownOpcode));
        };
        let flags = if opcode == Opcode::NetSend { QUIET } else { 0 };
        let buffer = match self.check(request, &shape(opcode), flags) {
            Ok(buffer) => buffer,
            Err(status) => return Some(Err(status)),
        };
        let device: &mut dyn Device = match (request.device, opcode) {
            (SYSTEM, Opcode::Nop) => return Some(Ok(0)),
            (SYSTEM, Opcode::Entropy) => return Some(self.entropy(buffer)),
            (SYSTEM, Opcode::ShutdownNotice) => return self.notice(request.user_data),
            (SYSTEM, _) => &mut self.console,
            (handle, _) => match self.devices.get_mut(handle as usize - 1) {
                Some(Some(device)) => device.as_mut(),
                _ => return Some(Err(Status::BadDevice)),
            },
        };
        let request = DeviceRequest {
            opcode,
            user_data: request.user_data,
            is_quiet: request.flags & QUIET != 0,
            buffer,
            length: request.length,
            offset: request.offset,
        };
        device.submit(&request, &self.memory, &mut self.ring);
        None
    }

    /// Checks the fields that every device would check alike, with the `flags` that it may have, and finds the buffer.
    fn check(&self, request: &Request, shape: &Shape, flags: u16) -> Result<GuestBuffer, Status> {
        if request.flags & !flags != 0 || request.reserved != [0; 3] {
            return Err(Status::BadFlags);
        }
        let (buffer, length, offset) = match shape {
            Shape::Nothing => (None, false, false),
            Shape::Buffer { write, offset } => (Some(*write), true, *offset),
            Shape::Range => (None, true, true),
        };
        if (buffer.is_none() && request.address != 0)
            || (!length && request.length != 0)
            || (!offset && request.offset != 0)
        {
            return Err(Status::BadFlags);
        }
        match buffer {
            Some(write) if request.length != 0 => self
                .layout
                .translate(request.address, request.length, write)
                .and_then(|gpa| self.memory.buffer(gpa, request.length))
                .ok_or(Status::BadAddress),
            _ => Ok(GuestBuffer::default()),
        }
    }

    fn entropy(&self, buffer: GuestBuffer) -> Result<u64, Status> {
        if buffer.len() > MAX_ENTROPY {
            return Err(Status::Invalid);
        }
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = self.memory.iovec(buffer.skip(filled));
            // SAFETY: the iovec names guest memory that is mapped and that the guest may write to; no reference to it exists.
            match unsafe { libc::getrandom(rest.iov_base, rest.iov_len, 0) } {
                -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                -1 => return Err(Status::Io),
                got => filled += got.cast_unsigned(),
            }
        }
        Ok(filled as u64)
    }

    fn notice(&mut self, user_data: u64) -> Option<Result<u64, Status>> {
        if self.shutdown.notice.is_some() {
            return Some(Err(Status::Invalid));
        }
        if self.shutdown.requested.is_some() {
            return Some(Ok(0));
        }
        self.ring.ring.reserve_notice();
        self.shutdown.notice = Some(user_data);
        None
    }

    /// Waits until a device can carry on, something comes from outside, or the deadline passes.
    fn wait_for_devices(&mut self, deadline: u64) {
        let wanted = self.waiter.begin();
        self.console.wait_for(wanted);
        // All are asked, so that none answers later for what was long ago.
        let mut look = Duration::ZERO;
        for device in self.devices.iter_mut().flatten() {
            device.wait_for(wanted);
            look = look.max(device.expects_more());
        }
        self.waiter.wait(&self.interrupts, look, deadline, || self.clock.now());
    }
}

impl Abi for Dispatch {
    fn out(&mut self, port: u16, width: u8, value: u32, exits: &mut ExitCounts) -> Result<(), Stop> {
        if (port, width) != (PORT, 4) {
            exits.port += 1;
            return Err(Stop::Fault(Fault::Port { port, width, write: true }));
        }
        match Function::decode(value) {
            Some((Function::Enter, _)) => {
                exits.enter += 1;
                self.enter()
            }
            Some((Function::Exit, status)) => {
                exits.exit += 1;
                Err(Stop::Ended(Cause::Exit(status)))
            }
            Some((Function::Panic, _)) => {
                exits.panic += 1;
                Err(Stop::Ended(Cause::Panic(self.panic_message())))
            }
            Some((Function::Clock, _)) => {
                exits.clock += 1;
                self.clock.rewrite();
                Ok(())
            }
            None => {
                exits.port += 1;
                Err(Stop::Fault(Fault::Doorbell(value)))
            }
        }
    }

    fn interrupted(&mut self) -> Result<(), Stop> {
        let Pending { timeout, grace, readiness, signals, signal } = self.interrupts.take();
        if readiness {
            self.console.attend();
        }
        if timeout {
            return Err(Stop::Ended(Cause::Timeout));
        }
        if grace {
            return Err(Stop::Ended(Cause::Signal(self.shutdown.requested.unwrap_or(libc::SIGTERM))));
        }
        for _ in 0..signals {
            self.ask_to_end(signal)?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Stop> {
        while !self.console.advance_output(&self.memory, &mut self.ring) {
            let Pending { timeout, grace, readiness, signals, signal } = self.interrupts.take();
            if readiness {
                self.console.attend();
            }
            if timeout {
                return Err(Stop::Ended(Cause::Timeout));
            }
            if signals > 0 {
                return Err(Stop::Ended(Cause::Signal(self.shutdown.requested.unwrap_or(signal))));
            }
            if grace {
                // It obeyed in time, so that its own status stands; for its reader the time is over all the same.
                return Ok(());
            }
            self.console.wait_for_output(self.waiter.begin());
            self.waiter.wait(&self.interrupts, Duration::ZERO, u64::MAX, || 0);
        }
        if self.console.output_closed() { Err(Stop::Ended(Cause::OutputClosed)) } else { Ok(()) }
    }

    fn interrupts(&mut self) -> &mut Interrupts {
        &mut self.interrupts
    }

    fn guest(&self) -> (&Layout, &Arc<Memory>) {
        (&self.layout, &self.memory)
    }

    fn counters(&self) -> (Counters, Vec<Option<Counters>>) {
        let devices = self.devices.iter().map(|device| Some(device.as_deref()?.counters())).collect();
        (self.console.counters(), devices)
    }

    fn begin_times(&self) -> [Option<u64>; 2] {
        self.ring.ring.begin_times().map(|counter| self.clock.at(counter).filter(|_| counter != 0))
    }

    fn first_output(&self) -> Option<u64> {
        self.console.first_output()
    }
}

fn corrupt(corrupt: ukvm_abi::ring::Corrupt) -> Stop {
    Stop::Fault(Fault::Ring(corrupt))
}

#[cfg(test)]
#[path = "dispatch_tests.rs"]
mod tests;
