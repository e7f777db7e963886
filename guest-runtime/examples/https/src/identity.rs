//! The certificate and the key, from the disk that has nothing else on it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use ukvm_http::date;
use ukvm_storage::{Device, Entry, Store};
use ukvm_tls::{Identity, IdentityError, Validity};

/// The name of the disk.
pub const DISK: &str = "identity";
/// The file with the certificate, and behind it those that vouch for it.
pub const CERTIFICATE: &str = "certificate.pem";
/// The file with the private key.
pub const KEY: &str = "key.pem";

/// The longest file in bytes. A chain has a few certificates of 2 KiB at most.
const LONGEST: usize = 64 << 10;
/// The bytes that the index of the disk's files may have: enough for a hundred.
const INDEX: usize = 32 << 10;

/// Reads certificate and key.
///
/// # Errors
///
/// What is wrong with the disk, one of the files, or the two of them, as a sentence.
pub async fn read<D: Device>(disk: D) -> Result<Identity, String> {
    let store = Store::open_within(disk, INDEX)
        .await
        .map_err(|error| format!("the disk `{DISK}` is of no use: {error}"))?;
    let certificate = file(&store, CERTIFICATE).await?;
    let key = file(&store, KEY).await?;
    Identity::from_pem(&certificate, &key).map_err(|error| match error {
        IdentityError::Mismatch => format!("{CERTIFICATE} and {KEY} {error}"),
        error if error.is_of_key() => format!("{KEY} {error}"),
        error => format!("{CERTIFICATE} {error}"),
    })
}

/// All of a file of the disk.
async fn file<D: Device>(store: &Store<D>, name: &str) -> Result<Vec<u8>, String> {
    let unreadable = |error: ukvm_storage::Error| format!("{name} cannot be read: {error}");
    let Some(Entry::File(file)) = store.find(name).await.map_err(unreadable)? else {
        return Err(format!(
            "the disk `{DISK}` has no file {name}: put the certificate into {CERTIFICATE}, its key into {KEY}"
        ));
    };
    let length = usize::try_from(file.size()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| {
        format!("{name} has {} bytes, and {LONGEST} are the most that make sense", file.size())
    })?;
    let mut bytes = vec![0; length];
    let count = store.read_at(&file, 0, &mut bytes).await.map_err(unreadable)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// What there is to say of the certificate at the time `now`, since 1970-01-01T00:00:00Z, if there is anything.
#[must_use]
pub fn warning(identity: &Identity, now: Duration) -> Option<String> {
    let on = |time: Duration| date::format(time.as_secs()).unwrap_or_else(|| time.as_secs().to_string());
    match identity.validity(now) {
        Validity::Current => None,
        Validity::From(time) => {
            Some(format!("{CERTIFICATE} is not valid before {}: until then clients refuse it", on(time)))
        }
        Validity::Until(time) => {
            Some(format!("{CERTIFICATE} was valid until {}: clients refuse it, make a new one", on(time)))
        }
    }
}

/// Makes sure that the files of a site are not those of an identity: everybody may download them.
///
/// # Errors
///
/// A sentence, if the site has a key among its pages.
pub async fn check_is_apart<D: Device>(site: &Store<D>) -> Result<(), String> {
    match site.find(KEY).await {
        Ok(None | Some(Entry::Directory)) => Ok(()),
        Ok(Some(Entry::File(_))) => Err(format!(
            "the site has a file {KEY}, which everybody could download: keys belong on the disk `{DISK}` alone"
        )),
        Err(error) => Err(format!("the site cannot be read: {error}")),
    }
}
