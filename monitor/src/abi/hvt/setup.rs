//! The start of a Solo5 hvt unikernel.

use super::boot::BootBlock;
use super::calls::{Calls, Parts};
use super::devices::{Disk, HvtDevice};
use super::image::Image;
use super::layout::{self, RingPlace};
use crate::abi::Abi;
use crate::abi::setup::{self, Host};
use crate::bind::{Binding, bind};
use crate::config::{Aslr, Config, ConsoleConfig, DiskConfig, NetConfig, NetRing};
use crate::device::console::Console;
use crate::device::net::Net;
use crate::device::open::{Described, Opened, present, warn};
use crate::elf::symbols::Symbols;
use crate::elf::{Declared, Manifest};
use crate::error::{Error, ErrorKind, host};
use crate::layout::{Layout, Rights};
use crate::memory::Memory;
use crate::random::Random;
use std::ops::Range;
use ukvm_abi::boot_info::{DEVICE_READ_ONLY, DeviceInfo};

/// A program, and what has become of it so far.
#[derive(Debug)]
pub struct Setup {
    image: Image,
    opened: Opened<HvtDevice>,
    boot: Option<BootBlock>,
    /// Whether the guest goes on when nobody reads its output.
    reader_may_go: bool,
}

impl Setup {
    /// The start of a program that is checked.
    #[must_use]
    pub fn new(image: Image) -> Self {
        Self { image, opened: Opened::default(), boot: None, reader_may_go: false }
    }
}

/// Opens what stands for a device, and describes it; `None` where nothing does.
fn open(declared: &Declared, binding: Binding) -> Result<Option<(HvtDevice, DeviceInfo)>, Error> {
    let mut info = present(declared);
    let device = match binding {
        Binding::Net(config) => {
            let net = Net::open_without_header(&config)?;
            warn(&net);
            (info.mac, info.mtu) = (net.mac(), net.mtu());
            HvtDevice::Net(Box::new(net))
        }
        Binding::Disk { config, .. } => {
            let disk = Disk::open(config)?;
            info.flags |= if disk.read_only() { DEVICE_READ_ONLY } else { 0 };
            (info.capacity, info.block_size) = (disk.capacity(), disk.block_size());
            HvtDevice::Disk(disk)
        }
        // The ABI has no optional devices.
        Binding::Absent => return Ok(None),
    };
    Ok(Some((device, info)))
}

impl setup::Setup for Setup {
    fn manifest(&self) -> &Manifest {
        self.image.manifest()
    }

    fn kind(&self) -> &'static str {
        "Solo5 hvt unikernel"
    }

    fn abi(&self) -> &'static str {
        "Solo5 hvt"
    }

    fn link_entry(&self) -> u64 {
        self.image.entry()
    }

    fn pages(&self) -> Vec<(Range<u64>, Rights)> {
        self.image.segments().iter().filter_map(|it| Some((it.pages.clone(), it.rights?))).collect()
    }

    fn stack_size(&self) -> Option<u64> {
        None
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        let sentence = if !config.environment.is_empty() {
            "a Solo5 unikernel has no environment: remove --env, and give it arguments behind its name"
        } else if matches!(config.console, ConsoleConfig::Descriptors { raw: true, .. }) {
            "a Solo5 unikernel has no console input: remove --raw"
        } else if matches!(config.aslr, Aslr::Seed(_)) {
            "a Solo5 unikernel has fixed addresses: remove --aslr-seed"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::BadConfig, sentence))
    }

    fn memory_size(&self, wanted: Option<u64>) -> Result<u64, Error> {
        Ok(layout::memory_size(wanted)?)
    }

    fn open_devices(
        &mut self,
        nets: Vec<NetConfig>,
        disks: Vec<DiskConfig>,
        _memory: u64,
    ) -> Result<(), Error> {
        let mut bindings = bind(self.image.manifest(), nets, disks)?;
        self.image.notes().preset(&mut bindings);
        for (declared, binding) in self.image.manifest().devices.iter().zip(bindings) {
            let Some((device, info)) = open(declared, binding)? else { continue };
            self.opened.devices.push(device);
            self.opened.infos.push(info);
            self.opened.ways.push("");
            self.opened.mappings.push(None);
        }
        Ok(())
    }

    fn devices(&self) -> Described<'_> {
        self.opened.described()
    }

    fn lay_out(
        &mut self,
        config: &Config,
        memory: u64,
        _console: &Console,
        _random: &mut Random,
    ) -> Result<Layout, Error> {
        self.reader_may_go = config.as_solo5;
        self.boot = Some(BootBlock::new(self.image.notes(), &self.opened.infos, &config.arguments)?);
        let place = match config.net_ring {
            NetRing::Inside => Some(RingPlace::Inside),
            NetRing::Above => Some(RingPlace::Above),
            NetRing::Off => None,
        };
        let ring = place.filter(|_| self.opened.devices.iter().any(HvtDevice::is_net));
        Ok(layout::lay_out(self.image.segments(), memory, ring)?)
    }

    fn load(&self, memory: &mut Memory, _layout: &Layout) -> Result<(), Error> {
        Ok(self.image.load(memory)?)
    }

    fn entry(&self, _layout: &Layout) -> u64 {
        self.image.entry()
    }

    fn start(&mut self, parts: Host) -> Result<Box<dyn Abi>, Error> {
        // Dropped in the reverse order: the console before what tells of those who watch it.
        let Host { interrupts, memory, layout, console, counter, grace: _ } = parts;
        let failed = |error: std::io::Error| host("write the boot information", &error);
        if let Some(boot) = &self.boot {
            boot.write(&memory, &layout, u64::from(counter.khz) * 1000).map_err(failed)?;
        }
        let calls = Calls::new(Parts {
            memory,
            layout,
            segments: self.image.segments().iter().map(|segment| segment.pages.clone()).collect(),
            console,
            devices: std::mem::take(&mut self.opened.devices),
            interrupts,
            reader_may_go: self.reader_may_go,
        });
        Ok(Box::new(calls.map_err(failed)?))
    }

    fn symbols(&self) -> Symbols<'_> {
        self.image.symbols()
    }

    fn was_cut(&self) -> bool {
        self.image.was_cut()
    }
}

#[cfg(test)]
#[path = "setup_tests.rs"]
mod tests;
