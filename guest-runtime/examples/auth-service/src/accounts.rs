//! The users: a FAT file system with a file for each, in the root directory, that holds the password.

use crate::password::{self, PASSWORD_FILE};
use crate::user::UserName;
use alloc::boxed::Box;
use core::fmt;
use hadris_fat::embedded::{MountToken, Options, async_::Fat};
use hadris_fat_raw::fold_unicode;
use hadris_fs::{ErrorKind, FsResult, OpenOptions};
use hadris_io::Error;
use ukvm_storage::Device;
use ukvm_storage::fat::{View, ViewError, WINDOW};

/// The most reads that one lookup makes. A root directory has at most 65,536 entries of 32 bytes: with the smallest cluster,
/// scattered so that each entry of the FAT is in another window than the last, it takes 8,192 reads. An image that asks for
/// more is broken, or made to keep the service busy.
const MOST_READS: u64 = 10_000;

/// Why a user could not be looked up: the disk failed, or its file system is broken.
#[derive(Debug, Clone)]
pub struct LookupFailed(Error<ViewError>);

impl fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.device_error() {
            Some(error) => error.fmt(f),
            None => write!(f, "the file system is broken: {}", self.0),
        }
    }
}

impl core::error::Error for LookupFailed {}

/// Whether the disk has a user of this name with this password. The disk is read for it, each time.
///
/// Names match as FAT does: whatever their case, the long name or the short one. Directories and volume labels are no users. A
/// user that does not exist costs as many reads as one who does and is the last of the directory.
///
/// # Errors
///
/// Where the disk cannot be read or holds no sound FAT12, FAT16 or FAT32 file system.
pub async fn verify<D: Device>(disk: &D, user: UserName<'_>, password: &[u8]) -> Result<bool, LookupFailed> {
    let mut file = Box::new([0; PASSWORD_FILE]);
    let length = read_file(disk, user, &mut file).await.map_err(LookupFailed)?;
    // A user who does not exist has a password too long to be given: the same comparison, and never equal.
    Ok(password::matches(&file, length.unwrap_or(PASSWORD_FILE), password))
}

/// Reads the beginning of a user's file and gives the number of bytes read; `None` if there is no such file.
async fn read_file<D: Device>(
    disk: &D,
    user: UserName<'_>,
    buffer: &mut [u8; PASSWORD_FILE],
) -> FsResult<Option<usize>, ViewError> {
    let mut token = MountToken::new();
    let options = Options::new().read_only().with_fold(fold_unicode);
    let mut fat: Fat<'_, _, 1> = Fat::mount_with(View::of(disk, MOST_READS), &mut token, options)
        .await
        .map_err(|refused| refused.into_error())?;
    let file = match fat.open(fat.root(), user.as_str(), OpenOptions::new().read()).await {
        Ok(file) => file,
        Err(error) if is_absence(error.kind()) => {
            read_decoy(disk, fat.info().data_start()).await?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut length = 0;
    loop {
        match fat.read(&file, &mut buffer[length..]).await? {
            0 => return Ok(Some(length)),
            count => length += count,
        }
    }
}

/// Whether an error of opening a file says that nobody has that name.
fn is_absence(kind: ErrorKind) -> bool {
    use ErrorKind::{InvalidInput, IsADirectory, NameTooLong, NotFound};
    matches!(kind, NotFound | IsADirectory | InvalidInput | NameTooLong)
}

/// Reads one window of the data area: what the file would cost if there were one.
async fn read_decoy<D: Device>(disk: &D, data_start: u64) -> FsResult<(), ViewError> {
    let start = data_start - data_start % WINDOW as u64;
    let Ok(size) = usize::try_from((disk.size() - start).min(WINDOW as u64)) else { return Ok(()) };
    let mut window = alloc::vec![0; size];
    disk.read_at(start, &mut window)
        .await
        .map_err(|failed| Error::device(ViewError::Read(failed), "reading the disk failed"))
}
