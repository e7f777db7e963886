//! The start of a program that is built for this project's ABI.

use super::boot::BootBlock;
use super::dispatch::{Dispatch, Parts};
use crate::abi::Abi;
use crate::abi::setup::{self, Host};
use crate::bind::bind;
use crate::config::{Config, DEFAULT_MEMORY, DiskConfig, NetConfig, NetRing};
use crate::device::Device;
use crate::device::block::Mapping;
use crate::device::console::Console;
use crate::device::open::{Described, Opened, open_devices};
use crate::elf::symbols::Symbols;
use crate::elf::{Defect, ElfError, Image, Manifest};
use crate::error::{Error, ErrorKind, host};
use crate::layout::{DEFAULT_STACK, Layout, Rights, Wishes};
use crate::memory::{Memory, PAGE, SharedArea};
use crate::random::Random;
use std::ops::Range;
use ukvm_abi::ring::{AREA_SIZE, HEADER_SIZE, MonitorRing, Shape};

/// Bytes of the rings that every start touches: the header, and a page of submissions.
const FIRST_TOUCHED: u64 = HEADER_SIZE as u64 + PAGE;

/// A program, and what has become of it so far.
#[derive(Debug)]
pub struct Setup {
    image: Image,
    opened: Opened<Option<Box<dyn Device>>>,
    boot: Option<BootBlock>,
}

impl Setup {
    /// The start of a program that is checked.
    #[must_use]
    pub fn new(image: Image) -> Self {
        Self { image, opened: Opened::default(), boot: None }
    }

    fn wishes(&self, memory: u64, info: u64) -> Wishes {
        let size = |mapping: &Option<Mapping>| mapping.as_ref().map_or(0, Mapping::size);
        Wishes {
            memory,
            span: self.image.span(),
            pages: self.image.pages(),
            movable: self.image.is_pie(),
            alignment: self.image.alignment(),
            info,
            rings: AREA_SIZE as u64,
            stack: self.image.manifest().stack_size,
            mappings: self.opened.mappings.iter().map(size).collect(),
        }
    }
}

/// Checks that the user asks for nothing that this ABI cannot tell its guests.
///
/// # Errors
///
/// A sentence about the first such option.
pub(crate) fn check(config: &Config) -> Result<(), Error> {
    let bad = |sentence| Err(Error::new(ErrorKind::BadConfig, sentence));
    if config.net_ring != NetRing::Inside {
        return bad("only Solo5 unikernels have a net ring: remove --net-ring or --no-net-ring");
    }
    if config.disks.iter().any(|disk| disk.block_size.is_some()) {
        return bad("only disks of Solo5 unikernels have sectors of any size: remove ',sector=' from --disk");
    }
    Ok(())
}

/// Guest memory in bytes, given what the user says.
pub(crate) fn memory_size(wanted: Option<u64>, manifest: &Manifest) -> u64 {
    wanted.unwrap_or(DEFAULT_MEMORY.max(manifest.min_memory))
}

impl setup::Setup for Setup {
    fn manifest(&self) -> &Manifest {
        self.image.manifest()
    }

    fn kind(&self) -> &'static str {
        if self.image.is_pie() { "position-independent program" } else { "fixed-address program" }
    }

    fn abi(&self) -> &'static str {
        "ukvm"
    }

    fn link_entry(&self) -> u64 {
        self.image.entry()
    }

    fn pages(&self) -> Vec<(Range<u64>, Rights)> {
        self.image.pages()
    }

    fn stack_size(&self) -> Option<u64> {
        Some(match self.manifest().stack_size {
            0 => DEFAULT_STACK,
            size => size,
        })
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        if config.as_solo5 {
            return Err(ElfError::new(&config.program, Defect::Solo5NoNote("ABI")).into());
        }
        check(config)
    }

    fn memory_size(&self, wanted: Option<u64>) -> Result<u64, Error> {
        Ok(memory_size(wanted, self.manifest()))
    }

    fn open_devices(
        &mut self,
        nets: Vec<NetConfig>,
        disks: Vec<DiskConfig>,
        memory: u64,
    ) -> Result<(), Error> {
        let bindings = bind(self.image.manifest(), nets, disks)?;
        self.opened = open_devices(self.image.manifest(), bindings, memory)?;
        Ok(())
    }

    fn devices(&self) -> Described<'_> {
        self.opened.described()
    }

    fn lay_out(
        &mut self,
        config: &Config,
        memory: u64,
        console: &Console,
        random: &mut Random,
    ) -> Result<Layout, Error> {
        let seed = random.guest_seed().map_err(|error| host("get random numbers", &error))?;
        let (arguments, environment) = (&config.arguments, &config.environment);
        let boot = BootBlock::new(arguments, environment, &self.opened.infos, console.flags(), seed);
        let wishes = self.wishes(memory, boot.size());
        self.boot = Some(boot);
        Ok(Layout::new(&wishes, |below| random.below(below))?)
    }

    fn load(&self, memory: &mut Memory, layout: &Layout) -> Result<(), Error> {
        // The pages that every start touches come in one go.
        memory.populate(&(layout.info.start..layout.rings.start + FIRST_TOUCHED));
        self.image.load(memory, layout.image.start, layout.bias)?;
        let written = self.boot.as_ref().map_or(Ok(()), |boot| boot.write(memory, layout, Shape::DEFAULT));
        written.map_err(|error| host("write the boot information", &error))
    }

    fn entry(&self, layout: &Layout) -> u64 {
        self.image.entry().wrapping_add(layout.bias)
    }

    fn start(&mut self, parts: Host) -> Result<Box<dyn Abi>, Error> {
        // Dropped in the reverse order: the console before what tells of those who watch it.
        let Host { interrupts, memory, layout, console, counter, grace } = parts;
        let clock =
            SharedArea::new(&memory, &layout.clock).map_err(|error| host("reach the clock page", &error))?;
        let rings =
            SharedArea::new(&memory, &layout.rings).map_err(|error| host("reach the rings", &error))?;
        Ok(Box::new(Dispatch::new(Parts {
            ring: MonitorRing::new(rings, Shape::DEFAULT),
            memory,
            layout,
            console,
            devices: std::mem::take(&mut self.opened.devices),
            clock: counter.page(clock),
            interrupts,
            grace,
        })))
    }

    fn symbols(&self) -> Symbols<'_> {
        Symbols::read(&self.image)
    }

    fn was_cut(&self) -> bool {
        self.image.was_cut()
    }
}
