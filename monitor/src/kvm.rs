//! The host's KVM: opened, and asked whether it can do what every guest needs.

use crate::config::KvmSource;
use crate::error::{Error, ErrorKind, no_kvm, plain};
use crate::syscall::check;
use kvm_ioctls::{Cap, Kvm, VmFd};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

/// Opens what stands for KVM.
///
/// # Errors
///
/// [`NoKvm`](ErrorKind::NoKvm) where it cannot be opened, is none, or is too old.
pub fn open(source: &KvmSource) -> Result<Kvm, Error> {
    let (fd, name) = match source {
        KvmSource::Fd(fd) => (duplicate(*fd), format!("descriptor {fd}")),
        KvmSource::Path(path) => {
            let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(path);
            (file.map(IntoRawFd::into_raw_fd), path.display().to_string())
        }
    };
    let advice = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => "load the module kvm_intel or kvm_amd, or run on a host that has KVM",
        io::ErrorKind::PermissionDenied => "join the group that owns it (mostly 'kvm'), or run as root",
        _ => "check that it is a KVM device",
    };
    let fd = fd.map_err(|error| {
        Error::new(ErrorKind::NoKvm, format!("cannot open {name}: {}; {}", plain(&error), advice(&error)))
    })?;
    let unusable = |message| Err(Error::new(ErrorKind::NoKvm, message));
    // SAFETY: the descriptor was opened or duplicated above and belongs to nobody else.
    let kvm = unsafe { Kvm::from_raw_fd(fd) };
    // The stable version of the interface (Linux, virt/kvm/api.rst, section 4.1).
    match kvm.get_api_version() {
        12 => {}
        -1 => return unusable(format!("{name} is not a KVM device: give one with --kvm")),
        version => {
            let message = "of KVM's interface, not 12: update the host's kernel";
            return unusable(format!("{name} speaks version {version} {message}"));
        }
    }
    // Without the first a signal would be lost where it comes just before the guest runs (Linux 4.13 has it), without the second
    // nothing below the guest's page tables would protect its text; the third, of Linux 4.18, is how the guest gets its registers.
    for (capability, what) in [
        (Cap::ImmediateExit, "leave a guest at once"),
        (Cap::ReadonlyMem, "make memory read-only"),
        (Cap::SyncRegs, "take registers with a run"),
    ] {
        if !kvm.check_extension(capability) {
            return unusable(format!("{name} cannot {what}: update the host's kernel"));
        }
    }
    Ok(kvm)
}

/// Makes a virtual machine. A signal that comes meanwhile has KVM give up; it is noted already, so that this just tries again.
///
/// # Errors
///
/// What KVM says.
pub fn create_vm(kvm: &Kvm) -> Result<VmFd, Error> {
    loop {
        match kvm.create_vm() {
            Err(error) if error.errno() == libc::EINTR => {}
            result => return result.map_err(|error| no_kvm("create a virtual machine", &error.into())),
        }
    }
}

/// The rate of the time stamp counter that a new virtual processor has, in kHz: what the virtual machine says (Linux 5.18,
/// `virt/kvm/api.rst`, section 4.56), as the processor itself takes ten times as long to; `None` where it does not say.
#[must_use]
pub fn tsc_khz(vm: &VmFd) -> Option<u32> {
    // _IO(KVMIO, 0xa3)
    const KVM_GET_TSC_KHZ: libc::c_ulong = 0xaea3;
    // SAFETY: the call takes no argument.
    let khz = unsafe { libc::ioctl(vm.as_raw_fd(), KVM_GET_TSC_KHZ, 0) };
    u32::try_from(khz).ok().filter(|&khz| khz > 0)
}

fn duplicate(fd: RawFd) -> io::Result<RawFd> {
    // SAFETY: the call takes no pointer; a number that is no descriptor is an error.
    check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })
}
