//! Connections over the network of the machine.

use alloc::format;
use core::time::Duration;
use cron_job::failure::NoConnection;
use cron_job::stages::{Stage, Stages};
use ukvm_runtime::http::client::Connector;
use ukvm_runtime::net::{Stack, TcpOptions, TcpStream};
use ukvm_runtime::time::timeout;

/// A large receive buffer, so that the server need not wait for the disk; requests are short.
const BUFFERS: TcpOptions = TcpOptions {
    backlog: 0,
    receive_buffer: 256 << 10,
    send_buffer: 8 << 10,
    keep_alive: None,
    nagle: false,
};

/// Looks names up and connects, each within a time.
pub(crate) struct Network<'a> {
    pub(crate) stack: Stack,
    pub(crate) limit: Duration,
    pub(crate) stages: &'a Stages,
}

impl Connector for Network<'_> {
    type Stream = TcpStream;
    type Error = NoConnection;

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, NoConnection> {
        // Of the redirect that has led here, if there was one.
        self.stages.end(Stage::Answer);
        let seconds = self.limit.as_secs();
        let addresses = match timeout(self.limit, self.stack.resolve(host)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => return Err(NoConnection::Name(format!("{host} cannot be looked up: {error}"))),
            Err(_) => {
                return Err(NoConnection::Name(format!(
                    "{host} cannot be looked up: no DNS server has answered within {seconds} s"
                )));
            }
        };
        self.stages.end(Stage::Name);
        let failed = |why: &str| {
            NoConnection::Connection(format!("there is no connection to {host} port {port}: {why}"))
        };
        let stream = match timeout(self.limit, self.stack.connect(&addresses, port, BUFFERS)).await {
            Ok(connected) => connected.map_err(|error| failed(&format!("{error}")))?,
            Err(_) => return Err(failed(&format!("nobody has answered within {seconds} s"))),
        };
        self.stages.end(Stage::Connection);
        Ok(stream)
    }
}
