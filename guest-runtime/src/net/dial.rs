//! Connecting to a host that has several addresses.

use super::{ConnectError, IpAddress, IpEndpoint, Stack, TcpOptions, TcpStream};
use crate::time;
use alloc::boxed::Box;
use core::pin::{Pin, pin};
use core::time::Duration;
use embassy_futures::select::{Either, select};

/// How long to wait for an address before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// The most addresses of a host that are tried.
const MOST_ADDRESSES: usize = 8;

impl Stack {
    /// Connects to `port` of a host at one of its `addresses`, as [`resolve`](ukvm_net_stack::Stack::resolve) gives them. They are
    /// tried in their order, each 250 ms after the one before or when that has failed, and the first connection counts. At most
    /// eight are tried.
    ///
    /// # Errors
    ///
    /// That of the first address, as [`TcpStream::connect`].
    pub async fn connect(
        &self,
        addresses: &[IpAddress],
        port: u16,
        options: TcpOptions,
    ) -> Result<TcpStream, ConnectError> {
        self.connect_to_one(&addresses[..addresses.len().min(MOST_ADDRESSES)], port, options).await
    }

    fn connect_to_one<'a>(
        &'a self,
        addresses: &'a [IpAddress],
        port: u16,
        options: TcpOptions,
    ) -> Pin<Box<dyn Future<Output = Result<TcpStream, ConnectError>> + 'a>> {
        Box::pin(async move {
            let [address, others @ ..] = addresses else { return Err(ConnectError::Unreachable) };
            let mut first = pin!(TcpStream::connect(self, IpEndpoint::new(*address, port), options));
            if others.is_empty() {
                return first.await;
            }
            match time::timeout(HEAD_START, first.as_mut()).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => return self.connect_to_one(others, port, options).await.map_err(|_| error),
                Err(time::Elapsed) => {}
            }
            let mut rest = self.connect_to_one(others, port, options);
            match select(first.as_mut(), rest.as_mut()).await {
                Either::First(Ok(stream)) | Either::Second(Ok(stream)) => Ok(stream),
                Either::First(Err(error)) => rest.await.map_err(|_| error),
                Either::Second(Err(_)) => first.await,
            }
        })
    }
}
