//! The file of a run report.

use super::{Memory, Report};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The file of a run report, opened before the guest starts so that a bad path is an error before anything runs.
///
/// It is empty while the guest runs: a report that is not whole was never written.
#[derive(Debug)]
pub struct ReportFile {
    path: PathBuf,
    file: File,
    /// `/proc/self/smaps_rollup` and `/proc/self/status`, where there are such; nothing can be opened later.
    own_memory: [Option<File>; 2],
}

impl ReportFile {
    /// Creates the file, or empties it where it exists and is not one that the guest needs.
    ///
    /// # Errors
    ///
    /// Where it cannot be written, or is the program, a disk or the console's file in `config`.
    pub fn create(path: &Path, config: &Config) -> Result<Self, Error> {
        let failed = |error: &std::io::Error| {
            Error::new(
                ErrorKind::of_file(error),
                format!(
                    "--report: {} cannot be written ({error}); name a file in a directory of yours",
                    path.display()
                ),
            )
        };
        // It is emptied only once it is known to be no disk.
        let mut options = OpenOptions::new();
        let file =
            options.write(true).create(true).truncate(false).open(path).map_err(|error| failed(&error))?;
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        if config.needs(&metadata) {
            return Err(Error::new(
                ErrorKind::BadConfig,
                format!(
                    "--report: {} is the program or a disk of the guest; name another file",
                    path.display()
                ),
            ));
        }
        if config.prints_to(&metadata) {
            return Err(Error::new(
                ErrorKind::BadConfig,
                format!("--report: {} is the console's file; give each a file of its own", path.display()),
            ));
        }
        if metadata.is_file() {
            file.set_len(0).map_err(|error| failed(&error))?;
        }
        let own_memory = ["/proc/self/smaps_rollup", "/proc/self/status"].map(|path| File::open(path).ok());
        Ok(Self { path: path.into(), file, own_memory })
    }

    /// Writes the report, with the memory that this process now has.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn write(&mut self, mut report: Report) -> Result<(), Error> {
        let [rollup, status] =
            self.own_memory.each_mut().map(|file| file.as_mut().map(text).unwrap_or_default());
        report.memory = Memory {
            monitor_pss: field(&rollup, "Pss:"),
            monitor_rss: field(&status, "VmRSS:"),
            monitor_rss_max: field(&status, "VmHWM:"),
            ..report.memory
        };
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(
                ErrorKind::HostIo,
                format!(
                    "--report: {} could not be written ({error}); make room there or name another file",
                    self.path.display()
                ),
            )
        };
        let mut bytes = serde_json::to_vec_pretty(&report).map_err(|error| failed(&error))?;
        bytes.push(b'\n');
        self.file.write_all(&bytes).map_err(|error| failed(&error))
    }
}

/// All that is in a file of `/proc`, or nothing.
fn text(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    if read.is_ok() { text } else { String::new() }
}

/// The bytes in a line `NAME  123 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_of_proc_are_kibibytes() {
        let text = "Rss:                1000 kB\nPss:                 123 kB\nPss_Dirty:  5 kB\n";
        assert_eq!(field(text, "Pss:"), Some(123 * 1024));
        assert_eq!(field(text, "Pss_Dirty:"), Some(5 * 1024));
        assert_eq!(field(text, "VmHWM:"), None);
        assert_eq!(field("Pss: x kB", "Pss:"), None);
        assert_eq!(field("Pss: 18446744073709551615 kB", "Pss:"), None);
    }
}
