//! A guest from its file to its end: the one place where everything is put together.

use crate::bind::bind;
use crate::boot::BootBlock;
use crate::clock::{ClockPage, counter_offset};
use crate::config::{Config, DEFAULT_MEMORY};
use crate::device::block::Mapping;
use crate::device::console::Console;
use crate::device::open::{Opened, open_devices};
use crate::dispatch::{Dispatch, Parts, Stop};
use crate::elf::Image;
use crate::elf::symbols::Symbols;
use crate::error::{Error, ErrorKind, host, no_kvm};
use crate::fault::{Fault, FaultReport, Registers};
use crate::interrupt::{Interrupts, Timer, Watch};
use crate::kvm;
use crate::layout::{self, Layout, Wishes};
use crate::memory::{Memory, PAGE, SharedArea};
use crate::observe::counts::ExitCounts;
use crate::observe::timeline::Timeline;
use crate::observe::{DeviceObservations, Observations, Placement};
use crate::outcome::{Cause, Outcome};
use crate::paging::Tables;
use crate::random::Random;
use crate::slots;
use crate::spin::sleep_exactly;
use crate::stderr::say_briefly;
use crate::vcpu::{Exit, Vcpu, cpuid, state};
use kvm_bindings::kvm_regs;
use kvm_ioctls::VmFd;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use ukvm_abi::boot_info::{DEVICE_PRESENT, DEVICE_READ_ONLY, DeviceInfo};
use ukvm_abi::doorbell::Function;
use ukvm_abi::manifest::DeviceKind;
use ukvm_abi::ring::{AREA_SIZE, HEADER_SIZE, MonitorRing, Shape};

/// Bytes of the rings that every start touches: the header, and a page of submissions.
const FIRST_TOUCHED: u64 = HEADER_SIZE as u64 + PAGE;

/// A guest that is ready to start.
///
/// It belongs to the thread that made it: that thread's signals interrupt it.
#[derive(Debug)]
pub struct Vm {
    // In the order in which they may go: what writes to the processor's run structure before the processor, the processor and the
    // VM before the memory that they use: tables, mapped disks, and what dispatch holds.
    _watch: Watch,
    vcpu: Vcpu,
    _vm: VmFd,
    tables: Tables,
    _mappings: Vec<Option<Mapping>>,
    dispatch: Dispatch,
    image: Image,
    timeout: Option<Duration>,
    exits: ExitCounts,
    timeline: Timeline,
    placement: Placement,
    /// The names of the devices by handle less 1.
    devices: Vec<(DeviceKind, String)>,
}

impl Vm {
    /// Checks everything, opens everything, and brings the guest to its first instruction.
    ///
    /// # Errors
    ///
    /// An [`Error`] with a sentence for the user. Nothing is left behind then.
    pub fn new(config: Config) -> Result<Self, Error> {
        let mut timeline = Timeline::since(config.started);
        timeline.mark("options");

        // The program, and what it wants.
        let image = Image::open(&config.program)?;
        let memory_size = memory_size(config.memory, image.manifest().min_memory, host_memory())?;
        let bindings = bind(image.manifest(), config.nets, config.disks)?;
        timeline.mark("program checked");

        // All that is opened on the host. Signals come first, so that none that comes from here on is lost.
        let interrupts = Interrupts::new(true).map_err(|error| host("catch signals", &error))?;
        let console = Console::new(&config.console)?;
        let Opened { infos, devices, mappings, ways } = open_devices(&image, bindings, memory_size)?;
        let kvm = kvm::open(&config.kvm)?;
        timeline.mark("devices opened");

        // Where everything goes.
        let mut random = Random::new(config.aslr).map_err(|error| host("get random numbers", &error))?;
        let boot = BootBlock::new(
            &config.arguments,
            &config.environment,
            &infos,
            console.flags(),
            random.guest_seed().map_err(|error| host("get random numbers", &error))?,
        );
        let layout =
            Layout::new(&wishes(&image, memory_size, boot.size(), &mappings), |below| random.below(below))
                .map_err(|error| Error::new(ErrorKind::BadConfig, error.to_string()))?;
        let tables_size = layout.tables.end - layout.tables.start;
        let (mut memory, behind) = Memory::with_tail(layout.memory, tables_size)
            .map_err(|error| host(&format!("get {} of memory", layout::size(memory_size)), &error))?;
        let tables = Tables::new(&layout, behind, config.test_writable_text)
            .map_err(|error| host("build the page tables", &error))?;
        timeline.mark("memory laid out");

        // The program's bytes, and what it is told. The pages that every start touches come in one go.
        memory.populate(&(layout.info.start..layout.rings.start + FIRST_TOUCHED));
        memory.prefer_large_pages(&layout.heap);
        image.load(&mut memory, layout.image.start, layout.bias)?;
        boot.write(&memory, &layout, Shape::DEFAULT)
            .map_err(|error| host("write the boot information", &error))?;
        let memory = Arc::new(memory);
        timeline.mark("program loaded");

        // The virtual machine. Its slots come first: later they would cost more.
        let vm = kvm::create_vm(&kvm)?;
        slots::set(&vm, &layout, &memory, &mappings)?;
        timeline.mark("virtual machine created");
        let entry = image.entry().wrapping_add(layout.bias);
        let registers = state::registers(
            entry,
            layout.virtual_address(layout.stack.end),
            layout.virtual_address(layout.info.start),
        );
        let software = cpuid::is_software_kvm();
        let mut vcpu = Vcpu::new(&kvm, &vm, &tables, &registers, software, layout.end())?;
        let clock = start_clock(&vm, &vcpu, &memory, &layout, software)?;
        timeline.mark("vCPU ready");

        // SAFETY: the byte is there as long as the processor, before which the watch goes, here and in `Vm`; nobody refers to it.
        let watch = unsafe { interrupts.watch(vcpu.immediate_exit()) };
        let rings =
            SharedArea::new(&memory, &layout.rings).map_err(|error| host("reach the rings", &error))?;
        let placement = Placement {
            memory: layout.memory,
            slide: layout.slide,
            load_bias: layout.bias,
            seed: random.seed(),
        };
        if config.verbose {
            describe(&image, &placement, &infos, &ways);
        }
        let names =
            image.manifest().devices.iter().map(|device| (device.kind, device.name.clone())).collect();
        let dispatch = Dispatch::new(Parts {
            ring: MonitorRing::new(rings, Shape::DEFAULT),
            memory,
            layout,
            console,
            devices,
            clock,
            interrupts,
            grace: config.grace,
        });
        // ---- All is acquired. From here on nothing is opened, mapped or spawned; docs/architecture.md lists what stays
        // lazy: two timers, and the symbols of a fault report, which come from the open ELF file.
        Ok(Self {
            _watch: watch,
            vcpu,
            _vm: vm,
            tables,
            _mappings: mappings,
            dispatch,
            image,
            timeout: config.timeout,
            exits: ExitCounts::default(),
            timeline,
            placement,
            devices: names,
        })
    }

    /// Runs the guest to its end.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        let cause = match self.run_to_stop() {
            Stop::Ended(cause) => cause,
            Stop::Fault(fault) => Cause::Fault(Box::new(self.explain(fault))),
        };
        let cause = self.drain(cause);
        self.timeline.mark("ended");
        self.dispatch.first_output().into_iter().for_each(|time| self.timeline.insert("first byte", time));
        let (console, counters) = self.dispatch.counters();
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
            Cause::Exit(_) => match self.dispatch.drain() {
                Err(Stop::Ended(instead)) => instead,
                _ => cause,
            },
            Cause::Panic(_) | Cause::Fault(_) => {
                let _ = self.dispatch.drain();
                cause
            }
            _ => cause,
        }
    }

    fn run_to_stop(&mut self) -> Stop {
        // Deadlines are kept all the same where this is refused, only later.
        let _ = sleep_exactly();
        if let Some(timeout) = self.timeout
            && let Err(error) = self.dispatch.interrupts().arm(Timer::Timeout, timeout)
        {
            return Stop::Ended(Cause::Failed(host("set the timer for --timeout", &error)));
        }
        let mut first = true;
        loop {
            let exit = self.vcpu.run();
            if std::mem::take(&mut first) {
                self.timeline.mark("first exit");
                for (step, time) in ["guest entry", "main"].into_iter().zip(self.dispatch.begin_times()) {
                    time.into_iter().for_each(|time| self.timeline.insert(step, time));
                }
            }
            let exit = match exit {
                Ok(exit) => exit,
                Err(error) => return Stop::Ended(Cause::Failed(no_kvm("run the guest", &error))),
            };
            if let Err(stop) = self.serve(exit) {
                return stop;
            }
        }
    }

    /// Does what an exit asks for.
    fn serve(&mut self, exit: Exit) -> Result<(), Stop> {
        let count = match exit {
            Exit::Doorbell(value) => return self.doorbell(value),
            Exit::Interrupted => &mut self.exits.interrupted,
            Exit::Exception(_) => &mut self.exits.exception,
            Exit::Port { .. } => &mut self.exits.port,
            Exit::Physical { .. } | Exit::Unbacked { .. } => &mut self.exits.mmio,
            Exit::TripleFault | Exit::Halted | Exit::Internal { .. } => &mut self.exits.other,
        };
        *count += 1;
        Err(Stop::Fault(match exit {
            Exit::Doorbell(_) | Exit::Interrupted => return self.dispatch.interrupted(),
            Exit::Exception(vector) => Fault::Exception { vector, error: 0, address: 0 },
            Exit::Port { port, width, write } => Fault::Port { port, width, write },
            Exit::Physical { gpa, write } => match self.lost_at(gpa) {
                // KVM has emulated the instruction, and found nothing to read.
                Some(fault) if !write => fault,
                _ => Fault::Physical { gpa, write },
            },
            Exit::Unbacked { gpa } => {
                match gpa.map_or_else(|| self.lost_in_registers(), |gpa| self.lost_at(gpa)) {
                    Some(fault) => fault,
                    None => {
                        let error = io::Error::from_raw_os_error(libc::EFAULT);
                        return Err(Stop::Ended(Cause::Failed(no_kvm("run the guest", &error))));
                    }
                }
            }
            Exit::TripleFault => Fault::TripleFault,
            Exit::Halted => Fault::Unrunnable { reason: 0 },
            // It found no instruction.
            Exit::Internal { .. } if self.program_was_lost() => Fault::Program,
            Exit::Internal { reason } => Fault::Unrunnable { reason },
        }))
    }

    /// Whether pages of the program that are the file's are there no more.
    fn program_was_lost(&self) -> bool {
        self.dispatch.guest().1.has_file_pages() && self.image.was_cut()
    }

    /// The fault of a guest that was to read this guest-physical address, and for which the host has no bytes there: it is a file's.
    fn lost_at(&self, gpa: u64) -> Option<Fault> {
        let (layout, memory) = self.dispatch.guest();
        if memory.is_file_page(gpa) {
            return Some(Fault::Program);
        }
        let device = layout.mappings.iter().position(|range| range.contains(&gpa))?;
        Some(Fault::Disk { device })
    }

    /// The same, of a file's bytes to which a register points: how an instruction names what it reads.
    fn lost_in_registers(&self) -> Option<Fault> {
        if self.program_was_lost() {
            return Some(Fault::Program);
        }
        let (general, _) = self.vcpu.registers().ok()?;
        let kvm_regs { rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15, .. } =
            general;
        let slide = self.dispatch.guest().0.slide;
        [rsi, rax, rbx, rcx, rdx, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15]
            .into_iter()
            .find_map(|address| self.lost_at(address.wrapping_sub(slide)))
    }

    fn doorbell(&mut self, value: u32) -> Result<(), Stop> {
        match Function::decode(value) {
            Some((Function::Enter, _)) => {
                self.exits.enter += 1;
                self.dispatch.enter()
            }
            Some((Function::Exit, status)) => {
                self.exits.exit += 1;
                Err(Stop::Ended(Cause::Exit(status)))
            }
            Some((Function::Panic, _)) => {
                self.exits.panic += 1;
                Err(Stop::Ended(Cause::Panic(self.dispatch.panic_message())))
            }
            Some((Function::Clock, _)) => {
                self.exits.clock += 1;
                self.dispatch.clock();
                Ok(())
            }
            None => Err(Stop::Fault(Fault::Doorbell(value))),
        }
    }

    /// The report of a fault: the registers, and the names of the functions.
    fn explain(&self, fault: Fault) -> FaultReport {
        let (general, system) = self.vcpu.registers().unwrap_or_default();
        let (fault, registers) = match fault {
            Fault::Exception { vector, .. } => {
                let frame = self.tables.frame(vector);
                let address = if vector == 14 { system.cr2 } else { 0 };
                let fault = Fault::Exception { vector, error: frame.error, address };
                (fault, Registers::of_exception(general, &frame, system.cr2))
            }
            fault => (fault, Registers { general, cr2: system.cr2 }),
        };
        let (layout, memory) = self.dispatch.guest();
        let symbols = Symbols::read(&self.image);
        let name = |device: usize| Some(self.devices.get(device)?.1.clone());
        FaultReport::new(fault, registers, layout, memory, name, |address| symbols.find(address))
    }
}

/// Guest memory in bytes: what the user says, else what the program needs, if the host has it.
fn memory_size(wanted: Option<u64>, least: u64, host: u64) -> Result<u64, Error> {
    let size = wanted.unwrap_or(DEFAULT_MEMORY.max(least));
    let fail = |message: String| Err(Error::new(ErrorKind::BadConfig, message));
    if least > host {
        return fail(format!(
            "the program asks for {} of memory, more than the host's {}: run it on a larger host",
            layout::size(least),
            layout::size(host >> 20 << 20)
        ));
    }
    if size < least {
        let least = layout::size(least.next_multiple_of(1 << 20));
        return fail(format!(
            "{} of memory is too little: the program asks for {least}, so use --mem {least}",
            layout::size(size)
        ));
    }
    if size > host {
        return fail(format!(
            "{} of guest memory is more than the host's {}: use a smaller --mem",
            layout::size(size),
            layout::size(host >> 20 << 20)
        ));
    }
    // No host has so much that this overflows.
    Ok(size.next_multiple_of(PAGE))
}

/// The host's memory and swap in bytes.
fn host_memory() -> u64 {
    // SAFETY: a sysinfo of zeroes is a valid value of it.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is live; the call fails for a bad pointer only.
    unsafe { libc::sysinfo(&raw mut info) };
    let bytes = (info.totalram.saturating_add(info.totalswap)).saturating_mul(info.mem_unit.into());
    // Far more than any host has, so that sums of sizes stay in range whatever it says.
    bytes.min(1 << 46)
}

fn wishes(image: &Image, memory: u64, info: u64, mappings: &[Option<Mapping>]) -> Wishes {
    Wishes {
        memory,
        span: image.span(),
        pages: image.pages(),
        movable: image.is_pie(),
        alignment: image.alignment(),
        info,
        rings: AREA_SIZE as u64,
        stack: image.manifest().stack_size,
        mappings: mappings.iter().map(|mapping| mapping.as_ref().map_or(0, Mapping::size)).collect(),
    }
}

fn start_clock(
    vm: &VmFd,
    vcpu: &Vcpu,
    memory: &Arc<Memory>,
    layout: &Layout,
    software: bool,
) -> Result<ClockPage, Error> {
    let failed = |error: io::Error| no_kvm("tell the guest's time stamp counter", &error);
    let khz = kvm::tsc_khz(vm).map_or_else(|| vcpu.tsc_khz(), Ok).map_err(failed)?;
    // Software KVM leaves the counter alone.
    let offset = if software { 0 } else { counter_offset(|| vcpu.tsc()).map_err(failed)? };
    let page =
        SharedArea::new(memory, &layout.clock).map_err(|error| host("reach the clock page", &error))?;
    Ok(ClockPage::new(page, khz, offset, cpuid::is_tsc_invariant()))
}

/// What `--verbose` says before the guest starts.
fn describe(image: &Image, placement: &Placement, infos: &[DeviceInfo], ways: &[&str]) {
    let kind = if image.is_pie() { "position-independent" } else { "fixed-address" };
    say_briefly(&format_args!("{kind} program, {} of memory", layout::size(placement.memory)));
    let seed = placement.seed.map_or("without randomness".to_owned(), |seed| format!("--aslr-seed {seed:x}"));
    say_briefly(&format_args!("load bias {:#x}, {seed}", placement.load_bias));
    for ((info, way), declared) in infos.iter().zip(ways).zip(&image.manifest().devices) {
        let [a, b, c, d, e, f] = info.mac;
        let what = match declared.kind {
            _ if info.flags & DEVICE_PRESENT == 0 => "absent".to_owned(),
            DeviceKind::Net => {
                format!("network, {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, MTU {}", info.mtu)
            }
            DeviceKind::Block => {
                let rights = if info.flags & DEVICE_READ_ONLY == 0 { "" } else { ", read-only" };
                format!("disk, {} bytes{rights}{way}", info.capacity)
            }
        };
        say_briefly(&format_args!("{}: {what}", declared.name));
    }
}

#[cfg(test)]
#[path = "vm_tests.rs"]
mod tests;
