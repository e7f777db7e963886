//! From a program's file to a guest that is ready to run: what the start asks of an ABI, in the order in which it does.

use super::{Abi, hvt, ukvm};
use crate::clock::ClockPage;
use crate::config::{Config, DiskConfig, NetConfig};
use crate::device::console::Console;
use crate::device::open::Described;
use crate::elf::symbols::Symbols;
use crate::elf::{self, Defect, ElfError, Image, Manifest};
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::layout::{Layout, Rights};
use crate::memory::Memory;
use crate::random::Random;
use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A program that is checked, and becomes a guest step by step.
pub trait Setup: Debug {
    /// What the program declares.
    fn manifest(&self) -> &Manifest;

    /// What kind of program it is, in a few words for the user.
    fn kind(&self) -> &'static str;

    /// What its ABI is called.
    fn abi(&self) -> &'static str;

    /// The link-time address of its first instruction.
    fn link_entry(&self) -> u64;

    /// Its pages by their link-time addresses, with their rights once it runs.
    fn pages(&self) -> Vec<(Range<u64>, Rights)>;

    /// Bytes of its stack; `None`: what the program leaves of the memory.
    fn stack_size(&self) -> Option<u64>;

    /// Checks that the user asks for nothing that this ABI cannot tell its guests.
    ///
    /// # Errors
    ///
    /// A sentence about the first such option (78), or that the program is none of those that are wanted (65).
    fn check(&self, config: &Config) -> Result<(), Error>;

    /// Guest memory in bytes, whole pages, given what the user says.
    ///
    /// # Errors
    ///
    /// Where the user says what cannot be.
    fn memory_size(&self, wanted: Option<u64>) -> Result<u64, Error>;

    /// Opens what stands for each device, for a guest with `memory` bytes.
    ///
    /// # Errors
    ///
    /// A sentence about the first that is missing or cannot be opened.
    fn open_devices(
        &mut self,
        nets: Vec<NetConfig>,
        disks: Vec<DiskConfig>,
        memory: u64,
    ) -> Result<(), Error>;

    /// The devices that were opened.
    fn devices(&self) -> Described<'_>;

    /// Decides where everything goes.
    ///
    /// # Errors
    ///
    /// Where there is not enough memory, or the arguments are too long.
    fn lay_out(
        &mut self,
        config: &Config,
        memory: u64,
        console: &Console,
        random: &mut Random,
    ) -> Result<Layout, Error>;

    /// Brings the program and what it is told to where the layout has it.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    fn load(&self, memory: &mut Memory, layout: &Layout) -> Result<(), Error>;

    /// The address of the first instruction.
    fn entry(&self, layout: &Layout) -> u64;

    /// Gives the guest what only a virtual processor can tell, and makes what serves it.
    ///
    /// # Errors
    ///
    /// Where the memory cannot be reached.
    fn start(&mut self, host: Host) -> Result<Box<dyn Abi>, Error>;

    /// The functions that the program's symbol table names.
    fn symbols(&self) -> Symbols<'_>;

    /// Whether its file has become shorter since it was opened.
    fn was_cut(&self) -> bool;
}

/// What serves every guest.
#[derive(Debug)]
pub struct Host {
    /// The guest's memory.
    pub memory: Arc<Memory>,
    /// Where what is in it.
    pub layout: Layout,
    /// The console.
    pub console: Console,
    /// Signals and timers.
    pub interrupts: Interrupts,
    /// The rate of the guest's time stamp counter, and what to add to the host's to get it.
    pub counter: Counter,
    /// How long the guest may take to obey a shutdown notice.
    pub grace: Duration,
}

/// The guest's time stamp counter.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// Its rate in kHz.
    pub khz: u32,
    /// What to add to the host's.
    pub offset: u64,
    /// Whether it runs at that rate always.
    pub usable: bool,
}

impl Counter {
    /// The clock page that tells the guest of it.
    #[must_use]
    pub fn page(self, page: crate::memory::SharedArea) -> ClockPage {
        ClockPage::new(page, self.khz, self.offset, self.usable)
    }
}

/// Opens a program and checks it, for whichever ABI it was built.
///
/// # Errors
///
/// A sentence that says what is wrong with the file.
pub fn open(path: &Path) -> Result<Box<dyn Setup>, ElfError> {
    elf::open(path, |file, header, headers| -> Result<Box<dyn Setup>, Defect> {
        Ok(if hvt::note::is_solo5(&file, headers) {
            Box::new(hvt::setup::Setup::new(hvt::image::Image::check(path, file, header, headers)?))
        } else {
            Box::new(ukvm::setup::Setup::new(Image::check(path, file, header, headers)?))
        })
    })
}
