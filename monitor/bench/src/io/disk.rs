//! The file that the disk is, and reading it phase by phase.

use super::subject::Subject;
use crate::error::Error;
use crate::session::Session;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Bytes of the file: more than the caches of a core hold, little enough to be read once in each turn.
const SIZE: usize = 16 << 20;

/// A file that is removed when this is dropped. All of it is in the page cache.
#[derive(Debug)]
pub(super) struct DiskFile(PathBuf);

impl DiskFile {
    pub(super) fn create(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(format!("ukvm-bench-{}.img", std::process::id()));
        let disk = Self(path);
        let written = File::create(&disk.0).and_then(|mut file| {
            // No holes: no two pages are the same.
            let mut page = [0_u8; 4096];
            for number in 0..SIZE / page.len() {
                page.fill(number as u8);
                page[..8].copy_from_slice(&number.to_le_bytes());
                file.write_all(&page)?;
            }
            // What is dirty would be written some time later, in the middle of a measurement.
            file.sync_all()
        });
        written.map_err(|error| Error::output(&disk.0, &error))?;
        Ok(disk)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Waits until nobody has it locked: the kernel may end the io_uring of a process, and close what belongs to it, some time
    /// after the process.
    pub(super) fn wait_until_free(&self, session: &Session) -> Result<(), Error> {
        let start = Instant::now();
        let file = File::open(&self.0).map_err(|error| Error::output(&self.0, &error))?;
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            if session.is_interrupted() {
                return Err(Error::interrupted());
            }
            if start.elapsed() > session.patience {
                let path = self.0.display();
                return Err(Error::host(format!("{path} stays locked; look who uses it, and start again")));
            }
            sleep(Duration::from_millis(1));
        }
        // Closing it unlocks it.
        Ok(())
    }

    /// Why it cannot be read past the page cache, if it cannot.
    pub(super) fn why_not_direct(&self) -> Option<String> {
        let opened = open(&self.0, OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty());
        let error = opened.err()?;
        let directory = self.0.parent().unwrap_or(Path::new("/")).display();
        Some(format!(
            "the file system of {directory} has no O_DIRECT ({error}); name another with --directory"
        ))
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        // What is not there any more needs no removing.
        let _ = fs::remove_file(&self.0);
    }
}

/// The time of a request in each phase, in nanoseconds: from the line before to its own, by how many there were. `None` where two
/// lines were seen at once, because this process had no processor in between.
pub(super) fn phases(
    subject: &mut Subject,
    names: &[&str],
    session: &Session,
) -> Result<Option<Vec<f64>>, Error> {
    let mut times = Vec::with_capacity(names.len());
    let mut last = subject.ready_at;
    for name in names {
        let (at, line) = subject.line(session)?;
        let count: Option<f64> = line.strip_prefix(name).and_then(|count| count.trim().parse().ok());
        let Some(count) = count.filter(|count| *count > 0.0) else {
            return Err(subject.wrong(&format!("said \"{line}\" instead of what it did in phase {name}")));
        };
        if at == last {
            return Ok(None);
        }
        times.push((at - last).as_nanos() as f64 / count);
        last = at;
    }
    Ok(Some(times))
}
