//! `ukvm-run` in odd surroundings, for what no command line can bring about. The first argument says which, by commas where they
//! are several; the others are those of `ukvm-run`:
//!
//! - `slow-disk`: every request to a disk hangs for a second;
//! - `no-io-uring`: the host forbids io_uring, as many containers do;
//! - `no-flush`: the host fails to make anything durable (`fdatasync`);
//! - `lost-cache`: what is written to a disk stays in the file `PATH.cache` until a flush brings it to `PATH`, which so holds what a
//!   loss of power would leave;
//! - `broken-disk`: as long as there is a file `PATH.broken`, the requests to the disk that it names (`read`, `write`, `flush`) fail;
//! - `no-huge-pages`: the host gives memory in pages of 4 KiB only, so that the process has as many as the guest has touched;
//! - `writable-text`: the page tables let the guest write its text, so that only the memory slot below them protects it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use ukvm::cli::{self, Command};
use ukvm::config::{Config, DiskConfig, DiskSource};
use ukvm::device::block::{BlockBackend, FileBackend};
use ukvm::error::{Error, ErrorKind};
use ukvm::outcome::Cause;
use ukvm::vm::Vm;
use vm_memory::VolatileSlice;

/// How long each request takes.
const DELAY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("odd-run: {error}");
            ExitCode::from(error.status())
        }
    }
}

fn run() -> Result<u8, Error> {
    let mut arguments = std::env::args_os().skip(1);
    let oddities = arguments.next().unwrap_or_default();
    let line = [OsString::from("odd-run")].into_iter().chain(arguments);
    let Command::Run { mut config, .. } = cli::parse(line, Instant::now())? else {
        return Err(Error::new(ErrorKind::Usage, "this runs guests, and does nothing else"));
    };
    for oddity in oddities.to_string_lossy().split(',') {
        match oddity {
            "slow-disk" => replace_disks(&mut config, |path, disk| {
                Ok(Box::new(Slow(FileBackend::open(path, disk.read_only, disk.direct)?)))
            })?,
            "lost-cache" => {
                replace_disks(&mut config, |path, disk| Ok(Box::new(LostCache::open(path, disk)?)))?;
            }
            "broken-disk" => replace_disks(&mut config, |path, disk| {
                let file = FileBackend::open(path, disk.read_only, disk.direct)?;
                Ok(Box::new(Broken { file, faults: path.with_added_extension("broken") }))
            })?,
            "no-io-uring" => forbid(libc::SYS_io_uring_setup, libc::EPERM),
            "no-flush" => forbid(libc::SYS_fdatasync, libc::EIO),
            "no-huge-pages" => forbid_huge_pages(),
            "writable-text" => config.test_writable_text = true,
            _ => return Err(Error::new(ErrorKind::Usage, "the first argument is none of the oddities")),
        }
    }
    let outcome = Vm::new(*config)?.run();
    if let Cause::Fault(report) = &outcome.cause {
        eprintln!("odd-run: {report}");
    }
    Ok(outcome.cause.status())
}

/// Puts what `open` makes of a disk's path in its place.
fn replace_disks(
    config: &mut Config,
    open: impl Fn(&Path, &DiskConfig) -> Result<Box<dyn BlockBackend>, Error>,
) -> Result<(), Error> {
    for disk in &mut config.disks {
        if let DiskSource::Path(path) = &disk.source {
            let backend = open(path, disk)?;
            disk.source = DiskSource::Backend(backend);
        }
    }
    Ok(())
}

/// Has this process get no huge pages, whatever it asks for (`PR_SET_THP_DISABLE`, prctl(2)).
fn forbid_huge_pages() {
    // SAFETY: the call takes no pointer.
    let done = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

/// Has this process and its threads get `errno` for a system call (Linux, `userspace-api/seccomp_filter.rst`).
fn forbid(call: libc::c_long, errno: i32) {
    let statement = |code: u32, k: u32, jt, jf| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        // The call's number is the first field of `struct seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the call takes no pointer.
    let privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the call reads the program, which is alive.
    let filtered =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!((privileges, filtered), (0, 0), "{}", io::Error::last_os_error());
}

/// A file that hangs.
#[derive(Debug)]
struct Slow(FileBackend);

impl BlockBackend for Slow {
    fn capacity(&self) -> u64 {
        self.0.capacity()
    }

    fn block_size(&self) -> u32 {
        self.0.block_size()
    }

    fn is_read_only(&self) -> bool {
        self.0.is_read_only()
    }

    // Nothing is there without waiting: `read_now` is the trait's own.

    fn read(&self, into: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        std::thread::sleep(DELAY);
        self.0.read(into, offset)
    }

    fn write(&self, from: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        std::thread::sleep(DELAY);
        self.0.write(from, offset)
    }

    fn flush(&self) -> io::Result<()> {
        std::thread::sleep(DELAY);
        self.0.flush()
    }

    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        std::thread::sleep(DELAY);
        self.0.write_zeroes(offset, length)
    }
}

/// A file that fails at times.
#[derive(Debug)]
struct Broken {
    file: FileBackend,
    faults: PathBuf,
}

impl Broken {
    fn check(&self, request: &str) -> io::Result<()> {
        match std::fs::read_to_string(&self.faults) {
            Ok(faults) if faults.contains(request) => Err(io::Error::from_raw_os_error(libc::EIO)),
            _ => Ok(()),
        }
    }
}

impl BlockBackend for Broken {
    fn capacity(&self) -> u64 {
        self.file.capacity()
    }

    fn block_size(&self) -> u32 {
        self.file.block_size()
    }

    fn is_read_only(&self) -> bool {
        self.file.is_read_only()
    }

    // All reads come this way: `read_now` is the trait's own.

    fn read(&self, into: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        self.check("read")?;
        self.file.read(into, offset)
    }

    fn write(&self, from: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        self.check("write")?;
        self.file.write(from, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.check("flush")?;
        self.file.flush()
    }

    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        self.file.write_zeroes(offset, length)
    }
}

/// A file behind a cache that is lost with the power.
#[derive(Debug)]
struct LostCache {
    cache: FileBackend,
    cache_path: PathBuf,
    file: File,
}

impl LostCache {
    /// How long a flush takes: long enough that others are asked for meanwhile.
    const FLUSH: Duration = Duration::from_millis(20);

    fn open(path: &Path, disk: &DiskConfig) -> Result<Self, Error> {
        let cache_path = path.with_added_extension("cache");
        let failed = |error: io::Error| Error::new(ErrorKind::HostIo, format!("{}: {error}", path.display()));
        std::fs::copy(path, &cache_path).map_err(failed)?;
        let file = File::options().write(true).open(path).map_err(failed)?;
        Ok(Self { cache: FileBackend::open(&cache_path, disk.read_only, disk.direct)?, cache_path, file })
    }
}

impl BlockBackend for LostCache {
    fn capacity(&self) -> u64 {
        self.cache.capacity()
    }

    fn block_size(&self) -> u32 {
        self.cache.block_size()
    }

    fn is_read_only(&self) -> bool {
        self.cache.is_read_only()
    }

    fn direct(&self) -> Option<(BorrowedFd<'_>, usize)> {
        self.cache.direct()
    }

    fn read(&self, into: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        self.cache.read(into, offset)
    }

    fn write(&self, from: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        self.cache.write(from, offset)
    }

    fn flush(&self) -> io::Result<()> {
        // What was written before, and nothing that comes meanwhile.
        let bytes = std::fs::read(&self.cache_path)?;
        std::thread::sleep(Self::FLUSH);
        self.file.write_all_at(&bytes, 0)
    }

    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        self.cache.write_zeroes(offset, length)
    }
}
