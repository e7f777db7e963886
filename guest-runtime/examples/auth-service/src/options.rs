//! The arguments of the program.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use ukvm_runtime::net;

/// What the arguments say.
pub(crate) struct Options {
    /// Addresses, gateways, limits.
    pub(crate) network: net::Config,
    /// The TCP port.
    pub(crate) port: u16,
    /// How long a client may take for each step.
    pub(crate) timeout: Duration,
}

impl Options {
    /// Reads the arguments, or says what is wrong with them.
    pub(crate) fn parse(arguments: impl Iterator<Item = &'static str>) -> Result<Self, String> {
        let (network, others) = net::Options::parse(arguments).map_err(|error| error.to_string())?;
        let mut timeout = Duration::from_secs(10);
        let mut others = others.into_iter();
        while let Some(argument) = others.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (argument, None),
            };
            if name != "--timeout" {
                let known = net::Options::KNOWN;
                return Err(format!("`{argument}` is not known here: use {known} or --timeout"));
            }
            let Some(value) = value.or_else(|| others.next()) else {
                return Err(format!("{name} needs a value: add it behind {name}"));
            };
            match value.parse() {
                Ok(seconds @ 1..=MOST_SECONDS) => timeout = Duration::from_secs(seconds),
                _ => {
                    return Err(format!(
                        "`{value}` is no good for --timeout: it is 1 to {MOST_SECONDS} seconds"
                    ));
                }
            }
        }
        Ok(Self { network: network.config, port: network.port.unwrap_or(80), timeout })
    }
}

/// The longest timeout in seconds: a day.
const MOST_SECONDS: u64 = 86_400;
