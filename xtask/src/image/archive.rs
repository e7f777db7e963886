//! A tar archive as an image. Whose files they were does not matter, so that everybody gets the same archive.

use super::Item;
use super::source::Kind;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// Writes the archive to an empty file. Its length is a multiple of a tar block, which is as long as a sector.
pub(super) fn write(items: &[Item], file: File, output: &Path) -> Result<()> {
    let unwritable = || format!("{} cannot be written", output.display());
    let mut builder = Builder::new(BufWriter::new(file));
    for item in items {
        let mut header = Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(item.modified);
        header.set_size(0);
        match &item.kind {
            Kind::Directory => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(0o755);
                let path = format!("{}/", item.path);
                builder.append_data(&mut header, path, std::io::empty()).with_context(unwritable)?;
            }
            Kind::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                builder.append_link(&mut header, &item.path, target).with_context(unwritable)?;
            }
            Kind::File { source, size, executable } => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(if *executable { 0o755 } else { 0o644 });
                header.set_size(*size);
                let unreadable = || format!("{} cannot be packed", source.display());
                let mut contents = File::open(source).with_context(unreadable)?.take(*size);
                builder.append_data(&mut header, &item.path, &mut contents).with_context(unreadable)?;
                ensure!(
                    contents.limit() == 0,
                    "{} became shorter while it was read; try again",
                    source.display()
                );
            }
        }
    }
    builder.into_inner().and_then(|mut file| file.flush()).with_context(unwritable)
}
