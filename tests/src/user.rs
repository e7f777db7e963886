//! The life of an ordinary user.

use crate::artifacts::artifacts;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A user that owns nothing on any machine.
pub const NOBODY: u32 = 65534;

/// Device nodes as an ordinary user finds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// Open to all.
    Open,
    /// Only root may use them.
    Closed,
    /// Only root may use TAP interfaces.
    NoTap,
}

/// What [`in_private_mounts`] offers: where programs can be found that are in a home directory otherwise.
#[derive(Debug)]
pub struct Mounts {
    /// The monitor.
    pub monitor: PathBuf,
    guests: PathBuf,
    /// A directory that anyone may write to, gone at the end.
    pub scratch: PathBuf,
}

impl Mounts {
    /// The directory of the guests.
    #[must_use]
    pub fn guests(&self) -> &Path {
        &self.guests
    }

    /// The ELF file of a guest.
    #[must_use]
    pub fn guest(&self, name: &str) -> PathBuf {
        self.guests.join(format!("{name}.elf"))
    }

    /// A sparse image of 1 MiB on a file system that has room for 64 KiB.
    #[must_use]
    pub fn image_on_a_full_host(&self) -> PathBuf {
        let place = self.scratch.join("small");
        std::fs::create_dir(&place).expect("a directory");
        let tmpfs = Some("tmpfs");
        mount(tmpfs, &place, tmpfs, MsFlags::empty(), Some("size=64k")).expect("a tmpfs of 64 KiB");
        crate::files::sparse(&place, "a.img", 1 << 20)
    }
}

/// Runs `body` on a thread with mounts (and a network namespace) of its own, where `/dev/kvm` and `/dev/net/tun` are nodes
/// with the modes that `devices` says. The machine's own nodes are left alone. Needs root.
pub fn in_private_mounts<T: Send>(devices: Devices, body: impl FnOnce(&Mounts) -> T + Send) -> T {
    crate::network::in_namespace(|| {
        // A thread of its own file-system context may have its own mounts.
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
        let here = Covered::new();
        let mode = |is_open| if is_open { 0o666 } else { 0o600 };
        // The numbers are from Linux's admin-guide/devices.txt: misc devices 232 and 200.
        device_over(&here.0, "/dev/kvm", 232, mode(devices != Devices::Closed));
        device_over(&here.0, "/dev/net/tun", 200, mode(devices == Devices::Open));
        let mounts = Mounts {
            monitor: bound(&here.0, "monitor", &artifacts().monitor),
            guests: bound(&here.0, "guests", &artifacts().guests),
            scratch: here.0.join("scratch"),
        };
        std::fs::create_dir(&mounts.scratch).expect("a directory");
        set_mode(&mounts.scratch, 0o777);
        body(&mounts)
    })
}

/// An empty directory with a file system in memory over it.
struct Covered(PathBuf);

impl Covered {
    fn new() -> Self {
        // Kept: what a TempDir removes when it is dropped would, through the mounts in it, be the guests themselves.
        let here = tempfile::tempdir().expect("a temporary directory").keep();
        mount(Some("tmpfs"), &here, Some("tmpfs"), MsFlags::empty(), Some("mode=0755")).expect("a tmpfs");
        Self(here)
    }
}

impl Drop for Covered {
    fn drop(&mut self) {
        // The first takes the mounts below with it. The second removes an empty directory or nothing.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn device_over(here: &Path, node: &str, minor: u64, mode: u32) {
    let copy = here.join(node.rsplit('/').next().unwrap_or(node));
    mknod(&copy, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(10, minor)).expect("a device node");
    set_mode(&copy, mode);
    bind(&copy, Path::new(node));
}

fn bound(here: &Path, name: &str, what: &Path) -> PathBuf {
    let place = here.join(name);
    if what.is_dir() {
        std::fs::create_dir(&place).expect("a directory");
    } else {
        std::fs::write(&place, "").expect("a file");
    }
    bind(what, &place);
    place
}

fn bind(what: &Path, place: &Path) {
    let none: Option<&str> = None;
    mount(Some(what), place, none, MsFlags::MS_BIND, none)
        .unwrap_or_else(|error| panic!("{} bound over {}: {error}", what.display(), place.display()));
}

/// Gives a file or directory of the test's own these permissions.
pub fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
}
