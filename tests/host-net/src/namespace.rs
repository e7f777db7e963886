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
    let (user, group) = (geteuid(), getegid());
    if user.is_root() && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    match unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET) {
        Ok(()) => {}
        Err(Errno::EPERM) => bail!(
            "user namespaces are not permitted here; run this as root, or permit them with \
             'sudo sysctl kernel.unprivileged_userns_clone=1'"
        ),
        Err(Errno::ENOSPC) => bail!(
            "no more user namespaces are permitted here; run this as root, or permit some with \
             'sudo sysctl user.max_user_namespaces=1000'"
        ),
        Err(error) => bail!("a network namespace cannot be made ({error}); run this as root"),
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
