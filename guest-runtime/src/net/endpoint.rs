//! Where a service's clients come in.

use super::{BindError, Config, OpenError, Stack, TcpListener, TcpOptions};
use crate::{println, task};

/// Where clients come in: a stack and a TCP port of it.
#[derive(Debug)]
pub struct Endpoint {
    name: &'static str,
    stack: Stack,
    port: u16,
    connections: usize,
}

impl Endpoint {
    /// Opens the network on `device` for the program `name`, with at most `most` connections, or fewer where the configuration says so.
    ///
    /// # Errors
    ///
    /// As [`Stack::open`].
    pub fn open(
        name: &'static str,
        device: &str,
        mut config: Config,
        port: u16,
        most: usize,
    ) -> Result<Self, OpenError> {
        let connections = config.max_connections.unwrap_or(most).min(most);
        config.max_connections = Some(connections);
        Ok(Self { name, stack: Stack::open(device, config)?, port, connections })
    }

    /// Lets clients in, with `options` but for the backlog: all connections that there can be may be on their way. Prints each address
    /// at which they find the program.
    ///
    /// # Errors
    ///
    /// As [`listen`](ukvm_net_stack::Stack::listen).
    pub fn listen(self, options: TcpOptions) -> Result<TcpListener, BindError> {
        let Self { name, stack, port, connections } = self;
        let listener = stack.listen(port, TcpOptions { backlog: connections, ..options })?;
        drop(task::spawn(async move {
            let say = |address| println!("{name}: at {address} port {port}, up to {connections} connections");
            stack.for_each_address(say).await;
        }));
        Ok(listener)
    }
}
