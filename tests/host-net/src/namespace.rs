//! A network namespace of this process' own, and what this machine must permit for it.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Checks that this user may open a device for reading and writing. `purpose` is what it is good for.
///
/// # Errors
///
/// Where not, with what would permit it.
pub fn check_device(path: &Path, purpose: &str) -> Result<()> {
    let shown = path.display();
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let metadata = fs::metadata(path).with_context(|| format!("{shown} cannot be looked at"))?;
            bail!("you may not open {shown}, which gives access to {purpose}; {}", remedy(path, &metadata))
        }
        Err(error) => bail!(
            "{shown}, which gives access to {purpose}, cannot be opened ({error}); load its kernel module, or use a \
             machine that has it"
        ),
    }
}

/// What lets this user open a device.
fn remedy(path: &Path, metadata: &fs::Metadata) -> String {
    let shown = path.display();
    // Both bits of the group: read and write.
    if metadata.mode() & 0o060 == 0o060 && metadata.gid() != 0 {
        let group = group_name(metadata.gid());
        format!("its group is {group}: run 'sudo usermod --append --groups {group} $USER' and log in again")
    } else {
        format!("its mode is {:03o}: run 'sudo chmod 666 {shown}', or this as root", metadata.mode() & 0o777)
    }
}

/// The name of a group, or its number where it has none.
fn group_name(number: u32) -> String {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| number.to_string())
}

/// Moves this process, which must have one thread, to a new network namespace: as root directly, else, or where root is
/// not allowed to, through a user namespace in which it is root. It goes with the last process in it.
///
/// # Errors
///
/// Where the kernel permits neither, with what would.
pub fn enter() -> Result<()> {
    permit()?;
    enter_another()
}

/// Sees to it that this process, which must have one thread, may make network namespaces: where it may not yet, by moving it to a
/// user namespace in which it is root.
///
/// # Errors
///
/// Where the kernel does not permit that, with what would.
pub fn permit() -> Result<()> {
    if may_administer() {
        return Ok(());
    }
    let (user, group) = (geteuid(), getegid());
    match unshare(CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {}
        Err(Errno::EPERM) => bail!(
            "user namespaces are not permitted here; run this as root, or permit them with \
             'sudo sysctl kernel.unprivileged_userns_clone=1'"
        ),
        Err(Errno::ENOSPC) => bail!(
            "no more user namespaces are permitted here; run this as root, or permit some with \
             'sudo sysctl user.max_user_namespaces=1000'"
        ),
        Err(error) => bail!("a user namespace cannot be made ({error}); run this as root"),
    }
    // The kernel wants the second line before the third, as giving up groups could give rights.
    let maps = [
        ("uid_map", format!("0 {user} 1")),
        ("setgroups", "deny".into()),
        ("gid_map", format!("0 {group} 1")),
    ];
    for (file, text) in maps {
        fs::write(Path::new("/proc/self").join(file), text).with_context(|| {
            format!(
                "the user namespace gives no rights here (/proc/self/{file}); run this as root, or permit them with \
                 'sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0'"
            )
        })?;
    }
    Ok(())
}

/// Whether this process has the rights to make network namespaces and interfaces in them: `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`,
/// bits 21 and 12 of capabilities(7).
fn may_administer() -> bool {
    const NEEDED: u64 = 1 << 21 | 1 << 12;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.is_some_and(|effective| effective & NEEDED == NEEDED)
}

/// Moves this thread alone, and what it starts, to a new network namespace, once this process [may](permit).
///
/// # Errors
///
/// Where the kernel makes none.
pub fn enter_another() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)
        .context("a network namespace cannot be made; run this as root, on a kernel that has them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let reason = check_device(Path::new("/dev/no-such-device"), "nothing").unwrap_err().to_string();
        assert!(
            reason.starts_with("/dev/no-such-device, which gives access to nothing, cannot be opened ("),
            "{reason}"
        );
        assert!(check_device(Path::new("/dev/null"), "nothing").is_ok());
        assert_eq!(group_name(0), "root");
        assert_eq!(group_name(u32::MAX - 1), (u32::MAX - 1).to_string());
    }

    #[test]
    fn the_remedy_is_the_mode_where_the_group_gives_no_access() {
        let path = std::env::temp_dir().join(format!("ukvm-device-{}", std::process::id()));
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let remedy = remedy(&path, &fs::metadata(&path).unwrap());
        assert!(remedy.starts_with("its mode is 600: run 'sudo chmod 666 "), "{remedy}");
        fs::remove_file(path).unwrap();
    }
}
