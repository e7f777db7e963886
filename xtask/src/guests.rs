//! Builds the guests: the example unikernels and those of the test suite.

use crate::cargo::{self, Executable};
use anyhow::{Context, Result, bail};
use iced_x86::{Code, Decoder, DecoderOptions};
use object::{Object, ObjectSection, SectionKind};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Builds every guest, and puts each where [`directory`] says, as `NAME.elf`, named after its binary target. Gives the files
/// in the order of their names.
///
/// # Errors
///
/// Where cargo fails, two guests have one name, or an example contains a system call: a unikernel has nobody to call, so
/// code that does so came in by a dependency that was built for Linux.
pub fn build() -> Result<Vec<PathBuf>> {
    let programs =
        cargo::build(&cargo::root().join("guest-runtime"), &["--release", "--workspace", "--bins"], &[])?;
    let directory = directory();
    fs::create_dir_all(&directory).with_context(|| format!("{} cannot be created", directory.display()))?;
    let mut built: BTreeMap<PathBuf, Executable> = BTreeMap::new();
    for program in programs {
        let file = directory.join(&program.name).with_added_extension("elf");
        if let Some(other) = built.insert(file, program) {
            bail!("two guests are named {}; rename the one in {}", other.name, other.manifest.display());
        }
    }
    for (file, program) in &built {
        let bytes =
            fs::read(&program.path).with_context(|| format!("{} cannot be read", program.path.display()))?;
        if !is_of_the_test_suite(&program.manifest) {
            check_for_system_calls(&bytes).with_context(|| format!("in the guest {}", program.name))?;
        }
        replace(file, &bytes).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    remove_others(&directory, "elf", |file| built.contains_key(file))?;
    Ok(built.into_keys().collect())
}

/// Where the guests are put: `guests` in the target directory.
#[must_use]
pub fn directory() -> PathBuf {
    cargo::target_directory().join("guests")
}

/// Whether a package belongs to the test suite, whose guests do on purpose what a guest may not.
fn is_of_the_test_suite(manifest: &Path) -> bool {
    manifest.starts_with(cargo::root().join("tests"))
}

/// Writes a file whole or not at all, and only if it changes, so that a guest that runs is not disturbed.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let new = file.with_added_extension(std::process::id().to_string());
    fs::write(&new, bytes)?;
    fs::rename(&new, file)
}

/// Removes guests whose source is gone: files with the extension that `is_built` does not know.
pub(crate) fn remove_others(
    directory: &Path,
    extension: &str,
    is_built: impl Fn(&Path) -> bool,
) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) && !is_built(&path) {
            fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))?;
        }
    }
    Ok(())
}

/// Fails where an executable section of the ELF file decodes to an instruction that calls a kernel.
fn check_for_system_calls(bytes: &[u8]) -> Result<()> {
    let file = object::File::parse(bytes)?;
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        if let Some(address) = system_call(section.data()?, section.address()) {
            bail!("there is a system call at {address:#x}, which belongs into no unikernel");
        }
    }
    Ok(())
}

/// The address of the first instruction that calls a kernel, in code that starts at `address`.
fn system_call(code: &[u8], address: u64) -> Option<u64> {
    Decoder::with_ip(64, code, address, DecoderOptions::NONE)
        .iter()
        .find(|instruction| {
            matches!(instruction.code(), Code::Syscall | Code::Sysenter)
                // Linux also answers this interrupt.
                || (instruction.code() == Code::Int_imm8 && instruction.immediate8() == 0x80)
        })
        .map(|instruction| instruction.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_are_found_as_instructions_only() {
        assert_eq!(system_call(&[0x90, 0x0f, 0x05, 0xc3], 0x1000), Some(0x1001));
        assert_eq!(system_call(&[0x0f, 0x34], 0), Some(0));
        assert_eq!(system_call(&[0xcd, 0x80], 0), Some(0));
        // mov eax, 0x050f90; int 0x81; ret
        assert_eq!(system_call(&[0xb8, 0x90, 0x0f, 0x05, 0x00, 0xcd, 0x81, 0xc3], 0), None);
    }

    #[test]
    fn a_program_for_linux_is_recognised() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let reason = check_for_system_calls(&own).unwrap_err().to_string();
        assert!(reason.starts_with("there is a system call at 0x"), "{reason}");
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let directory = std::env::temp_dir().join(format!("ukvm-guests-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("a.elf");
        for content in [&b"one"[..], b"two", b"two"] {
            replace(&file, content).unwrap();
            assert_eq!(fs::read(&file).unwrap(), content);
        }
        fs::write(directory.join("old.elf"), "").unwrap();
        fs::write(directory.join("note"), "").unwrap();
        remove_others(&directory, "elf", |built| built == file).unwrap();
        let mut left: Vec<_> = fs::read_dir(&directory).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.elf", "note"]);
        fs::remove_dir_all(&directory).unwrap();
    }
}
