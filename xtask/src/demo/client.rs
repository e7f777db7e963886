//! The HTTP client of the demo.

use anyhow::{Context, Result};
use std::net::{SocketAddr, TcpStream};
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

/// A client of one service.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    agent: ureq::Agent,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            // There is no proxy in the demo's network namespace, whatever the environment says.
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(REQUEST))
            .build();
        Self { address, agent: config.into() }
    }

    /// Whether the service accepts a connection.
    pub(super) fn can_connect(&self) -> bool {
        TcpStream::connect_timeout(&self.address, CONNECT).is_ok()
    }

    /// Makes a request, prints it and the answer, and says whether the answer is the expected one.
    pub(super) fn ask(&self, path: &str, expected: &Expected) -> Result<bool> {
        let host = match self.address.port() {
            80 => self.address.ip().to_string(),
            _ => self.address.to_string(),
        };
        let url = format!("http://{host}{path}");
        println!("\n$ curl --include '{url}'");
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
            println!("Right, after {:.2} ms.", took.as_secs_f64() * 1e3);
        } else {
            println!("WRONG: it should be {} with '{}'.", expected.status, expected.body);
        }
        Ok(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn answers_are_compared_in_full() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for stream in listener.incoming().take(4) {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                requests.push(
                    String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned(),
                );
                // The first connection is only a look whether anybody is there.
                let _ = stream.write_all(
                    b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
                );
            }
            requests
        });
        assert!(client.can_connect());
        let expected = |status, body: &str| Expected { status, body: body.into() };
        assert!(client.ask("/a?b=c", &expected(401, "no")).unwrap());
        assert!(!client.ask("/", &expected(200, "no")).unwrap());
        assert!(!client.ask("/", &expected(401, "n")).unwrap());
        assert_eq!(server.join().unwrap(), ["", "GET /a?b=c HTTP/1.1", "GET / HTTP/1.1", "GET / HTTP/1.1"]);
        assert!(!client.can_connect());
    }
}
