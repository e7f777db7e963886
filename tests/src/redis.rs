//! A client of the Redis protocol, and guests that speak it.

use crate::client::{connect, wait_for_listener};
use crate::network;
use crate::run::{Finished, Run, Running};
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// The address of the guest.
pub const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// Its port.
pub const PORT: u16 = 6379;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A word.
    Simple(String),
    /// An error.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// No value.
    Nil,
    /// Several.
    Array(Vec<Self>),
}

impl Value {
    /// That of a command that has nothing else to say.
    #[must_use]
    pub fn ok() -> Self {
        Self::Simple("OK".into())
    }

    /// The error that it is.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// A connection to the guest.
    #[must_use]
    pub fn new() -> Self {
        Self(BufReader::new(connect(PEER, PORT)))
    }

    /// Sends bytes, whatever they are. Whether that worked.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.get_mut().write_all(bytes).is_ok()
    }

    /// Sends a command, and gives the answer.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn call<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Value {
        self.try_call(command).expect("an answer")
    }

    /// As [`call`](Self::call); nothing if the connection ended before.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Option<Value> {
        if self.send(&encode(command)) { self.answer() } else { None }
    }

    /// The next answer; nothing at the end of the connection.
    pub fn answer(&mut self) -> Option<Value> {
        let line = self.line()?;
        let (kind, rest) = line.split_at(1);
        let number = || rest.parse::<i64>().unwrap_or_else(|_| panic!("{line:?}"));
        Some(match kind {
            "+" => Value::Simple(rest.into()),
            "-" => Value::Error(rest.into()),
            ":" => Value::Integer(number()),
            "$" => match usize::try_from(number()) {
                Err(_) => Value::Nil,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.0.read_exact(&mut bytes).ok()?;
                    assert!(bytes.ends_with(b"\r\n"), "{line:?}");
                    bytes.truncate(length);
                    Value::Bulk(bytes)
                }
            },
            "*" => Value::Array((0..number()).map(|_| self.answer()).collect::<Option<_>>()?),
            _ => panic!("{line:?} is no answer"),
        })
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = self.0.read_until(b'\n', &mut line);
        if read.is_err() || !line.ends_with(b"\n") {
            return None;
        }
        assert!(line.ends_with(b"\r\n"), "{line:?}");
        line.truncate(line.len() - 2);
        Some(String::from_utf8_lossy(&line).into_owned())
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

/// A command as it is sent.
#[must_use]
pub fn encode<A: AsRef<[u8]>>(command: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for argument in command {
        let argument = argument.as_ref();
        bytes.extend(format!("${}\r\n", argument.len()).bytes());
        bytes.extend(argument);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// `kv-server` with an image as its disk.
#[must_use]
pub fn run(image: &Path) -> Run {
    Run::guest("kv-server")
        .option("--net", "tap0")
        .option("--disk", image)
        .args(["--ip", "10.0.0.2/24", "--ip", "fd00::2/64"])
        .deadline(Duration::from_secs(600))
}

/// Starts it, and waits until it can be asked. The namespace must have a [`tap`].
#[must_use]
pub fn start(run: Run) -> Running {
    let guest = run.start();
    wait_for_listener(PEER, PORT);
    guest
}

/// Makes the interface that guests here are attached to.
pub fn tap() {
    network::make_tap_with_address("tap0");
}

/// Ends a guest in order.
pub fn end(guest: Running) -> Finished {
    guest.signal(Signal::SIGTERM);
    let ended = guest.wait().status(0);
    let text = ended.text();
    assert!(text.lines().all(|line| line.starts_with("kv-server: ")), "{text}");
    ended
}
