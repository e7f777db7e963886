//! The HTTP client of the demo.

use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long one attempt to connect may take, and how long one request.
const CONNECT: Duration = Duration::from_millis(1500);
const REQUEST: Duration = Duration::from_secs(10);

/// What an answer should be.
#[derive(Debug)]
pub(super) struct Expected {
    /// The status code.
    pub(super) status: u16,
    /// The whole body.
    pub(super) body: String,
}

/// A client of one service on port 80.
#[derive(Debug)]
pub(super) struct Client {
    address: Ipv4Addr,
    agent: ureq::Agent,
}

impl Client {
    pub(super) fn new(address: [u8; 4]) -> Self {
        let config = ureq::Agent::config_builder()
            // There is no proxy in the demo's network namespace, whatever the environment says.
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(REQUEST))
            .build();
        Self { address: address.into(), agent: config.into() }
    }

    /// Whether the service accepts a connection.
    pub(super) fn can_connect(&self) -> bool {
        TcpStream::connect_timeout(&SocketAddr::from((self.address, 80)), CONNECT).is_ok()
    }

    /// Makes a request, prints it and the answer, and says whether the answer is the expected one.
    pub(super) fn ask(&self, path: &str, expected: &Expected) -> Result<bool> {
        let url = format!("http://{}{path}", self.address);
        println!("$ curl --include '{url}'");
        let started = Instant::now();
        let mut answer = self.agent.get(&url).call().with_context(|| format!("no answer to {url}"))?;
        let body = answer.body_mut().read_to_string().with_context(|| format!("no whole answer to {url}"))?;
        let took = started.elapsed();
        println!("{:?} {}", answer.version(), answer.status());
        for (name, value) in answer.headers() {
            println!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
        println!("\n{body}\n");
        let right = answer.status().as_u16() == expected.status && body == expected.body;
        if right {
            println!("Right, after {:.2} ms.\n", took.as_secs_f64() * 1e3);
        } else {
            println!("WRONG: it should be {} with '{}'.\n", expected.status, expected.body);
        }
        Ok(right)
    }
}
