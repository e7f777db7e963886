//! A file or a block device of the host as a disk, read and written through the host's page cache or, where the user wants it so,
//! past it.

use super::backend::BlockBackend;
use super::direct::{Alignment, Direct};
use crate::device::nowait;
use crate::error::{Error, ErrorKind};
use crate::syscall::{check, read_all, uninterrupted, write_all};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use vm_memory::VolatileSlice;

/// The block size of a disk that is a regular file: what FAT, ext4 and the rest all work with.
const FILE_BLOCK: u32 = 512;

// From linux/fs.h: _IO(0x12, n), and for BLKGETSIZE64 _IOR(0x12, 114, size_t).
const BLKSSZGET: libc::c_ulong = 0x1268;
const BLKDISCARD: libc::c_ulong = 0x1277;
const BLKZEROOUT: libc::c_ulong = 0x127f;
const BLKGETSIZE64: libc::c_ulong = 0x8008_1272;

/// An open, locked file or block device.
#[derive(Debug)]
pub struct FileBackend {
    file: File,
    kind: Kind,
    capacity: u64,
    block_size: u32,
    read_only: bool,
    /// Where reads and writes bypass the page cache.
    direct: Option<Direct>,
    /// Whether the file system knows RWF_NOWAIT, as far as we know.
    knows_nowait: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A regular file that may be on a real disk.
    Regular,
    /// A regular file in memory (tmpfs), where no read waits.
    InMemory,
    /// A regular file on a file system that another machine or a process serves, whose answer may never come.
    Remote,
    /// A block device of the host.
    Device,
}

impl FileBackend {
    /// Opens and locks `path`: against all others to write to it, against writers to read it. `direct`: so that reads and writes bypass
    /// the page cache.
    ///
    /// # Errors
    ///
    /// One sentence where it is missing, not permitted, neither file nor block device, in use, or without direct I/O.
    pub fn open(path: &Path, read_only: bool, direct: bool) -> Result<Self, Error> {
        let label = path.display().to_string();
        let metadata = std::fs::metadata(path).map_err(|error| cannot_open(&label, &error, read_only))?;
        // Before it is opened: opening a FIFO waits, and opening some character devices does something.
        let is_device = check_type(&label, &metadata)?;
        let mut options = OpenOptions::new();
        options.read(true).write(!read_only);
        // On a block device: refused while a file system on it is mounted.
        let exclusive = if is_device && !read_only { libc::O_EXCL } else { 0 };
        options.custom_flags(exclusive | if direct { libc::O_DIRECT } else { 0 });
        let file = options.open(path).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) if direct => no_direct(&label),
            _ => cannot_open(&label, &error, read_only),
        })?;
        Self::of_file(file, &label, read_only, direct)
    }

    /// Locks what descriptor `fd` is open on. The descriptor stays the caller's.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); also where it is not open in a way that serves.
    pub fn of_descriptor(fd: RawFd, read_only: bool, direct: bool) -> Result<Self, Error> {
        let label = format!("fd:{fd}");
        // SAFETY: the call has no preconditions.
        let own = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
        if own < 0 {
            return Err(Error::new(
                ErrorKind::BadConfig,
                format!("disk `{label}` is not open: open it before, as with `{fd}<>disk.img` in a shell"),
            ));
        }
        // SAFETY: `own` is a new descriptor that nobody else knows.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(own) });
        // SAFETY: the call has no preconditions.
        let flags = unsafe { libc::fcntl(own, libc::F_GETFL) };
        let access = flags & libc::O_ACCMODE;
        let usable = access == libc::O_RDWR || (access == libc::O_RDONLY && read_only);
        if !usable || flags & libc::O_PATH != 0 {
            let wanted = if read_only { "for reading" } else { "for reading and writing, or add `,ro`" };
            return Err(Error::new(
                ErrorKind::BadConfig,
                format!("disk `{label}` is open in another way than it is to be used: open it {wanted}"),
            ));
        }
        let bad =
            |advice: &str| Err(Error::new(ErrorKind::BadConfig, format!("disk `{label}` is open {advice}")));
        match flags & libc::O_DIRECT != 0 {
            _ if flags & libc::O_APPEND != 0 => bad("with O_APPEND: open it without"),
            true if !direct => bad("with O_DIRECT: add `,direct`, or open it without"),
            false if direct => bad("without O_DIRECT: remove `,direct`, or open it with that"),
            _ => Self::of_file(file, &label, read_only, direct),
        }
    }

    fn of_file(file: File, label: &str, read_only: bool, direct: bool) -> Result<Self, Error> {
        let failed =
            |error: io::Error| Error::new(ErrorKind::HostIo, format!("cannot use disk `{label}`: {error}"));
        let metadata = file.metadata().map_err(failed)?;
        let is_device = check_type(label, &metadata)?;
        lock(&file, label, read_only)?;
        let (kind, capacity, block_size) = if is_device {
            let (capacity, block_size) = device_size(&file).map_err(failed)?;
            (Kind::Device, capacity, block_size)
        } else {
            (kind_of_file(&file), metadata.len(), FILE_BLOCK)
        };
        let direct = match direct {
            true => Some(Direct::new(Alignment::of(&file).ok_or_else(|| no_direct(label))?)),
            false => None,
        };
        let block_size = direct.as_ref().map_or(block_size, |direct| block_size.max(direct.alignment.offset));
        let knows_nowait = AtomicBool::new(true);
        Ok(Self { file, kind, capacity, block_size, read_only, direct, knows_nowait })
    }

    fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    fn allocate(&self, mode: libc::c_int, offset: u64, length: u64) -> io::Result<()> {
        let mode = mode | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: the call has no preconditions.
        let call = || unsafe {
            libc::fallocate(self.fd(), mode, offset as libc::off_t, length as libc::off_t) as libc::ssize_t
        };
        uninterrupted(call).map(drop)
    }

    fn device_range(&self, request: libc::c_ulong, offset: u64, length: u64) -> io::Result<()> {
        let range = [offset, length];
        // SAFETY: both requests read two 64-bit numbers.
        uninterrupted(|| unsafe { libc::ioctl(self.fd(), request, range.as_ptr()) as libc::ssize_t })
            .map(drop)
    }

    /// Checks before a write that the file is as long as it was. What is written behind the end of one that was cut would make it longer
    /// again, with a hole where the guest's bytes were: they would be lost, and nobody told.
    fn check_length(&self) -> io::Result<()> {
        if self.kind != Kind::Device && self.file.metadata()?.len() < self.capacity {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
        }
        Ok(())
    }

    /// Writes zeroes one by one, for a file system that can't make any by itself.
    fn write_zero_bytes(&self, offset: u64, length: u64) -> io::Result<()> {
        let any = Alignment { memory: 1, offset: 1 };
        let alignment = self.direct.as_ref().map_or(any, |direct| direct.alignment);
        alignment.write_zeroes(length, |piece, done| write_all(self.fd(), piece, offset + done))
    }
}

impl BlockBackend for FileBackend {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn mappable(&self) -> Option<BorrowedFd<'_>> {
        (self.read_only && self.direct.is_none() && self.kind != Kind::Remote).then(|| self.file.as_fd())
    }

    fn direct(&self) -> Option<(BorrowedFd<'_>, usize)> {
        Some((self.file.as_fd(), self.direct.as_ref()?.alignment.memory))
    }

    fn read_now(&self, into: &VolatileSlice<'_>, offset: u64) -> io::Result<usize> {
        if self.direct.is_some() {
            return Ok(0);
        }
        if self.kind == Kind::InMemory {
            return self.read(into, offset).map(|()| into.len());
        }
        if !self.knows_nowait.load(Ordering::Relaxed) {
            return Ok(0);
        }
        match nowait::read_at(self.fd(), into, offset) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if nowait::is_unknown(&error) => {
                self.knows_nowait.store(false, Ordering::Relaxed);
                Ok(0)
            }
            result => result,
        }
    }

    fn read(&self, into: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        match &self.direct {
            Some(direct) => direct.read(into, |piece, done| read_all(self.fd(), piece, offset + done)),
            None => read_all(self.fd(), into, offset),
        }
    }

    fn write(&self, from: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        self.check_length()?;
        match &self.direct {
            Some(direct) => direct.write(from, |piece, done| write_all(self.fd(), piece, offset + done)),
            None => write_all(self.fd(), from, offset),
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        match self.kind {
            Kind::Device => self.device_range(BLKDISCARD, offset, length),
            _ => self.allocate(libc::FALLOC_FL_PUNCH_HOLE, offset, length),
        }
    }

    fn before_direct_write(&self) -> io::Result<()> {
        // Of a remote file the length may not be known without waiting.
        if self.kind == Kind::Remote { Ok(()) } else { self.check_length() }
    }

    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        self.check_length()?;
        let result = match self.kind {
            Kind::Device => self.device_range(BLKZEROOUT, offset, length),
            // First the way that keeps the space reserved.
            _ => self
                .allocate(libc::FALLOC_FL_ZERO_RANGE, offset, length)
                .or_else(|error| unless_supported(error, || self.discard(offset, length))),
        };
        result.or_else(|error| unless_supported(error, || self.write_zero_bytes(offset, length)))
    }
}

/// Tries `other` if `error` says that the host doesn't know how.
fn unless_supported(error: io::Error, other: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOTTY | libc::ENOSYS) => other(),
        _ => Err(error),
    }
}

/// Whether it is a block device; an error where it is neither that nor a regular file.
fn check_type(label: &str, metadata: &Metadata) -> Result<bool, Error> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(kind.is_block_device());
    }
    let what = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_char_device() {
        "a character device"
    } else {
        "no file"
    };
    Err(Error::new(
        ErrorKind::BadConfig,
        format!("disk `{label}` is {what}: name an image file or a block device"),
    ))
}

pub(super) fn cannot_open(label: &str, error: &io::Error, read_only: bool) -> Error {
    let kind = ErrorKind::of_file(error);
    match error.raw_os_error() {
        Some(libc::ENOENT) => Error::new(
            kind,
            format!("disk `{label}` does not exist: create it, for example with `truncate -s 64M {label}`"),
        ),
        Some(libc::EROFS | libc::EACCES | libc::EPERM) if !read_only => Error::new(
            ErrorKind::NoPermission,
            format!(
                "no permission to write to disk `{label}` ({error}): add `,ro` to only read it, or change its mode"
            ),
        ),
        Some(libc::EACCES | libc::EPERM) => Error::new(
            kind,
            format!(
                "no permission to read disk `{label}` ({error}): change its mode, or that of its directory"
            ),
        ),
        Some(libc::EBUSY) => in_use(label),
        _ => Error::new(kind, format!("cannot open disk `{label}`: {error}")),
    }
}

fn no_direct(label: &str) -> Error {
    Error::new(
        ErrorKind::BadConfig,
        format!(
            "disk `{label}` is on a file system without direct I/O: remove `,direct`, or move it to another"
        ),
    )
}

fn in_use(label: &str) -> Error {
    Error::new(
        ErrorKind::BadConfig,
        format!("disk `{label}` is in use already: end what uses it, or have all its users add `,ro`"),
    )
}

fn lock(file: &File, label: &str, read_only: bool) -> Result<(), Error> {
    let kind = if read_only { libc::LOCK_SH } else { libc::LOCK_EX };
    // SAFETY: the call has no preconditions.
    let locked =
        uninterrupted(|| unsafe { libc::flock(file.as_raw_fd(), kind | libc::LOCK_NB) as libc::ssize_t });
    locked.map(drop).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => in_use(label),
        _ => Error::new(
            ErrorKind::HostIo,
            format!("cannot lock disk `{label}` ({error}): move it to a file system that has locks"),
        ),
    })
}

/// Bytes and logical block size of a block device.
fn device_size(file: &File) -> io::Result<(u64, u32)> {
    let mut capacity: u64 = 0;
    // SAFETY: the request writes one 64-bit number.
    check(unsafe { libc::ioctl(file.as_raw_fd(), BLKGETSIZE64, &raw mut capacity) })?;
    let mut block_size: libc::c_int = 0;
    // SAFETY: the request writes one int.
    check(unsafe { libc::ioctl(file.as_raw_fd(), BLKSSZGET, &raw mut block_size) })?;
    Ok((capacity, block_size.unsigned_abs()))
}

/// What holds a regular file, by its file system.
fn kind_of_file(file: &File) -> Kind {
    // From linux/magic.h and the file systems' own headers: 9p, Ceph, CIFS, SMB 2.
    const NINE_P: u32 = 0x0102_1997;
    const CEPH: u32 = 0x00c3_6400;
    const CIFS: u32 = 0xff53_4d42;
    const SMB2: u32 = 0xfe53_4d42;
    const NFS: u32 = libc::NFS_SUPER_MAGIC as u32;
    const FUSE: u32 = libc::FUSE_SUPER_MAGIC as u32;
    const TMPFS: u32 = libc::TMPFS_MAGIC as u32;
    let mut status = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the call writes a `statfs` to `status`.
    if unsafe { libc::fstatfs(file.as_raw_fd(), status.as_mut_ptr()) } < 0 {
        return Kind::Remote;
    }
    // SAFETY: the call has succeeded and filled it in.
    let status = unsafe { status.assume_init() };
    match status.f_type as u32 {
        TMPFS => Kind::InMemory,
        NINE_P | CEPH | CIFS | SMB2 | NFS | FUSE => Kind::Remote,
        _ => Kind::Regular,
    }
}
