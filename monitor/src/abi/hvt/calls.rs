//! Solo5's hypercalls: an `OUT` of the guest-physical address of an argument block, to a port for each call.
//!
//! Every call is served at once, on the vCPU's thread, and its results are in the block when the guest goes on. What the guest may not
//! do, such as a buffer outside its memory, is a fault, as the ABI has no result for it; what the host cannot do is a result.

use super::access::GuestBytes;
use super::cpu::{Exception, Trap, VirtualCpu};
use super::devices::{Disk, HvtDevice};
use super::ring::NetRing;
use crate::abi::{Abi, Stop};
use crate::clock;
use crate::device::console::Console;
use crate::device::net::Net;
use crate::device::{Completions, Counters, Device, DeviceRequest};
use crate::error::no_kvm;
use crate::fault::Fault;
use crate::interrupt::{Interrupts, Pending};
use crate::layout::Layout;
use crate::memory::{GuestBuffer, Memory};
use crate::observe::counts::ExitCounts;
use crate::outcome::Cause;
use crate::paging::Tables;
use crate::spin::SPIN;
use crate::vcpu::Vcpu;
use crate::wait::Waiter;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use ukvm_abi::request::{Opcode, Status};

/// The port of call 0, which is none; that of call `n` is `n` above it.
const PORT: u16 = 0x500;
/// The port that tells of entries in the net ring.
const KICK: u16 = 0x600;
/// Bytes of a trap's frame that a guest which ends by a fault of its own may hand over.
const COOKIE: u64 = 512;

/// The calls' numbers.
const WALLTIME: u16 = 1;
const PUTS: u16 = 2;
const POLL: u16 = 3;
const BLOCK_WRITE: u16 = 4;
const BLOCK_READ: u16 = 5;
const NET_WRITE: u16 = 6;
const NET_READ: u16 = 7;
const HALT: u16 = 8;

/// The results that a call can have.
pub(super) const OK: i32 = 0;
/// Nothing there now.
pub(super) const AGAIN: i32 = 1;
/// An argument that cannot be.
pub(super) const EINVAL: i32 = 2;
/// The host fails, or does not let us.
pub(super) const EUNSPEC: i32 = 3;

/// Everything that serves a Solo5 guest.
#[derive(Debug)]
pub struct Parts {
    /// The guest's memory.
    pub memory: Arc<Memory>,
    /// Where what is in it.
    pub layout: Layout,
    /// The guest-physical addresses of the program's segments.
    pub segments: Vec<Range<u64>>,
    /// The console.
    pub console: Console,
    /// The devices by handle less 1.
    pub devices: Vec<HvtDevice>,
    /// Signals and timers.
    pub interrupts: Interrupts,
    /// Whether the guest goes on when nobody reads its output.
    pub reader_may_go: bool,
}

/// Serves a Solo5 guest.
#[derive(Debug)]
pub struct Calls {
    guest: Guest,
    console: Console,
    devices: Vec<HvtDevice>,
    ring: Option<NetRing>,
    interrupts: Interrupts,
    reader_may_go: bool,
    cpu: VirtualCpu,
    waiter: Waiter,
    /// A frame came since the guest has last waited.
    came: bool,
}

/// The guest's memory, and what it may do with it.
#[derive(Debug)]
struct Guest {
    memory: Arc<Memory>,
    layout: Layout,
    segments: Vec<Range<u64>>,
}

/// Completions of a console that nobody waits for.
struct Ignored;

impl Completions for Ignored {
    fn post(&mut self, _: u64, _: Result<u64, Status>) {}
}

/// An argument block: copied once, so that its fields stay what was checked.
struct Block<const N: usize> {
    gpa: u64,
    words: [u64; N],
}

impl Calls {
    /// Brings the parts together.
    ///
    /// # Errors
    ///
    /// Where the net ring cannot be reached.
    pub fn new(parts: Parts) -> io::Result<Self> {
        // Dropped in the reverse order: the console before what tells of those who watch it.
        let Parts { interrupts, memory, layout, segments, console, devices, reader_may_go } = parts;
        let ring = (!layout.rings.is_empty()).then(|| NetRing::new(layout.rings.start));
        ring.iter().try_for_each(|ring| ring.begin(&memory))?;
        Ok(Self {
            guest: Guest { memory, layout, segments },
            console,
            devices,
            ring,
            interrupts,
            reader_may_go,
            cpu: VirtualCpu::new(),
            waiter: Waiter::default(),
            came: false,
        })
    }

    fn call(&mut self, number: u16, gpa: u64) -> Result<(), Stop> {
        match number {
            WALLTIME => {
                let block: Block<1> = self.guest.block(gpa)?;
                self.guest.set(&block, 0, &clock::wall().to_le_bytes())
            }
            PUTS => {
                let Block { words: [data, length], .. } = self.guest.arguments(gpa)?;
                let text = self.guest.buffer(data, length, false)?;
                self.put(text)
            }
            POLL => self.poll(gpa),
            BLOCK_WRITE | BLOCK_READ if self.devices.iter().any(HvtDevice::is_disk) => {
                let block: Block<5> = self.guest.block(gpa)?;
                let [handle, offset, data, length, _] = block.words;
                let buffer = self.guest.buffer(data, length, number == BLOCK_READ)?;
                let result = match self.disk(handle) {
                    None => EINVAL,
                    Some((disk, memory)) if number == BLOCK_READ => disk.read(buffer, offset, memory),
                    Some((disk, memory)) => disk.write(buffer, offset, memory),
                };
                self.guest.set(&block, 32, &result.to_le_bytes())
            }
            NET_WRITE if self.devices.iter().any(HvtDevice::is_net) => {
                let block: Block<4> = self.guest.block(gpa)?;
                let [handle, data, length, _] = block.words;
                let frame = self.guest.buffer(data, length, false)?;
                let result = send(&mut self.devices, handle, frame, &self.guest.memory);
                self.guest.set(&block, 24, &result.to_le_bytes())
            }
            NET_READ if self.devices.iter().any(HvtDevice::is_net) => {
                let block: Block<4> = self.guest.block(gpa)?;
                let [handle, data, length, _] = block.words;
                let into = self.guest.buffer(data, length, true)?;
                let (result, length) = receive(&mut self.devices, handle, into, &self.guest.memory);
                self.came |= result == OK;
                if result == OK {
                    self.guest.set(&block, 16, &(length as u64).to_le_bytes())?;
                }
                self.guest.set(&block, 24, &result.to_le_bytes())
            }
            _ => Err(Stop::Fault(Fault::Hypercall(number))),
        }
    }

    /// Writes to the console, and waits for its reader. That nobody reads it any more is the end, as of any program that prints,
    /// but where the user wants it otherwise.
    fn put(&mut self, text: GuestBuffer) -> Result<(), Stop> {
        let request = DeviceRequest {
            opcode: Opcode::ConsoleWrite,
            user_data: 0,
            is_quiet: false,
            buffer: text,
            length: text.len() as u64,
            offset: 0,
        };
        self.console.submit(&request, &self.guest.memory, &mut Ignored);
        self.drain()
    }

    /// Waits for a frame, or until the time is over.
    fn poll(&mut self, gpa: u64) -> Result<(), Stop> {
        let block: Block<3> = self.guest.block(gpa)?;
        let [timeout, ..] = block.words;
        let deadline = clock::monotonic().saturating_add(timeout.max(1));
        let look = if std::mem::take(&mut self.came) { SPIN } else { Duration::ZERO };
        loop {
            let wanted = self.waiter.begin();
            wanted.extend(nets(&self.devices).filter_map(|(_, net)| Some((net.readable()?, libc::POLLIN))));
            self.waiter.wait(&self.interrupts, look, deadline, clock::monotonic);
            self.interrupted()?;
            let ready = nets(&self.devices)
                .filter(|(_, net)| net.readable().is_some_and(|fd| self.waiter.is_ready(fd)))
                .map(|(handle, _)| 1_u64 << handle);
            let (set, count) = ready.fold((0, 0_i32), |(set, count), bit| (set | bit, count + 1));
            if count > 0 || clock::monotonic() >= deadline {
                self.guest.set(&block, 8, &set.to_le_bytes())?;
                return self.guest.set(&block, 16, &count.to_le_bytes());
            }
        }
    }

    fn disk(&mut self, handle: u64) -> Option<(&mut Disk, &Memory)> {
        match self.devices.get_mut((handle as u32).checked_sub(1)? as usize)? {
            HvtDevice::Disk(disk) => Some((disk, &self.guest.memory)),
            HvtDevice::Net(_) => None,
        }
    }

    fn halt(&self, gpa: u64) -> Stop {
        let Block { words: [cookie, status], .. } = match self.guest.arguments(gpa) {
            Ok(block) => block,
            Err(stop) => return stop,
        };
        if cookie != 0
            && let Err(stop) = self.guest.buffer(cookie, COOKIE, false)
        {
            return stop;
        }
        Stop::Ended(Cause::Exit(status as u8))
    }
}

/// The network devices with their handles.
fn nets(devices: &[HvtDevice]) -> impl Iterator<Item = (usize, &Net)> {
    devices.iter().enumerate().filter_map(|(index, device)| match device {
        HvtDevice::Net(net) => Some((index + 1, net.as_ref())),
        HvtDevice::Disk(_) => None,
    })
}

/// The network device of this handle, of which only the low 32 bits count.
fn net(devices: &mut [HvtDevice], handle: u64) -> Option<&mut Net> {
    match devices.get_mut((handle as u32).checked_sub(1)? as usize)? {
        HvtDevice::Net(net) => Some(net),
        HvtDevice::Disk(_) => None,
    }
}

/// Sends a frame; the call's result.
pub(super) fn send(devices: &mut [HvtDevice], handle: u64, frame: GuestBuffer, memory: &Memory) -> i32 {
    match net(devices, handle).map(|net| net.send_frame(frame, memory)) {
        None => EINVAL,
        Some(Ok(())) => OK,
        Some(Err(Status::Invalid)) => EINVAL,
        Some(Err(_)) => EUNSPEC,
    }
}

/// Receives a frame; the call's result, and the frame's bytes.
pub(super) fn receive(
    devices: &mut [HvtDevice],
    handle: u64,
    into: GuestBuffer,
    memory: &Memory,
) -> (i32, usize) {
    match net(devices, handle).map(|net| net.receive_frame(into, memory)) {
        None => (EINVAL, 0),
        Some(Ok(0)) => (AGAIN, 0),
        Some(Ok(length)) => (OK, length),
        Some(Err(_)) => (EUNSPEC, 0),
    }
}

impl Guest {
    /// The argument block at `gpa` of a call that has results to put there.
    fn block<const N: usize>(&self, gpa: u64) -> Result<Block<N>, Stop> {
        self.buffer(gpa, N as u64 * 8, true)?;
        self.arguments(gpa)
    }

    /// The argument block at `gpa`, which the guest need only be able to read.
    fn arguments<const N: usize>(&self, gpa: u64) -> Result<Block<N>, Stop> {
        let buffer = self.buffer(gpa, N as u64 * 8, false)?;
        let bytes = self.memory.copy(buffer);
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Ok(Block { gpa, words })
    }

    /// Puts a result into a block.
    fn set<const N: usize>(&self, block: &Block<N>, offset: u64, result: &[u8]) -> Result<(), Stop> {
        self.memory.write(block.gpa + offset, result).map_err(|_| access(block.gpa, N as u64 * 8))
    }

    /// Memory that the guest has named. It must end before the last byte of what the guest has been told to have, as Solo5 checks it.
    fn buffer(&self, gpa: u64, length: u64, write: bool) -> Result<GuestBuffer, Stop> {
        let inside = gpa.checked_add(length).is_some_and(|end| end < self.layout.stack.end);
        let buffer = if !inside {
            None
        } else if length == 0 {
            Some(GuestBuffer::default())
        } else {
            self.layout.translate(gpa, length, write).and_then(|gpa| self.memory.buffer(gpa, length))
        };
        buffer.ok_or_else(|| access(gpa, length))
    }
}

/// The fault of a guest that has named memory that it may not use.
fn access(address: u64, length: u64) -> Stop {
    Stop::Fault(Fault::Access { address, length })
}

impl GuestBytes for Guest {
    fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
        let length = bytes.len() as u64;
        let place = self.layout.translate(address, length, false);
        let Some(buffer) = place.and_then(|gpa| self.memory.buffer(gpa, length)) else { return false };
        bytes.copy_from_slice(&self.memory.copy(buffer));
        true
    }

    fn write(&self, address: u64, bytes: &[u8]) -> bool {
        let place = self.layout.translate(address, bytes.len() as u64, true);
        place.is_some_and(|gpa| self.memory.write(gpa, bytes).is_ok())
    }

    fn is_segment(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| segment.contains(&address))
    }
}

impl Abi for Calls {
    fn out(&mut self, port: u16, width: u8, value: u32, exits: &mut ExitCounts) -> Result<(), Stop> {
        let number = port.wrapping_sub(PORT);
        match (&mut self.ring, port) {
            (Some(ring), KICK) if width == 4 => {
                exits.enter += 1;
                let memory = &self.guest.memory;
                let buffer = |gpa, length, write| self.guest.buffer(gpa, length, write);
                self.came |= ring.serve(&mut self.devices, memory, buffer)?;
                self.interrupted()
            }
            _ if width == 4 && number == HALT => {
                exits.exit += 1;
                Err(self.halt(value.into()))
            }
            _ if width == 4 && number < HALT => {
                exits.enter += 1;
                self.call(number, value.into())?;
                self.interrupted()
            }
            _ => {
                exits.port += 1;
                Err(Stop::Fault(Fault::Port { port, width, write: true }))
            }
        }
    }

    fn exception(&mut self, vector: u8, vcpu: &mut Vcpu, tables: &Tables) -> Result<(), Stop> {
        let failed = |error: io::Error| Stop::Ended(Cause::Failed(no_kvm("serve an exception", &error)));
        let (mut registers, system) = vcpu.registers().map_err(failed)?;
        let exception = Exception { vector, frame: tables.frame(vector), cr2: system.cr2 };
        match self.cpu.trap(&exception, &mut registers, &self.guest) {
            Ok(()) => {
                vcpu.ignore_alignment();
                // They come in rows.
                vcpu.tell_registers(true);
                vcpu.go_on(tables, &registers, [self.cpu.fs_base(), self.cpu.gs_base()]);
                self.interrupted()
            }
            Err(trap) => Err(Stop::Fault(match trap {
                Trap::Halted => Fault::Halted { vector },
                Trap::Unsupported { name, .. } => Fault::Privileged { vector, name: name.into() },
                Trap::TripleFault | Trap::Memory(_) => Fault::Exception { vector, error: 0, address: 0 },
            })),
        }
    }

    fn interrupted(&mut self) -> Result<(), Stop> {
        let Pending { timeout, grace: _, readiness, signals, signal } = self.interrupts.take();
        if readiness {
            self.console.attend();
        }
        if timeout {
            return Err(Stop::Ended(Cause::Timeout));
        }
        // The ABI has no notice that would ask the guest to end.
        if signals > 0 { Err(Stop::Ended(Cause::Signal(signal))) } else { Ok(()) }
    }

    fn drain(&mut self) -> Result<(), Stop> {
        while !self.console.advance_output(&self.guest.memory, &mut Ignored) {
            self.interrupted()?;
            self.console.wait_for_output(self.waiter.begin());
            self.waiter.wait(&self.interrupts, Duration::ZERO, u64::MAX, || 0);
        }
        if self.console.output_closed() && !self.reader_may_go {
            Err(Stop::Ended(Cause::OutputClosed))
        } else {
            Ok(())
        }
    }

    fn interrupts(&mut self) -> &mut Interrupts {
        &mut self.interrupts
    }

    fn guest(&self) -> (&Layout, &Arc<Memory>) {
        (&self.guest.layout, &self.guest.memory)
    }

    fn counters(&self) -> (Counters, Vec<Option<Counters>>) {
        (self.console.counters(), self.devices.iter().map(|device| Some(device.counters())).collect())
    }

    fn first_output(&self) -> Option<u64> {
        self.console.first_output()
    }
}
