//! Names to addresses, by asking DNS servers.
//!
//! smoltcp has a socket for this. It asks one server for ten seconds before it turns to the next, takes one answer for a name that does
//! not exist unseen, and gives up where an answer is longer than a datagram.

use crate::config::{TcpOptions, UdpOptions};
use crate::dns::{Answer, Kind, Name, Query};
use crate::timer::before;
use crate::{IpAddress, IpEndpoint, Stack, TcpStream, UdpSocket};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use embedded_io_async::{Read, Write};
use smoltcp::time::{Duration, Instant};

/// The servers' port.
const PORT: u16 = 53;
/// How long a server may take in the first round. Each further round gives it twice as much.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often each server is asked.
const ROUNDS: u32 = 3;
/// Answers to two questions, and room for some that are none.
const UDP: UdpOptions = UdpOptions { receive_buffer: 16 << 10, receive_datagrams: 32 };
/// One short question, one long answer.
const TCP: TcpOptions =
    TcpOptions { backlog: 0, receive_buffer: 4 << 10, send_buffer: 512, keep_alive: None, nagle: false };

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// There can be no such name.
    BadName,
    /// No server is known.
    NoServer,
    /// There is no such name, or it has no address.
    NotFound,
    /// No server gave an answer that is of use.
    NoAnswer,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadName => "this is not a name: give labels of 1 to 63 characters with dots between them",
            Self::NoServer => "no DNS server is known: give one with --dns",
            Self::NotFound => "the name has no address",
            Self::NoAnswer => "no DNS server has answered",
        })
    }
}

impl core::error::Error for ResolveError {}

/// What is known of the addresses of one kind.
#[derive(Debug)]
struct Finding {
    kind: Kind,
    /// What the servers say, once one does.
    addresses: Option<Vec<IpAddress>>,
}

impl Stack {
    /// The addresses of the host `name`, those first that the stack can reach, and IPv6 before IPv4. An address in text form
    /// stands for itself.
    ///
    /// Each server is asked up to three times, and may take 1 s, 2 s and 4 s; so with one server that does not answer this ends
    /// after 7 s. Nothing is remembered: a program that asks often should.
    ///
    /// # Errors
    ///
    /// A [`ResolveError`].
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddress>, ResolveError> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let name = Name::new(name).ok_or(ResolveError::BadName)?;
        let servers = self.dns_servers();
        if servers.is_empty() {
            return Err(ResolveError::NoServer);
        }
        let mut findings = [Kind::V6, Kind::V4].map(|kind| Finding { kind, addresses: None });
        for round in 0..ROUNDS {
            for &server in &servers {
                let until = self.0.borrow_mut().tick() + PATIENCE * (1 << round);
                if self.ask_server(IpEndpoint::new(server, PORT), &name, &mut findings, until).await {
                    return Err(ResolveError::NotFound);
                }
                let found: Vec<_> = findings
                    .iter()
                    .filter_map(|finding| finding.addresses.as_ref())
                    .flatten()
                    .copied()
                    .collect();
                if !found.is_empty() {
                    // If it has said nothing of the other kind, it will not do so the next time.
                    return Ok(self.reachable_first(found));
                }
                if findings.iter().all(|finding| finding.addresses.is_some()) {
                    return Err(ResolveError::NotFound);
                }
            }
        }
        Err(ResolveError::NoAnswer)
    }

    fn reachable_first(&self, mut addresses: Vec<IpAddress>) -> Vec<IpAddress> {
        let engine = self.0.borrow();
        addresses.sort_by_key(|&address| !engine.reaches(address));
        addresses
    }

    /// Asks a server for what is missing. Whether it says that there is no such name.
    async fn ask_server(
        &self,
        server: IpEndpoint,
        name: &Name,
        findings: &mut [Finding],
        until: Instant,
    ) -> bool {
        // Another port and other numbers each time: whoever wants to answer in its place has to guess both (RFC 5452).
        let Ok(socket) = UdpSocket::bind_with(self, 0, UDP) else { return false };
        let mut open = Vec::new();
        for finding in findings.iter_mut().filter(|finding| finding.addresses.is_none()) {
            let id = self.0.borrow_mut().random.next() as u16;
            let query = Query { id, name, kind: finding.kind };
            if matches!(before(&self.0, until, socket.send_to(&query.to_bytes(), server)).await, Some(Ok(())))
            {
                open.push((query, finding));
            }
        }
        let mut buffer = vec![0; self.0.borrow().transmit.mtu()];
        while !open.is_empty() {
            let (length, peer) = match before(&self.0, until, socket.recv_from(&mut buffer)).await {
                None => return false,
                Some(Ok(datagram)) => datagram,
                Some(Err(_)) => continue,
            };
            if peer.endpoint != server {
                continue;
            }
            let answered = open
                .iter()
                .enumerate()
                .find_map(|(index, (query, _))| Some((index, query.answer(&buffer[..length])?)));
            let Some((index, mut answer)) = answered else { continue };
            let (query, finding) = open.swap_remove(index);
            if answer == Answer::Truncated {
                let asked = before(&self.0, until, self.ask_by_stream(server, query)).await;
                answer = asked.flatten().unwrap_or(Answer::Failed);
            }
            match answer {
                Answer::Addresses(addresses) => finding.addresses = Some(addresses),
                Answer::NoSuchName => return true,
                Answer::Truncated | Answer::Failed => {}
            }
        }
        false
    }

    /// Asks over TCP (RFC 7766), where a message has its length before it.
    async fn ask_by_stream(&self, server: IpEndpoint, query: Query<'_>) -> Option<Answer> {
        let mut stream = TcpStream::connect(self, server, TCP).await.ok()?;
        let message = query.to_bytes();
        stream.write_all(&(message.len() as u16).to_be_bytes()).await.ok()?;
        stream.write_all(&message).await.ok()?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).await.ok()?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).await.ok()?;
        query.answer(&answer)
    }
}
