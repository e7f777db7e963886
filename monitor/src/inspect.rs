//! `--inspect`: what a program is and needs, for people.

use crate::abi::setup;
use crate::elf::{Access, Declared, Manifest, Rights};
use crate::error::Error;
use crate::layout::size;
use std::fmt::{self, Display};
use std::ops::Range;
use std::path::Path;
use ukvm_abi::manifest::DeviceKind;

/// Opens the program and describes it: a text of several lines.
///
/// # Errors
///
/// Where the file cannot be read or is not a unikernel that this monitor can run.
pub fn inspect(program: &Path) -> Result<String, Error> {
    let setup = setup::open(program)?;
    let facts = Facts {
        program,
        kind: setup.kind(),
        abi: setup.abi(),
        entry: setup.link_entry(),
        memory: setup.memory_size(None)?,
        stack: setup.stack_size(),
        manifest: setup.manifest(),
        pages: &setup.pages(),
    };
    Ok(facts.to_string())
}

/// What there is to tell of a program.
struct Facts<'a> {
    program: &'a Path,
    kind: &'static str,
    abi: &'static str,
    entry: u64,
    /// Guest memory without `--mem`.
    memory: u64,
    /// `None`: the rest of the memory.
    stack: Option<u64>,
    manifest: &'a Manifest,
    /// Link-time addresses and rights once relocation is done.
    pages: &'a [(Range<u64>, Rights)],
}

impl Display for Facts<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { abi_version, min_memory, devices, .. } = self.manifest;
        writeln!(to, "{}", self.program.display())?;
        writeln!(to, "  kind     {}", self.kind)?;
        writeln!(to, "  ABI      {}, version {abi_version}", self.abi)?;
        writeln!(to, "  entry    {:#x}", self.entry)?;
        let memory = size(self.memory);
        match min_memory {
            0 => writeln!(to, "  memory   any; {memory} without --mem")?,
            least => writeln!(to, "  memory   at least {}; {memory} without --mem", size(*least))?,
        }
        if let Some(stack) = self.stack {
            writeln!(to, "  stack    {}", size(stack))?;
        }
        self.segments(to)?;
        self.devices(to)?;
        writeln!(to, "\nTo run it:\n  {}", CommandLine { program: self.program, devices })
    }
}

impl Facts<'_> {
    fn segments(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "\nSegments in whole pages, with their rights once it runs:")?;
        let width = self.pages.iter().map(|(range, _)| hex_digits(range.end)).max().unwrap_or(1);
        for (range, rights) in self.pages {
            let bytes = size(range.end.saturating_sub(range.start));
            let write = if rights.write { 'w' } else { '-' };
            let execute = if rights.execute { 'x' } else { '-' };
            writeln!(
                to,
                "  0x{:0width$x} - 0x{:0width$x}  {bytes:>6}  r{write}{execute}",
                range.start, range.end
            )?;
        }
        Ok(())
    }

    fn devices(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let devices = &self.manifest.devices;
        if devices.is_empty() {
            return writeln!(to, "\nIt needs no devices.");
        }
        writeln!(to, "\nDevices:")?;
        let width = devices.iter().map(|device| device.name.len()).max().unwrap_or(0);
        for Declared { kind, access, optional, name, features: _ } in devices {
            let (kind, access) = match (kind, access) {
                (DeviceKind::Net, _) => ("net", ""),
                (DeviceKind::Block, Access::Write) => ("block", "read and written, "),
                (DeviceKind::Block, Access::Read) => ("block", "only read, "),
                (DeviceKind::Block, Access::Unsaid) => ("block", ""),
            };
            let need = if *optional { "optional" } else { "required" };
            writeln!(to, "  {kind:<5}  {name:<width$}  {access}{need}")?;
        }
        Ok(())
    }
}

/// The digits of a number in hexadecimal.
fn hex_digits(number: u64) -> usize {
    number.checked_ilog2().map_or(1, |log| log as usize / 4 + 1)
}

/// A command line that binds every device, with made-up names for what the host has.
struct CommandLine<'a> {
    program: &'a Path,
    devices: &'a [Declared],
}

impl Display for CommandLine<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "ukvm-run")?;
        let of_kind = |kind| self.devices.iter().filter(move |device| device.kind == kind);
        // The only device of its kind needs no name.
        let prefix = |device: &Declared| match of_kind(device.kind).count() {
            1 => String::new(),
            _ => format!("{}=", device.name),
        };
        for (number, device) in of_kind(DeviceKind::Net).enumerate() {
            write!(to, " --net {}tap{number}", prefix(device))?;
        }
        for device in of_kind(DeviceKind::Block) {
            let read_only = if device.access == Access::Read { ",ro" } else { "" };
            write!(to, " --disk {}{}.img{read_only}", prefix(device), device.name)?;
        }
        write!(to, " {}", Quoted(self.program))
    }
}

/// A path as it can be pasted into a shell.
struct Quoted<'a>(&'a Path);

impl Display for Quoted<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.display().to_string();
        let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
        // A path that begins so would be taken for an option.
        let directory = if text.starts_with('-') { "./" } else { "" };
        if text.chars().all(is_plain) {
            write!(to, "{directory}{text}")
        } else {
            write!(to, "'{directory}{}'", text.replace('\'', r"'\''"))
        }
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
