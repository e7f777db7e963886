//! The peer that sends and receives much over TCP: a socket of the kernel.

use super::network::{GUEST, PORT};
use crate::error::Error;
use crate::session::Session;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes that are moved to learn how many to measure with, some of them to open the windows.
const FIRST: [u64; 3] = [256 << 10, 1 << 20, 4 << 20];
/// The most bytes of a measurement: a second at 2 Gbit/s.
const MOST: u64 = 256 << 20;
/// Bytes that a call moves.
const CHUNK: usize = 1 << 20;

/// Whence and where to, as the guest sees it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Out,
    In,
}

/// A connection to a subject.
pub(super) struct Bulk {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Bulk {
    pub(super) fn connect(session: &Session) -> Result<Self, Error> {
        let connected = TcpStream::connect_timeout(&(GUEST, PORT).into(), session.patience);
        let stream = connected.and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(session.patience))?;
            stream.set_write_timeout(Some(session.patience))?;
            Ok(stream)
        });
        let stream = stream.map_err(|error| {
            Error::program(format!(
                "{GUEST} accepts no connection ({error}); look whether a firewall drops TCP on tap0"
            ))
        })?;
        Ok(Self { stream, buffer: vec![0; CHUNK] })
    }

    /// Moves as much as takes about `length`; the time of a byte, in nanoseconds. It ends when the last byte is known to have
    /// arrived.
    pub(super) fn measure(&mut self, direction: Direction, length: Duration) -> Result<f64, Error> {
        let mut bytes = 0;
        let mut took = Duration::ZERO;
        for first in FIRST {
            bytes = first;
            took = self.transfer(direction, bytes)?;
            if took > length {
                break;
            }
        }
        let each = took.as_secs_f64() / bytes as f64;
        let bytes = ((length.as_secs_f64() / each) as u64).clamp(FIRST[0], MOST);
        let took = self.transfer(direction, bytes)?;
        Ok(took.as_nanos() as f64 / bytes as f64)
    }

    fn transfer(&mut self, direction: Direction, bytes: u64) -> Result<Duration, Error> {
        let start = Instant::now();
        let moved = match direction {
            Direction::In => self.give(bytes),
            Direction::Out => self.take(bytes),
        };
        moved.map_err(|error| {
            Error::program(format!("a transfer over TCP failed ({error}); look at the guest io"))
        })?;
        Ok(start.elapsed())
    }

    fn ask(&mut self, what: u8, bytes: u64) -> io::Result<()> {
        let mut question = [what; 9];
        if let Some(number) = question.last_chunk_mut() {
            *number = bytes.to_le_bytes();
        }
        self.stream.write_all(&question)
    }

    fn give(&mut self, mut left: u64) -> io::Result<()> {
        self.ask(b'i', left)?;
        while left > 0 {
            let most = self.buffer.len().min(left as usize);
            let bytes = self.buffer.get(..most).unwrap_or_default();
            left -= self.stream.write(bytes)? as u64;
        }
        self.stream.read_exact(&mut [0])
    }

    fn take(&mut self, mut left: u64) -> io::Result<()> {
        self.ask(b'o', left)?;
        while left > 0 {
            let most = self.buffer.len().min(left as usize);
            match self.stream.read(self.buffer.get_mut(..most).unwrap_or_default())? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => left -= count as u64,
            }
        }
        Ok(())
    }
}
