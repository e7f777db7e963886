//! The client that loads a server: wrk.

use crate::error::Error;
use crate::load::Measured;
use crate::session::Session;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Prints the figures in a line of their own: requests, microseconds, failures, and the latencies of half and of 99 % of the requests
/// in microseconds.
pub(super) const SCRIPT: &str = r#"
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("figures %d %d %d %d %d\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
"#;

/// wrk with its script.
#[derive(Debug)]
pub(super) struct Wrk {
    program: PathBuf,
    script: PathBuf,
}

impl Wrk {
    pub(super) const fn new(program: PathBuf, script: PathBuf) -> Self {
        Self { program, script }
    }

    /// Asks for `url` over so many connections, again and again, for whole seconds; `anew`: each time over a new one.
    pub(super) fn load(
        &self,
        url: &str,
        connections: u32,
        anew: bool,
        length: Duration,
        session: &Session,
    ) -> Result<Measured, Error> {
        let close: &[&str] = if anew { &["-H", "Connection: close"] } else { &[] };
        let output = Command::new(&self.program)
            .args(close)
            .args(["-t1", "--timeout", "10s"])
            .args(["-c", &connections.to_string(), "-d", &format!("{}s", length.as_secs())])
            .arg("-s")
            .args([self.script.as_os_str(), url.as_ref()])
            .output()
            .map_err(|error| Error::start(&self.program, &error))?;
        if session.is_interrupted() {
            return Err(Error::interrupted());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("figures "));
        let failed = |what: &str| Error::program(format!("wrk on {url} {what}; start again"));
        match line.and_then(parse) {
            Some((measured, 0)) => Ok(measured),
            Some((_, failures)) => Err(failed(&format!("had {failures} requests that failed"))),
            None => Err(failed("told nothing that could be understood")),
        }
    }
}

/// What a line of figures says, and how many requests failed.
fn parse(line: &str) -> Option<(Measured, u64)> {
    let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let [requests, microseconds, failures, p50, p99] = numbers[..] else { return None };
    if requests == 0 || microseconds == 0 {
        return None;
    }
    let per_second = requests as f64 / (microseconds as f64 / 1e6);
    Some((Measured { per_second, p50_ns: p50 as f64 * 1e3, p99_ns: p99 as f64 * 1e3 }, failures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_understood() {
        let measured = Measured { per_second: 500.0, p50_ns: 120_000.0, p99_ns: 900_000.0 };
        assert_eq!(parse("1000 2000000 0 120 900"), Some((measured, 0)));
        assert_eq!(parse("1000 2000000 3 120 900").map(|(_, failures)| failures), Some(3));
        for line in ["", "0 2000000 0 120 900", "1000 0 0 120 900", "1 2 3 4", "a b c d e"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
