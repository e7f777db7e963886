//! The client that loads a server: redis-benchmark.

use crate::error::Error;
use crate::load::Measured;
use crate::session::Session;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::Command;

/// Keys that are chosen from.
const KEYS: &str = "10000";

/// redis-benchmark.
#[derive(Debug)]
pub(super) struct Benchmark(pub(super) PathBuf);

impl Benchmark {
    /// Sends so many commands over so many connections, each with up to `pipeline` under way.
    pub(super) fn load(
        &self,
        address: SocketAddrV4,
        command: &str,
        (clients, pipeline, requests): (u32, u32, u32),
        session: &Session,
    ) -> Result<Measured, Error> {
        let output = Command::new(&self.0)
            .args(["--csv", "-r", KEYS, "-t", &command.to_lowercase()])
            .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()])
            .args(["-c", &clients.to_string(), "-P", &pipeline.to_string(), "-n", &requests.to_string()])
            .output()
            .map_err(|error| Error::start(&self.0, &error))?;
        if session.is_interrupted() {
            return Err(Error::interrupted());
        }
        let failed = |what: &str| {
            Error::program(format!("redis-benchmark with {command} on {address} {what}; start again"))
        };
        // It says on standard error what it does not like of a server.
        if !output.status.success() || !output.stderr.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(&format!("failed: {}", said.lines().next().unwrap_or_default())));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        parse(&text, command).ok_or_else(|| failed("told nothing that could be understood"))
    }
}

/// What the line of a command says, in the columns that the first line names.
fn parse(text: &str, command: &str) -> Option<Measured> {
    let cells =
        |line: &str| line.split(',').map(|cell| cell.trim_matches('"').to_owned()).collect::<Vec<_>>();
    let mut lines = text.lines().map(cells);
    let names = lines.find(|cells| cells.first().is_some_and(|cell| cell == "test"))?;
    let line = lines.find(|cells| cells.first().is_some_and(|cell| cell == command))?;
    let figure = |name: &str| {
        let place = names.iter().position(|cell| cell == name)?;
        line.get(place)?.parse::<f64>().ok().filter(|value| *value > 0.0)
    };
    const MILLISECOND: f64 = 1e6;
    Some(Measured {
        per_second: figure("rps")?,
        p50_ns: figure("p50_latency_ms")? * MILLISECOND,
        p99_ns: figure("p99_latency_ms")? * MILLISECOND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_understood() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\",\"p50_latency_ms\",\"p99_latency_ms\"\n\
                    \"SET\",\"2000.50\",\"0.4\",\"0.375\",\"1.5\"\n";
        let measured = Measured { per_second: 2000.5, p50_ns: 375_000.0, p99_ns: 1_500_000.0 };
        assert_eq!(parse(text, "SET"), Some(measured));
        assert_eq!(parse(text, "GET"), None);
        assert_eq!(parse(&text.replace("2000.50", "0.00"), "SET"), None);
        assert_eq!(parse("", "SET"), None);
    }
}
