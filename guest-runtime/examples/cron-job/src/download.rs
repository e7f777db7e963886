//! From an answer to a file, piece by piece.

use crate::failure::{Cause, Failure, NoConnection};
use alloc::format;
use alloc::vec;
use core::mem;
use core::pin::pin;
use embassy_futures::select::{Either, select};
use embedded_io_async::Write;
use ukvm_http::Clock;
use ukvm_http::client::{Answer, Connector};
use ukvm_storage::WritableDevice;
use ukvm_storage::fat::OpenFile;

/// Bytes that are read while as many are written.
pub const PIECE: usize = 128 << 10;

/// The output of `future`, unless the host wants an end first. `future` is dropped then, so it may be nothing that must not be left half
/// done.
///
/// # Errors
///
/// [`Cause::Stopped`].
pub async fn unless_stopped<T>(
    future: impl Future<Output = T>,
    stopped: impl Future<Output = ()>,
) -> Result<T, Failure> {
    match select(future, stopped).await {
        Either::First(output) => Ok(output),
        Either::Second(()) => Err(Failure::stopped()),
    }
}

/// Writes the body of an answer to the file `name`, at most `most` bytes, and gives their number. `stopped` ends once the host wants an
/// end. The disk is never left in the middle of something.
///
/// # Errors
///
/// Where the body does not come, or the disk does not take it.
pub async fn download<C, K, D>(
    answer: &mut Answer<'_, C, K>,
    file: &mut OpenFile<D>,
    name: &str,
    most: u64,
    stopped: impl AsyncFn(),
) -> Result<u64, Failure>
where
    C: Connector<Error = NoConnection>,
    K: Clock,
    D: WritableDevice + 'static,
{
    let too_large = |size: &str| {
        Failure::new(
            Cause::TooLarge,
            format!("the file would have {size} bytes, and may have {most}: see --max-size"),
        )
    };
    if let Some(length) = answer.length().filter(|length| *length > most) {
        return Err(too_large(&format!("{length}")));
    }
    let (mut bytes, mut next) = (vec![0; PIECE], vec![0; PIECE]);
    let mut size = 0;
    let mut ready = 0;
    loop {
        let count = {
            let mut written = pin!(file.write_all(&bytes[..ready]));
            let mut read = pin!(unless_stopped(answer.fill(&mut next), stopped()));
            let (written, read) = match select(written.as_mut(), read.as_mut()).await {
                // What the disk does not take any more need not come.
                Either::First(Err(error)) => return Err(Failure::of_file(name, &error)),
                Either::First(Ok(())) => (Ok(()), read.await),
                Either::Second(read) => (written.await, read),
            };
            written.map_err(|error| Failure::of_file(name, &error))?;
            read??
        };
        if count == 0 {
            return Ok(size);
        }
        ready = count;
        size += count as u64;
        if size > most {
            return Err(too_large("more"));
        }
        mem::swap(&mut bytes, &mut next);
    }
}
