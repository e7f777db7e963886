//! What goes into an image: the files of a directory, in the order of their names.

use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file, directory or link below the directory.
#[derive(Debug)]
pub(super) struct Item {
    /// Its path in the image: `a/b`.
    pub(super) path: String,
    /// When it was last modified, in seconds since 1970.
    pub(super) modified: u64,
    /// What it is.
    pub(super) kind: Kind,
}

/// What an [`Item`] is.
#[derive(Debug)]
pub(super) enum Kind {
    Directory,
    File {
        /// Where it is on the host.
        source: PathBuf,
        size: u64,
        executable: bool,
    },
    /// A symbolic link, with its target.
    Link(String),
}

/// All that is below a directory, each directory before what is in it.
pub(super) fn read(directory: &Path, latest: Option<u64>) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    walk(directory, "", latest, &mut items)?;
    Ok(items)
}

fn walk(directory: &Path, prefix: &str, latest: Option<u64>, items: &mut Vec<Item>) -> Result<()> {
    let unreadable = || format!("the directory {} cannot be read", directory.display());
    let entries = fs::read_dir(directory).with_context(unreadable)?;
    let mut entries = entries.collect::<std::io::Result<Vec<_>>>().with_context(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let source = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            bail!("the name of {} is not in UTF-8; rename it", source.display());
        };
        let path = format!("{prefix}{name}");
        let metadata = entry.metadata().with_context(|| format!("{} cannot be read", source.display()))?;
        let age = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH);
        let modified = age.map_or(0, |age| age.as_secs()).min(latest.unwrap_or(u64::MAX));
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_symlink() => {
                let target = fs::read_link(&source);
                let target = target.with_context(|| format!("{} cannot be read", source.display()))?;
                let Ok(target) = target.into_os_string().into_string() else {
                    bail!("the target of the link {} is not in UTF-8; replace it", source.display());
                };
                Kind::Link(target)
            }
            kind if kind.is_file() => Kind::File {
                source: source.clone(),
                size: metadata.len(),
                executable: metadata.permissions().mode() & 0o100 != 0,
            },
            _ => bail!("{} is neither a file nor a directory nor a link; remove it", source.display()),
        };
        let below = matches!(kind, Kind::Directory).then(|| format!("{path}/"));
        items.push(Item { path, modified, kind });
        if let Some(prefix) = below {
            walk(&source, &prefix, latest, items)?;
        }
    }
    Ok(())
}
