//! The file, which is the old one or the new one, whole, whenever the job is broken off.

use crate::failure::{Cause, Failure};
use alloc::format;
use alloc::string::{String, ToString};
use ukvm_storage::WritableDevice;
use ukvm_storage::fat::{Clock, Metadata, OpenFile, OpenOptions, Volume, VolumeError};

/// What a file is called as long as it is not complete, and then until it has its name.
const PART: &str = "TMP";
const COMPLETE: &str = "NEW";

/// The path of a file of this kind beside the file `name`: a number that follows from that one's name. It has one entry in its directory,
/// as all names of eight capitals and three have, so that it comes and goes in one write. Of a longer name a part may be left, under
/// which nobody looks for it.
fn beside(name: &str, kind: &str) -> String {
    let (directory, file) = name.rsplit_once('/').map_or(("", name), |(directory, file)| (directory, file));
    // FNV-1a. FAT does not tell capitals from small letters.
    let hash = file
        .chars()
        .flat_map(char::to_lowercase)
        .fold(0x811c_9dc5_u32, |hash, letter| (hash ^ u32::from(letter)).wrapping_mul(0x0100_0193));
    let slash = if directory.is_empty() { "" } else { "/" };
    format!("{directory}{slash}{hash:08X}.{kind}")
}

/// A place for a file on a FAT file system.
///
/// What comes is written to another file beside it, `XXXXXXXX.TMP`. Once that is durable, it is renamed to `XXXXXXXX.NEW`, which so is
/// always complete, and once this is durable, to its own name. No rename of FAT is atomic: a job that is broken off in one may leave the
/// old file gone and the new one under the name it had, or under both names with the same clusters. So a file system that was not put
/// away in order is refused until `fsck.vfat` has looked at it, which leaves one of two such names with all and the other with
/// nothing. The next job [does](Self::open) what is left to do.
#[derive(Debug)]
pub struct Delivery<D: WritableDevice + Clone + 'static> {
    device: D,
    volume: Volume<D>,
    name: String,
    part: String,
    complete: String,
}

impl<D: WritableDevice + Clone + 'static> Delivery<D> {
    /// Finds the place for the file `name` on `device`. Dates come from the clock `C`. If a job before was broken off when it had its
    /// file complete, that takes its name now; with anything less it is removed.
    ///
    /// # Errors
    ///
    /// Where the disk holds no file system that can be written safely, or there can be no file of this name.
    pub async fn open<C: Clock + 'static>(device: D, name: &str) -> Result<Self, Failure> {
        let disk = |error: &dyn ToString| Failure::new(Cause::Disk, error.to_string());
        if !device.is_writable() {
            return Err(disk(&"the disk is read-only: leave out `,ro`"));
        }
        let volume = Volume::mount::<C>(device.clone()).await.map_err(|error| disk(&error))?;
        if !volume.has_mark() {
            return Err(disk(
                &"the file system is FAT12, which cannot say that a job was broken off: make one on a disk of 16 MiB or more with mkfs.vfat",
            ));
        }
        if volume.was_dirty() {
            return Err(disk(
                &"the file system was not put away in order, perhaps by a job that was broken off: run `fsck.vfat -a` on the disk",
            ));
        }
        let delivery = Self {
            device,
            volume,
            name: name.into(),
            part: beside(name, PART),
            complete: beside(name, COMPLETE),
        };
        delivery.check_place().await?;
        delivery.recover().await.map_err(|error| delivery.failed(&error))?;
        Ok(delivery)
    }

    /// Whether a file can be there.
    async fn check_place(&self) -> Result<(), Failure> {
        let no_place =
            |what: &str| Err(Failure::new(Cause::Disk, format!("{} cannot be written: {what}", self.name)));
        if let Some((directory, _)) = self.name.rsplit_once('/') {
            match self.metadata(directory).await.map_err(|error| self.failed(&error))? {
                Some(found) if found.directory => {}
                _ => return no_place(&format!("there is no directory {directory} on the disk, make it")),
            }
        }
        match self.metadata(&self.name).await.map_err(|error| self.failed(&error))? {
            Some(found) if found.directory => no_place("there is a directory of this name"),
            _ => Ok(()),
        }
    }

    async fn metadata(&self, path: &str) -> Result<Option<Metadata>, VolumeError> {
        match self.volume.metadata(path).await {
            Ok(metadata) => Ok(Some(metadata)),
            Err(VolumeError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Does what a job before could not do any more.
    async fn recover(&self) -> Result<(), VolumeError> {
        let [part, complete] = [self.metadata(&self.part).await?, self.metadata(&self.complete).await?];
        if part.is_none() && complete.is_none() {
            return Ok(());
        }
        let has_bytes = |file: Option<Metadata>| file.is_some_and(|file| file.size > 0);
        // Alone it was on its way to its name, and is complete even if it is empty.
        let is_alone = part.is_none() && self.metadata(&self.name).await?.is_none();
        // Where there is a complete one, what is under another name as well is the same file.
        match complete {
            Some(_) if is_alone || has_bytes(complete) => {
                self.volume.rename(&self.complete, &self.name).await?;
            }
            Some(_) if has_bytes(part) => {
                self.volume.remove_file(&self.complete).await?;
                self.volume.rename(&self.part, &self.complete).await?;
                self.volume.sync().await?;
                self.volume.rename(&self.complete, &self.name).await?;
            }
            Some(_) => self.volume.remove_file(&self.complete).await?,
            None => {}
        }
        self.remove_part().await
    }

    /// Removes the part, if there is one.
    async fn remove_part(&self) -> Result<(), VolumeError> {
        match self.volume.remove_file(&self.part).await {
            Ok(()) | Err(VolumeError::NotFound) => self.volume.sync().await,
            Err(error) => Err(error),
        }
    }

    /// Begins the part.
    ///
    /// # Errors
    ///
    /// Where the disk does not take it.
    pub async fn begin(&self) -> Result<OpenFile<D>, Failure> {
        let options = OpenOptions::new().write().create().truncate();
        self.volume.open(&self.part, options).await.map_err(|error| self.failed(&error))
    }

    /// Makes the part the file. Not to be dropped before it has ended: see the type.
    ///
    /// # Errors
    ///
    /// Where the disk does not take it. If the host had no space for the part, that is removed as by [`discard`](Self::discard). After any
    /// other error nobody knows what is durable: the file system stays marked.
    pub async fn finish(&self, file: OpenFile<D>) -> Result<(), Failure> {
        let flush = async || self.device.flush().await.map_err(VolumeError::Write);
        let written = async {
            file.close().await?;
            flush().await
        };
        if let Err(error) = written.await {
            let failure = self.failed(&error);
            if failure.cause == Cause::Full {
                // It writes anew all that was changed for the part. The first error is the one to tell of.
                let _ = self.discard().await;
            }
            return Err(failure);
        }
        let finished = async {
            self.volume.rename(&self.part, &self.complete).await?;
            flush().await?;
            self.volume.rename(&self.complete, &self.name).await?;
            self.volume.sync().await
        };
        finished.await.map_err(|error| self.failed(&error))
    }

    /// Removes the part, which nobody has open, if there is one.
    ///
    /// # Errors
    ///
    /// Where the disk does not take that.
    pub async fn discard(&self) -> Result<(), Failure> {
        self.remove_part().await.map_err(|error| self.failed(&error))
    }

    /// A failure to write the file.
    pub fn failed(&self, error: &VolumeError) -> Failure {
        Failure::of_file(&self.name, error)
    }
}
