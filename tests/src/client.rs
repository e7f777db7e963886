//! Clients of the guests' services: sockets, and curl.

use crate::files::call;
use crate::suite::patience;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A connection whose reads give up after a while.
#[must_use]
pub fn connect(address: IpAddr, port: u16) -> TcpStream {
    let time = patience(Duration::from_secs(10));
    let stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), time).expect("a connection");
    stream.set_read_timeout(Some(time)).expect("a time limit");
    stream
}

/// Waits until somebody listens.
pub fn wait_for_listener(address: IpAddr, port: u16) {
    let deadline = Instant::now() + patience(Duration::from_secs(20));
    while TcpStream::connect_timeout(&SocketAddr::new(address, port), Duration::from_millis(500)).is_err() {
        assert!(Instant::now() < deadline, "nobody listens");
    }
}

/// What a service on port 80 answers to `request`, up to the end of the connection or of a second without a byte.
#[must_use]
pub fn answer(address: IpAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(address, 80);
    stream.write_all(request).expect("the peer takes everything");
    stream.set_read_timeout(Some(patience(Duration::from_secs(1)))).expect("a time limit");
    let (mut bytes, mut buffer) = (Vec::new(), [0; 10_000]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..length]);
    }
    bytes
}

/// A reply over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The lines of the fields.
    head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The reply at the beginning of `bytes`, which has all of them as its body.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {text}"));
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("no status: {head}")),
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// What curl gets with these arguments.
    #[must_use]
    pub fn of_curl(arguments: &[&str]) -> Self {
        let mut all = vec!["--silent", "--show-error", "--max-time", "60", "--include", "--path-as-is"];
        all.extend(arguments);
        Self::parse(&call("curl", &all).stdout)
    }

    /// The value of a field that there is once at most.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is there twice: {}", self.head);
        value
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
