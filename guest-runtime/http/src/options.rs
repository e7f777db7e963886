//! The arguments that all servers of HTTP have in common.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use ukvm_net_stack::{Config, Options as NetworkOptions};

/// The port of HTTP.
pub const HTTP_PORT: u16 = 80;
/// The port of HTTP over TLS.
pub const HTTPS_PORT: u16 = 443;
/// How long a client may take if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest timeout in seconds: a day.
const MOST_SECONDS: u64 = 86_400;

/// What the arguments of a server say: those of the [network](NetworkOptions), and
///
/// | argument | |
/// |---|---|
/// | `--timeout SECONDS` | how long a client may take for each step, 1 to 86400; 10 if not given |
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses, gateways, limits.
    pub network: Config,
    /// The TCP port.
    pub port: u16,
    /// How long a client may take for each step.
    pub timeout: Duration,
}

impl Options {
    /// Reads the arguments. `port` is that of the protocol, for which no argument is needed.
    ///
    /// # Errors
    ///
    /// What is wrong with them, as a sentence.
    pub fn parse<'a>(port: u16, arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let (network, others) = NetworkOptions::parse(arguments).map_err(|error| error.to_string())?;
        let mut timeout = TIMEOUT;
        let mut others = others.into_iter();
        while let Some(argument) = others.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (argument, None),
            };
            if name != "--timeout" {
                let known = NetworkOptions::KNOWN;
                return Err(format!("`{argument}` is not known here: use one of {known}, --timeout"));
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
        Ok(Self { network: network.config, port: network.port.unwrap_or(port), timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_has_a_default() {
        let options = Options::parse(HTTP_PORT, []).unwrap();
        assert_eq!((options.port, options.timeout), (80, Duration::from_secs(10)));
        let options = Options::parse(HTTPS_PORT, ["--timeout", "3", "--ip", "10.0.0.2/24"]).unwrap();
        assert_eq!((options.port, options.timeout), (443, Duration::from_secs(3)));
        assert_eq!(options.network.addresses.len(), 1);
        let options =
            Options::parse(HTTPS_PORT, ["--timeout", "3", "--port=8080", "--ip", "10.0.0.2/24"]).unwrap();
        assert_eq!((options.port, options.timeout), (8080, Duration::from_secs(3)));
        assert_eq!(options.network.addresses.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error =
            |arguments: &[&'static str]| Options::parse(HTTP_PORT, arguments.iter().copied()).unwrap_err();
        assert_eq!(
            error(&["--timout=3"]),
            "`--timout=3` is not known here: \
             use one of --ip, --hostname, --gateway, --dns, --port, --max-connections, --timeout"
        );
        assert_eq!(error(&["--timeout"]), "--timeout needs a value: add it behind --timeout");
        for value in ["0", "86401", "-1", "soon", ""] {
            let argument = format!("--timeout={value}");
            let expected = format!("`{value}` is no good for --timeout: it is 1 to 86400 seconds");
            assert_eq!(Options::parse(HTTP_PORT, [&*argument]).unwrap_err(), expected);
        }
        assert!(error(&["--port", "0"]).contains("65535"));
    }
}
