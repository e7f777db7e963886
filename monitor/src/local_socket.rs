//! Sockets with a path in the file system: unix(7).

use crate::error::{Error, ErrorKind, plain};
use crate::stderr::PATIENCE;
use crate::syscall::check;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// What a path may have, in bytes: `sun_path` less its NUL.
const MAX_PATH: usize = 107;
/// Connections that wait to be let in.
const BACKLOG: libc::c_int = 16;

/// A socket that others connect to, for this user only. Its path goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    fd: OwnedFd,
    path: PathBuf,
    /// Device and inode of the path, so that nobody else's is removed.
    identity: (u64, u64),
}

impl Listener {
    /// Takes the path, also where a process that has ended has left a socket there, and lets others connect.
    ///
    /// # Errors
    ///
    /// One sentence about why the path cannot be had.
    pub(crate) fn bind(path: &Path) -> Result<Self, Error> {
        let address = address(path)?;
        // A socket where nobody listens yet looks as if it were left over: one process after the other.
        let _lock = lock_directory(path)?;
        let fd = match listen(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_left_over(path, &address)?;
                listen(&address)
            }
            result => result,
        };
        let bound = fd.and_then(|fd| Ok(Self { fd, path: path.into(), identity: identity(path)? }));
        bound.map_err(|error| {
            let sentence = format!(
                "{} cannot be a socket ({}): name one in a directory of yours",
                path.display(),
                plain(&error)
            );
            Error::new(ErrorKind::of_file(&error), sentence)
        })
    }

    /// The next connection, if there is one, as a descriptor that does not wait.
    pub(crate) fn accept(&self) -> Option<OwnedFd> {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let null = std::ptr::null_mut();
        // SAFETY: null pointers say that the address is not wanted.
        let connection = unsafe { libc::accept4(self.as_raw_fd(), null, null.cast(), flags) };
        // SAFETY: a result that is not negative is a new descriptor that nobody else knows.
        (connection >= 0).then(|| unsafe { OwnedFd::from_raw_fd(connection) })
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Where it cannot be removed, whoever wants the path next finds that nobody listens.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connects to the socket `path`.
///
/// # Errors
///
/// One sentence about why that is not possible.
pub(crate) fn connect(path: &Path) -> Result<OwnedFd, Error> {
    let shown = path.display();
    connect_to(&address(path)?, 0).map_err(|error| {
        let (kind, sentence) = match error.raw_os_error() {
            Some(libc::ENOENT) => (
                ErrorKind::MissingFile,
                format!("there is no {shown}: start the guest with --console unix:{shown}"),
            ),
            Some(libc::ECONNREFUSED) if is_socket(path) => (
                ErrorKind::MissingFile,
                format!(
                    "nobody listens on {shown}: its guest has ended, so start it with --console unix:{shown}"
                ),
            ),
            Some(libc::ECONNREFUSED) => (
                ErrorKind::BadConfig,
                format!("{shown} is no socket: name the one that the guest has as --console unix:PATH"),
            ),
            Some(libc::EACCES) => (
                ErrorKind::NoPermission,
                format!("{shown} is the socket of another user: attach as that user"),
            ),
            _ => {
                let reason = plain(&error);
                (
                    ErrorKind::of_file(&error),
                    format!("cannot connect to {shown} ({reason}): name the socket of a guest"),
                )
            }
        };
        Error::new(kind, sentence)
    })
}

/// Keeps other processes from taking a path in the same directory until the result is dropped; `None` where the directory cannot be
/// opened.
fn lock_directory(path: &Path) -> Result<Option<File>, Error> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(lock) = File::open(directory) else { return Ok(None) };
    let until = Instant::now() + PATIENCE;
    // SAFETY: the call has no preconditions.
    while unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } < 0 {
        if Instant::now() > until {
            let sentence = format!(
                "another process has locked {}: name a socket in a directory of yours",
                directory.display()
            );
            return Err(Error::new(ErrorKind::BadConfig, sentence));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(Some(lock))
}

/// Removes a socket that nobody listens on.
fn remove_left_over(path: &Path, address: &libc::sockaddr_un) -> Result<(), Error> {
    let shown = path.display();
    let taken = |sentence: String| Err(Error::new(ErrorKind::BadConfig, sentence));
    if !is_socket(path) {
        return taken(format!("{shown} is there and is no socket: remove it or use another path"));
    }
    // Without waiting: one whose listener is slow is in use.
    match connect_to(address, libc::SOCK_NONBLOCK) {
        Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => {}
        _ => return taken(format!("another process listens on {shown}: end it or use another path")),
    }
    fs::remove_file(path).map_err(|error| {
        let sentence = format!("{shown} is left over and cannot be removed ({}): remove it", plain(&error));
        Error::new(ErrorKind::of_file(&error), sentence)
    })
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

fn address(path: &Path) -> Result<libc::sockaddr_un, Error> {
    let bad = |sentence: String| Err(Error::new(ErrorKind::BadConfig, sentence));
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else {
        return bad("the path of a socket cannot have a NUL".to_owned());
    };
    let name = name.as_bytes_with_nul();
    // SAFETY: an address of zeroes is a valid value of it.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    if name.len() > address.sun_path.len() {
        return bad(format!(
            "{} has {} bytes, and the path of a socket {MAX_PATH} at most: use a shorter one",
            path.display(),
            name.len() - 1
        ));
    }
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(name) {
        *to = from.cast_signed();
    }
    Ok(address)
}

/// A socket with these flags besides.
fn socket(flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the call has no preconditions.
    let fd =
        check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags, 0) })?;
    // SAFETY: `fd` is a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A socket at a path that is free, whose [`Listener::accept`] does not wait.
fn listen(address: &libc::sockaddr_un) -> io::Result<OwnedFd> {
    let fd = socket(libc::SOCK_NONBLOCK)?;
    // The path gets these rights when it is made, so that at no time it has others.
    // SAFETY: the call has no preconditions.
    check(unsafe { libc::fchmod(fd.as_raw_fd(), 0o600) })?;
    let length = size_of_val(address) as libc::socklen_t;
    // SAFETY: the address is live and of this length.
    check(unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(address).cast(), length) })?;
    // SAFETY: the call has no preconditions.
    check(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) })?;
    Ok(fd)
}

fn connect_to(address: &libc::sockaddr_un, flags: libc::c_int) -> io::Result<OwnedFd> {
    let fd = socket(flags)?;
    let length = size_of_val(address) as libc::socklen_t;
    // SAFETY: the address is live and of this length.
    check(unsafe { libc::connect(fd.as_raw_fd(), std::ptr::from_ref(address).cast(), length) })?;
    Ok(fd)
}

#[cfg(test)]
#[path = "local_socket_tests.rs"]
mod tests;
