//! A program of this project's ABI that is linked with this library and runs in its process: for debuggers, sanitizers and tests.
//!
//! Options, devices, console, clock, signals and the report are those of a guest, and served by the same code: its doorbell is a call
//! of [`Host::ring`]. What is left out is what keeps a guest apart: KVM, page tables, its own addresses and memory. So `--mem` is only what
//! the program is told, `--kvm` and `--aslr-seed` mean nothing, and nothing ends a program that computes without ever ringing, `--timeout`
//! included.

use crate::abi::Stop;
use crate::abi::setup::Counter;
use crate::abi::ukvm::boot::BootBlock;
use crate::abi::ukvm::dispatch::{Dispatch, Parts};
use crate::abi::ukvm::setup::{check, memory_size};
use crate::attach::attach;
use crate::bind::bind;
use crate::cli::{self, Command};
use crate::conclusion::{Conclusion, print};
use crate::config::Config;
use crate::device::block::Mapping;
use crate::device::console::Console;
use crate::device::open::{Opened, open_devices};
use crate::elf::{Defect, ElfError, Manifest};
use crate::error::{Error, host};
use crate::fault::{FaultReport, Registers};
use crate::guest::Guest;
use crate::inspect::inspect;
use crate::interrupt::Interrupts;
use crate::layout::{Area, Layout, Rights};
use crate::memory::{Memory, PAGE, PROCESS_END, SharedArea};
use crate::observe::Placement;
use crate::observe::timeline::Timeline;
use crate::outcome::Cause;
use crate::random::Random;
use crate::spin::sleep_exactly;
use crate::stderr::say;
use crate::vm::{check_console, host_memory, possible_size};
use std::mem::take;
use std::process;
use std::sync::Arc;
use std::time::Instant;
use ukvm_abi::doorbell::PORT;
use ukvm_abi::manifest::ManifestView;
use ukvm_abi::ring::{AREA_SIZE, MonitorRing, Shape};

/// What serves the program.
///
/// It belongs to the thread that made it: that thread's signals interrupt it.
#[derive(Debug)]
pub struct Host {
    guest: Guest,
    conclusion: Conclusion,
    /// Where the boot information, the clock page and the rings are; the first is at its beginning.
    shared: Memory,
    /// Read-only disks.
    _mappings: Vec<Option<Mapping>>,
}

impl Host {
    /// Serves the program whose manifest is `descriptor` (what its note would hold) as the options of this process's command line say;
    /// the program's own arguments come behind them, where that may be misread after `--`. Where it cannot, or where only a text was
    /// asked for, says so and ends the process, as `ukvm-run` does.
    #[must_use]
    pub fn of_command_line(descriptor: &[u8]) -> Self {
        // As the standard library does before a `main` of its own: who reads no more is an error of a write, and not the end.
        // SAFETY: to ignore a signal is no handler that anything could be wrong with.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        Self::start(descriptor).unwrap_or_else(|end| exit(end))
    }

    /// `Err`: it ends with this status, or for this reason.
    fn start(descriptor: &[u8]) -> Result<Self, Result<u8, Error>> {
        let words: Vec<_> = std::env::args_os().collect();
        let (config, report) = match cli::parse_hosted(&words, Instant::now()).map_err(Err)? {
            Command::Run { config, report } => (*config, report),
            Command::Attach { console } => return Err(attach(&console)),
            Command::Inspect { program } => return Err(inspect(&program).and_then(|text| print(&text))),
            Command::Print(text) => return Err(print(&text)),
        };
        let conclusion = Conclusion::new(&config, report.as_deref()).map_err(Err)?;
        match serve(config, descriptor) {
            Ok((guest, shared, mappings)) => Ok(Self { guest, conclusion, shared, _mappings: mappings }),
            Err(error) => Err(conclusion.draw(Err(error))),
        }
    }

    /// The address of the boot information, which stays there as long as this.
    #[must_use]
    pub fn boot_info(&self) -> u64 {
        self.shared.host_address()
    }

    /// The program has rung the doorbell with `value`.
    ///
    /// # Errors
    ///
    /// A [`Stop`] where it is not to go on; then call [`end`](Self::end).
    pub fn ring(&mut self, value: u32) -> Result<(), Stop> {
        self.guest.out(PORT, 4, value)
    }

    /// Writes the report, says why the program has ended, and ends the process.
    pub fn end(self, stop: Stop) -> ! {
        let cause = match stop {
            Stop::Ended(cause) => cause,
            Stop::Fault(fault) => {
                let (layout, memory) = self.guest.abi.guest();
                // Of registers, which a virtual machine would have had, nothing is known.
                let registers = Registers::default();
                Cause::Fault(Box::new(FaultReport::new(fault, registers, layout, memory, |_| None, |_| None)))
            }
        };
        exit(self.conclusion.draw(Ok(self.guest.end(cause))))
    }
}

fn exit(end: Result<u8, Error>) -> ! {
    let status = end.unwrap_or_else(|error| {
        say(&error, None);
        error.status()
    });
    process::exit(status.into())
}

/// The same sequence as [`Vm::new`](crate::vm::Vm::new), without what makes a virtual machine.
fn serve(mut config: Config, descriptor: &[u8]) -> Result<(Guest, Memory, Vec<Option<Mapping>>), Error> {
    let mut timeline = Timeline::since(config.started);
    timeline.mark("options");
    let view = ManifestView::parse(descriptor)
        .map_err(|error| ElfError::new(&config.program, Defect::Manifest(error)))?;
    let manifest = Manifest::from(view);
    check(&config)?;
    let size = memory_size(config.memory, &manifest);
    let size = possible_size(size, manifest.min_memory, host_memory())?;
    timeline.mark("program checked");

    let mut interrupts = Interrupts::new(true).map_err(|error| host("catch signals", &error))?;
    check_console(&config)?;
    let console = Console::new(&config.console, &mut interrupts)?;
    let bindings = bind(&manifest, take(&mut config.nets), take(&mut config.disks))?;
    let Opened { infos, devices, mappings, ways: _ } = open_devices(&manifest, bindings, size)?;
    timeline.mark("devices opened");

    let random = Random::new(config.aslr).map_err(|error| host("get random numbers", &error))?;
    let seed = random.guest_seed().map_err(|error| host("get random numbers", &error))?;
    let boot = BootBlock::new(&config.arguments, &config.environment, &infos, console.flags(), seed);
    let info = boot.size().next_multiple_of(PAGE);
    let shared = Memory::new(info + PAGE + AREA_SIZE as u64)
        .map_err(|error| host("get memory for the rings", &error))?;
    let layout = layout(shared.host_address(), info, size, &mappings);
    let memory = Arc::new(Memory::of_this_process());
    boot.write(&memory, &layout, Shape::DEFAULT)
        .map_err(|error| host("write the boot information", &error))?;
    let area = |range| SharedArea::new(&memory, range).map_err(|error| host("reach the rings", &error));
    // A counter that is no clock: each reading is a call then, which costs less here than to measure the counter's rate.
    let counter = Counter { khz: 0, offset: 0, usable: false };
    let dispatch = Dispatch::new(Parts {
        clock: counter.page(area(&layout.clock)?),
        ring: MonitorRing::new(area(&layout.rings)?, Shape::DEFAULT),
        memory,
        layout,
        console,
        devices,
        interrupts,
        grace: config.grace,
    });
    let placement = Placement { memory: size, ..Placement::default() };
    let mut guest = Guest::new(Box::new(dispatch), &manifest, timeline, placement);
    // Deadlines are kept all the same where this is refused, only later.
    let _ = sleep_exactly();
    guest.arm(config.timeout)?;
    Ok((guest, shared, mappings))
}

/// Where what is: all of the process is the program's, and what it shares with the host begins at `start`, with `info` bytes of boot
/// information.
fn layout(start: u64, info: u64, memory: u64, mappings: &[Option<Mapping>]) -> Layout {
    let clock = start + info;
    let rings = clock + PAGE;
    let of_mapping = |mapping: &Option<Mapping>| {
        mapping
            .as_ref()
            .map_or(0..0, |mapping| mapping.host_address()..mapping.host_address() + mapping.size())
    };
    Layout {
        slide: 0,
        bias: 0,
        memory,
        image: 0..0,
        info: start..clock,
        clock: clock..rings,
        rings: rings..rings + AREA_SIZE as u64,
        stack: 0..0,
        small_heap: 0..0,
        // As large as it would be; the program's allocator is the host's.
        heap: 0..memory,
        tables: 0..0,
        areas: vec![Area { gpa: PAGE..PROCESS_END, rights: Rights::WRITE }],
        mappings: mappings.iter().map(of_mapping).collect(),
    }
}
