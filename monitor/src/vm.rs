//! A guest from its file to its end: the one place where everything is put together.

use crate::abi::Stop;
use crate::abi::setup::{self, Counter, Host, Setup};
use crate::clock::counter_offset;
use crate::config::{Config, ConsoleConfig};
use crate::device::console::Console;
use crate::device::open::Described;
use crate::error::{Error, ErrorKind, host, no_kvm};
use crate::fault::{Fault, FaultReport, Registers};
use crate::guest::Guest;
use crate::interrupt::{Interrupts, Watch};
use crate::kvm;
use crate::layout;
use crate::memory::{Memory, PAGE};
use crate::observe::Placement;
use crate::observe::timeline::Timeline;
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
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;
use ukvm_abi::boot_info::{DEVICE_PRESENT, DEVICE_READ_ONLY};
use ukvm_abi::manifest::DeviceKind;

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
    /// With the mapped disks.
    setup: Box<dyn Setup>,
    guest: Guest,
    timeout: Option<Duration>,
}

impl Vm {
    /// Checks everything, opens everything, and brings the guest to its first instruction.
    ///
    /// # Errors
    ///
    /// An [`Error`] with a sentence for the user. Nothing is left behind then.
    pub fn new(mut config: Config) -> Result<Self, Error> {
        let mut timeline = Timeline::since(config.started);
        timeline.mark("options");

        // The program, and what it wants.
        let mut setup = setup::open(&config.program)?;
        setup.check(&config)?;
        let memory_size = setup.memory_size(config.memory)?;
        let memory_size = possible_size(memory_size, setup.manifest().min_memory, host_memory())?;
        timeline.mark("program checked");

        // All that is opened on the host. Signals come first, so that none that comes from here on is lost.
        let mut interrupts = Interrupts::new(true).map_err(|error| host("catch signals", &error))?;
        check_console(&config)?;
        let console = Console::new(&config.console, &mut interrupts)?;
        setup.open_devices(take(&mut config.nets), take(&mut config.disks), memory_size)?;
        let kvm = kvm::open(&config.kvm)?;
        timeline.mark("devices opened");

        // Where everything goes.
        let mut random = Random::new(config.aslr).map_err(|error| host("get random numbers", &error))?;
        let layout = setup.lay_out(&config, memory_size, &console, &mut random)?;
        let tables_size = layout.tables.end - layout.tables.start;
        let (mut memory, behind) = Memory::with_tail(layout.memory, tables_size)
            .map_err(|error| host(&format!("get {} of memory", layout::size(memory_size)), &error))?;
        let tables = Tables::new(&layout, behind, config.test_writable_text)
            .map_err(|error| host("build the page tables", &error))?;
        timeline.mark("memory laid out");

        // The program's bytes, and what it is told.
        memory.prefer_large_pages(&layout.heap);
        setup.load(&mut memory, &layout)?;
        let memory = Arc::new(memory);
        timeline.mark("program loaded");

        // The virtual machine. Its slots come first: later they would cost more.
        let vm = kvm::create_vm(&kvm)?;
        slots::set(&vm, &layout, &memory, setup.devices().mappings)?;
        timeline.mark("virtual machine created");
        let registers = state::registers(
            setup.entry(&layout),
            layout.virtual_address(layout.stack.end),
            layout.virtual_address(layout.info.start),
        );
        let software = cpuid::is_software_kvm();
        let mut vcpu = Vcpu::new(&kvm, &vm, &tables, &registers, software, layout.end())?;
        let counter = counter(&vm, &vcpu, software)?;

        // SAFETY: the byte is there as long as the processor, before which the watch goes, here and in `Vm`; nobody refers to it.
        let watch = unsafe { interrupts.watch(vcpu.immediate_exit()) };
        let placement = Placement {
            memory: layout.memory,
            slide: layout.slide,
            load_bias: layout.bias,
            seed: random.seed(),
        };
        let abi = setup.start(Host { memory, layout, console, interrupts, counter, grace: config.grace })?;
        timeline.mark("vCPU ready");
        if config.verbose {
            describe(setup.as_ref(), &placement);
        }
        let guest = Guest::new(abi, setup.manifest(), timeline, placement);
        // ---- All is acquired. From here on nothing is opened, mapped or spawned; docs/architecture.md lists what stays
        // lazy: two timers, connections of those who watch the console, and the symbols of a fault report, which come from the open
        // ELF file.
        Ok(Self { _watch: watch, vcpu, _vm: vm, tables, guest, setup, timeout: config.timeout })
    }

    /// Runs the guest to its end.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        let cause = match self.run_to_stop() {
            Stop::Ended(cause) => cause,
            Stop::Fault(fault) => Cause::Fault(Box::new(self.explain(fault))),
        };
        self.guest.end(cause)
    }

    fn run_to_stop(&mut self) -> Stop {
        // Deadlines are kept all the same where this is refused, only later.
        let _ = sleep_exactly();
        if let Err(error) = self.guest.arm(self.timeout) {
            return Stop::Ended(Cause::Failed(error));
        }
        let mut first = true;
        loop {
            let exit = self.vcpu.run();
            if std::mem::take(&mut first) {
                self.guest.timeline.mark("first exit");
                for (step, time) in ["guest entry", "main"].into_iter().zip(self.guest.abi.begin_times()) {
                    time.into_iter().for_each(|time| self.guest.timeline.insert(step, time));
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
        Err(Stop::Fault(match exit {
            Exit::Out { port, width, value } => {
                self.vcpu.tell_registers(false);
                return self.guest.out(port, width, value);
            }
            Exit::Interrupted => {
                self.guest.exits.interrupted += 1;
                return self.guest.abi.interrupted();
            }
            Exit::Exception(vector) => {
                self.guest.exits.exception += 1;
                return self.guest.abi.exception(vector, &mut self.vcpu, &self.tables);
            }
            Exit::Port { port, width, write } => {
                self.guest.exits.port += 1;
                Fault::Port { port, width, write }
            }
            Exit::Physical { gpa, write } => {
                self.guest.exits.mmio += 1;
                match self.lost_at(gpa) {
                    // KVM has emulated the instruction, and found nothing to read.
                    Some(fault) if !write => fault,
                    _ => Fault::Physical { gpa, write },
                }
            }
            Exit::Unbacked { gpa } => {
                self.guest.exits.mmio += 1;
                let lost = gpa.map_or_else(|| self.lost_in_registers(), |gpa| self.lost_at(gpa));
                lost.ok_or_else(|| {
                    let error = io::Error::from_raw_os_error(libc::EFAULT);
                    Stop::Ended(Cause::Failed(no_kvm("run the guest", &error)))
                })?
            }
            Exit::TripleFault | Exit::Halted | Exit::Internal { .. } => {
                self.guest.exits.other += 1;
                match exit {
                    Exit::TripleFault => Fault::TripleFault,
                    // It found no instruction.
                    Exit::Internal { .. } if self.program_was_lost() => Fault::Program,
                    Exit::Internal { reason } => Fault::Unrunnable { reason },
                    _ => Fault::Unrunnable { reason: 0 },
                }
            }
        }))
    }

    /// Whether pages of the program that are the file's are there no more.
    fn program_was_lost(&self) -> bool {
        self.guest.abi.guest().1.has_file_pages() && self.setup.was_cut()
    }

    /// The fault of a guest that was to read this guest-physical address, and for which the host has no bytes there: it is a file's.
    fn lost_at(&self, gpa: u64) -> Option<Fault> {
        let (layout, memory) = self.guest.abi.guest();
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
        let slide = self.guest.abi.guest().0.slide;
        [rsi, rax, rbx, rcx, rdx, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15]
            .into_iter()
            .find_map(|address| self.lost_at(address.wrapping_sub(slide)))
    }

    /// The report of a fault: the registers, and the names of the functions.
    fn explain(&self, fault: Fault) -> FaultReport {
        let (general, system) = self.vcpu.registers().unwrap_or_default();
        let of_exception = |vector| Registers::of_exception(general, &self.tables.frame(vector), system.cr2);
        let (fault, registers) = match fault {
            Fault::Exception { vector, .. } => {
                let error = self.tables.frame(vector).error;
                let address = if vector == 14 { system.cr2 } else { 0 };
                (Fault::Exception { vector, error, address }, of_exception(vector))
            }
            Fault::Privileged { vector, .. } | Fault::Halted { vector } => (fault, of_exception(vector)),
            fault => (fault, Registers { general, cr2: system.cr2 }),
        };
        let (layout, memory) = self.guest.abi.guest();
        let symbols = self.setup.symbols();
        let name = |device: usize| Some(self.guest.devices.get(device)?.1.clone());
        FaultReport::new(fault, registers, layout, memory, name, |address| symbols.find(address))
    }
}

/// Guest memory in bytes: what is wanted, in whole pages, if it is no less than the program needs and the host has it.
pub(crate) fn possible_size(size: u64, least: u64, host: u64) -> Result<u64, Error> {
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

/// Checks that the console's output is not written to what the guest needs.
pub(crate) fn check_console(config: &Config) -> Result<(), Error> {
    match &config.console {
        ConsoleConfig::File(path) if std::fs::metadata(path).is_ok_and(|file| config.needs(&file)) => {
            Err(Error::new(
                ErrorKind::BadConfig,
                format!(
                    "--console: {} is the program or a disk of the guest; name another file",
                    path.display()
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// The host's memory and swap in bytes.
pub(crate) fn host_memory() -> u64 {
    // SAFETY: a sysinfo of zeroes is a valid value of it.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is live; the call fails for a bad pointer only.
    unsafe { libc::sysinfo(&raw mut info) };
    let bytes = (info.totalram.saturating_add(info.totalswap)).saturating_mul(info.mem_unit.into());
    // Far more than any host has, so that sums of sizes stay in range whatever it says.
    bytes.min(1 << 46)
}

/// What is known of the guest's time stamp counter.
fn counter(vm: &VmFd, vcpu: &Vcpu, software: bool) -> Result<Counter, Error> {
    let failed = |error: io::Error| no_kvm("tell the guest's time stamp counter", &error);
    let khz = kvm::tsc_khz(vm).map_or_else(|| vcpu.tsc_khz(), Ok).map_err(failed)?;
    // Software KVM leaves the counter alone.
    let offset = if software { 0 } else { counter_offset(|| vcpu.tsc()).map_err(failed)? };
    Ok(Counter { khz, offset, usable: cpuid::is_tsc_invariant() })
}

/// What `--verbose` says before the guest starts.
fn describe(setup: &dyn Setup, placement: &Placement) {
    say_briefly(&format_args!("{}, {} of memory", setup.kind(), layout::size(placement.memory)));
    let seed = placement.seed.map_or("without randomness".to_owned(), |seed| format!("--aslr-seed {seed:x}"));
    say_briefly(&format_args!("load bias {:#x}, {seed}", placement.load_bias));
    let Described { infos, ways, .. } = setup.devices();
    for ((info, way), declared) in infos.iter().zip(ways).zip(&setup.manifest().devices) {
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
