//! The arguments that all network programs have in common.

use crate::config::Config;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use smoltcp::wire::{IpAddress, IpCidr};

/// What a program's arguments say of the network:
///
/// | argument | |
/// |---|---|
/// | `--ip ADDRESS/PREFIX` | an own address, IPv4 or IPv6; may be repeated |
/// | `--ip dhcp` | an IPv4 address from a DHCP server, with the gateway and what else it says |
/// | `--ip dhcp-at-once` | the same, in use 0.1 s earlier, before others can have said that it is theirs |
/// | `--ip slaac` | IPv6 addresses, router, DNS servers and MTU as routers advertise them (RFC 4862) |
/// | `--hostname NAME` | the name that a DHCP server is told |
/// | `--gateway ADDRESS` | where packets to other networks go; once for IPv4 and once for IPv6 |
/// | `--dns ADDRESS` | a DNS server; may be repeated, the first is asked first, those that the network names last |
/// | `--port PORT` | the port to serve, 1 to 65535 |
/// | `--max-connections N` | the most TCP connections at once, at least 1 |
///
/// `--ip=ADDRESS/PREFIX` and the like mean the same.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Addresses, gateways and limits.
    pub config: Config,
    /// The port, if there was one.
    pub port: Option<u16>,
}

/// An argument that cannot be used; the text says which, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionsError(String);

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for OptionsError {}

impl Options {
    /// The arguments' names, for a sentence that says what is known.
    pub const KNOWN: &'static str = "--ip, --hostname, --gateway, --dns, --port, --max-connections";

    /// Takes the network's arguments out of `arguments`. The others come back in their order.
    ///
    /// # Errors
    ///
    /// An [`OptionsError`] where an argument has no value or one that is not possible.
    pub fn parse<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<(Self, Vec<&'a str>), OptionsError> {
        let mut options = Self::default();
        let mut others = Vec::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (argument, None),
            };
            if !matches!(name, "--ip" | "--hostname" | "--gateway" | "--dns" | "--port" | "--max-connections")
            {
                others.push(argument);
                continue;
            }
            let Some(value) = value.or_else(|| arguments.next()) else {
                return Err(OptionsError(alloc::format!("{name} needs a value: add it behind {name}")));
            };
            options.set(name, value)?;
        }
        options.config.check().map_err(|error| OptionsError(alloc::format!("{error}")))?;
        Ok((options, others))
    }

    /// As [`parse`](Self::parse), for programs that have no arguments of their own.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and for every other argument.
    pub fn parse_all<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, OptionsError> {
        let (options, others) = Self::parse(arguments)?;
        match others.first() {
            None => Ok(options),
            Some(other) => {
                Err(OptionsError(alloc::format!("`{other}` is not known here: use one of {}", Self::KNOWN)))
            }
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), OptionsError> {
        let expected = match name {
            "--ip" if value == "dhcp" => {
                self.config.dhcp = true;
                return Ok(());
            }
            "--ip" if value == "dhcp-at-once" => {
                self.config.dhcp = true;
                self.config.dhcp_at_once = true;
                return Ok(());
            }
            "--ip" if value == "slaac" => {
                self.config.slaac = true;
                return Ok(());
            }
            "--hostname" => {
                self.config.host_name = Some(value.into());
                return Ok(());
            }
            "--ip" => match value.parse::<IpCidr>() {
                Ok(cidr) => {
                    self.config.addresses.push(cidr);
                    return Ok(());
                }
                Err(_) => "an address and its prefix length, as in 10.0.0.2/24, or dhcp or slaac",
            },
            "--gateway" => match value.parse::<IpAddress>() {
                Ok(IpAddress::Ipv4(gateway)) if self.config.gateway_v4.is_none() => {
                    self.config.gateway_v4 = Some(gateway);
                    return Ok(());
                }
                Ok(IpAddress::Ipv6(gateway)) if self.config.gateway_v6.is_none() => {
                    self.config.gateway_v6 = Some(gateway);
                    return Ok(());
                }
                Ok(_) => "given once for IPv4 and once for IPv6 at most",
                Err(_) => "an address, as in 10.0.0.1",
            },
            "--dns" => match value.parse::<IpAddress>() {
                Ok(server) => {
                    self.config.dns_servers.push(server);
                    return Ok(());
                }
                Err(_) => "an address, as in 10.0.0.1",
            },
            "--port" => match value.parse::<u16>() {
                Ok(port @ 1..) => {
                    self.port = Some(port);
                    return Ok(());
                }
                _ => "a number from 1 to 65535",
            },
            _ => match value.parse::<usize>() {
                Ok(most @ 1..) => {
                    self.config.max_connections = Some(most);
                    return Ok(());
                }
                _ => "a number, at least 1",
            },
        };
        Err(OptionsError(alloc::format!("`{value}` is no good for {name}: it is {expected}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use smoltcp::wire::Ipv4Address;

    fn error(arguments: &[&str]) -> String {
        Options::parse(arguments.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn both_forms_of_each_argument_are_understood() {
        let arguments = ["--ip", "10.0.0.2/24", "-v", "--ip=fd00::2/64", "--gateway=10.0.0.1", "--gateway"];
        let arguments =
            arguments.into_iter().chain(["fd00::1", "--port", "8080", "--max-connections=9", "x"]);
        let arguments = arguments.chain(["--ip=slaac", "--dns", "10.0.0.53", "--dns=fd00::53"]);
        let (options, others) = Options::parse(arguments).unwrap();
        assert_eq!(options.config.addresses.len(), 2);
        assert_eq!(options.config.gateway_v4, Some(Ipv4Address::new(10, 0, 0, 1)));
        assert!(options.config.gateway_v6.is_some() && options.config.slaac);
        assert_eq!(options.config.dns_servers[0], IpAddress::v4(10, 0, 0, 53));
        assert_eq!(options.config.dns_servers.len(), 2);
        assert_eq!((options.port, options.config.max_connections), (Some(8080), Some(9)));
        assert_eq!(others, ["-v", "x"]);
    }

    #[test]
    fn a_server_may_be_asked_for_the_address() {
        let (options, others) =
            Options::parse(["--ip=dhcp", "--hostname", "web-1", "--ip", "fd00::2/64"]).unwrap();
        assert!(options.config.dhcp && !options.config.dhcp_at_once && others.is_empty());
        let (at_once, _) = Options::parse(["--ip", "dhcp-at-once"]).unwrap();
        assert!(at_once.config.dhcp && at_once.config.dhcp_at_once);
        assert_eq!(options.config.host_name.as_deref(), Some("web-1"));
        assert_eq!(options.config.addresses.len(), 1);
        let name = alloc::format!("{}.example", "x".repeat(64));
        for name in ["", "a b", "a..b", ".", name.as_str()] {
            assert!(
                error(&["--hostname", name]).starts_with("the host's name cannot be one: use "),
                "{name}"
            );
        }
        let mut many: Vec<&str> = ["--ip", "fd00::2/64"].repeat(7);
        assert!(Options::parse(many.iter().copied()).is_ok());
        many.extend(["--ip", "dhcp"]);
        assert_eq!(error(&many), "8 addresses are too many: give at most 7");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(error(&["--ip"]), "--ip needs a value: add it behind --ip");
        assert_eq!(
            error(&["--ip", "10.0.0.2"]),
            "`10.0.0.2` is no good for --ip: it is an address and its prefix length, as in 10.0.0.2/24, or \
             dhcp or slaac"
        );
        assert_eq!(error(&["--port=0"]), "`0` is no good for --port: it is a number from 1 to 65535");
        assert!(error(&["--port", "65536"]).contains("65535"));
        assert!(error(&["--max-connections=-1"]).contains("at least 1"));
        assert!(error(&["--gateway", "1.1.1.1", "--gateway", "1.1.1.2"]).contains("once"));
        assert!(error(&["--ip", "224.0.0.1/4"]).contains("unicast"));
        assert!(error(&["--ip", "10.0.0.1/33"]).contains("prefix"));
        assert!(error(&["--dns", "resolver.example"]).contains("an address"));
        assert_eq!(error(&["--dns", "ff02::fb"]), "ff02::fb cannot be a DNS server: give a unicast address");
        for gateway in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"] {
            assert_eq!(
                error(&["--gateway", gateway]),
                alloc::format!("{gateway} cannot be a gateway: give a unicast address")
            );
        }
        assert!(
            Options::parse_all(["--prot", "1"]).unwrap_err().to_string().contains("`--prot` is not known")
        );
    }
}
