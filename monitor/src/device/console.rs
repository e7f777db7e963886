//! The console: requests to write and to read, on two descriptors of the host, or for those who watch it.
//!
//! On descriptors, output is with the host when a write completes, so that nothing is left to be flushed, however the guest ends. A
//! reader that does not read holds up the writes that wait for it and nothing else. Who watches holds up nothing.

mod history;
pub(crate) mod input;
mod line;
pub(crate) mod output;
mod pseudo_terminal;
pub(crate) mod terminal;
mod watcher;
pub(crate) mod watchers;

use super::log::Log;
use super::{Completions, Counters, Device, DeviceRequest};
use crate::clock;
use crate::config::ConsoleConfig;
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::memory::{GuestBuffer, Memory};
use line::Line;
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use ukvm_abi::boot_info::{CONSOLE_INPUT_TERMINAL, CONSOLE_OUTPUT_TERMINAL};
use ukvm_abi::request::{Opcode, Status};

/// The most bytes written, and read, in one go, so that a guest with much to say does not keep signals and other devices waiting.
const MOST_AT_ONCE: usize = 1 << 20;

/// The console.
#[derive(Debug)]
pub struct Console {
    line: Line,
    writes: VecDeque<Pending>,
    reads: VecDeque<Pending>,
    output_closed: bool,
    /// When the host took the first byte, on its `CLOCK_MONOTONIC` in nanoseconds.
    first_output: Option<u64>,
    counters: Counters,
    log: Log,
}

/// A request that waits for the host.
#[derive(Clone, Copy, Debug)]
struct Pending {
    user_data: u64,
    buffer: GuestBuffer,
    /// The bytes that are through.
    done: usize,
}

impl Console {
    /// The console that `config` describes. Descriptors keep their flags; raw mode lasts until this is dropped, or until a signal
    /// other than SIGKILL ends the process. `interrupts` tells of those who watch, and must be dropped after this.
    ///
    /// # Errors
    ///
    /// One sentence about what cannot be opened, or that raw mode is asked for and the input is no terminal.
    pub fn new(config: &ConsoleConfig, interrupts: &mut Interrupts) -> Result<Self, Error> {
        Ok(Self {
            line: Line::open(config, interrupts)?,
            writes: VecDeque::new(),
            reads: VecDeque::new(),
            output_closed: false,
            first_output: None,
            counters: Counters::default(),
            log: Log::new("console"),
        })
    }

    /// Which sides of it are terminals: [`BootInfo::console_flags`](ukvm_abi::boot_info::BootInfo::console_flags).
    #[must_use]
    pub fn flags(&self) -> u64 {
        let (input, output) = self.line.terminals();
        let flag = |is_terminal: bool, flag: u64| if is_terminal { flag } else { 0 };
        flag(input, CONSOLE_INPUT_TERMINAL) | flag(output, CONSOLE_OUTPUT_TERMINAL)
    }

    /// Whether the reader of the output has gone, so that the guest talks to nobody.
    #[must_use]
    pub fn output_closed(&self) -> bool {
        self.output_closed
    }

    /// When the host took the first byte, on its `CLOCK_MONOTONIC` in nanoseconds.
    #[must_use]
    pub fn first_output(&self) -> Option<u64> {
        self.first_output
    }

    /// Whether Ctrl-] has been pressed in raw mode, so that the guest is to end. On the terminal that the monitor was started
    /// from, that key sends SIGINT instead.
    #[must_use]
    pub fn escape_pressed(&self) -> bool {
        self.line.escaped()
    }

    /// Looks after those who watch, when [`Pending::readiness`](crate::interrupt::Pending::readiness) says so. What they have typed is
    /// kept for the requests to read.
    pub fn attend(&mut self) {
        self.line.attend();
    }

    /// Writes what the host takes now; whether nothing is left to be written.
    pub fn advance_output(&mut self, memory: &Memory, done: &mut dyn Completions) -> bool {
        self.advance_writes(memory, done);
        self.writes.is_empty()
    }

    /// What must happen before [`advance_output`](Self::advance_output) can get further, as [`Device::wait_for`] has it.
    pub fn wait_for_output(&self, wanted: &mut Vec<(RawFd, libc::c_short)>) {
        if !self.writes.is_empty() {
            wanted.push(self.line.wait_for_output());
        }
    }

    fn advance_writes(&mut self, memory: &Memory, done: &mut dyn Completions) {
        let mut budget = MOST_AT_ONCE;
        while let Some(request) = self.writes.front_mut() {
            let left = request.buffer.skip(request.done).truncate(budget);
            if !left.is_empty() {
                match self.line.write(&memory.slice(left)) {
                    Ok(written) => {
                        self.first_output.get_or_insert_with(clock::monotonic);
                        request.done += written;
                        budget -= written.min(budget);
                        self.counters.bytes_out += written as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                    Err(error) => {
                        done.post(request.user_data, Err(status_of(&error)));
                        self.writes.pop_front();
                        self.counters.errors += 1;
                        if error.kind() == io::ErrorKind::BrokenPipe {
                            self.output_closed = true;
                        } else {
                            self.log.say(format_args!("cannot write: {error}"));
                        }
                        continue;
                    }
                }
            }
            if request.done < request.buffer.len() {
                if budget == 0 {
                    return;
                }
                continue;
            }
            done.post(request.user_data, Ok(request.done as u64));
            self.counters.requests_out += 1;
            self.writes.pop_front();
        }
    }

    fn advance_reads(&mut self, memory: &Memory, done: &mut dyn Completions) {
        self.line.take_keys();
        let mut budget = MOST_AT_ONCE;
        while let Some(request) = self.reads.front().filter(|_| budget > 0) {
            let buffer = request.buffer.truncate(budget);
            match self.line.read(&memory.slice(buffer)) {
                Ok(count) => {
                    budget -= count.min(budget);
                    done.post(request.user_data, Ok(count as u64));
                    self.counters.bytes_in += count as u64;
                    self.counters.requests_in += 1;
                    self.reads.pop_front();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    done.post(request.user_data, Err(Status::Io));
                    self.counters.errors += 1;
                    self.log.say(format_args!("cannot read: {error}"));
                    self.reads.pop_front();
                }
            }
        }
    }
}

impl Device for Console {
    fn submit(&mut self, request: &DeviceRequest, memory: &Arc<Memory>, done: &mut dyn Completions) {
        let pending = Pending { user_data: request.user_data, buffer: request.buffer, done: 0 };
        match request.opcode {
            Opcode::ConsoleWrite => {
                self.writes.push_back(pending);
                // What waits before it has found the host busy: the next `advance` asks again.
                if self.writes.len() == 1 {
                    self.advance_writes(memory, done);
                }
            }
            Opcode::ConsoleRead => {
                self.reads.push_back(pending);
                if self.reads.len() == 1 {
                    self.advance_reads(memory, done);
                }
            }
            _ => done.post(request.user_data, Err(Status::BadDevice)),
        }
    }

    fn advance(&mut self, memory: &Arc<Memory>, done: &mut dyn Completions) {
        self.advance_writes(memory, done);
        self.advance_reads(memory, done);
    }

    fn wait_for(&self, wanted: &mut Vec<(RawFd, libc::c_short)>) {
        self.wait_for_output(wanted);
        wanted.extend(self.line.wait_for_input(!self.reads.is_empty()));
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

fn status_of(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Status::NoSpace
        }
        _ => Status::Io,
    }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
