//! Connections from the host to a guest whose network only this process and the guest are in.

use std::fmt::{self, Display};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};
use ukvm::error::{Error, ErrorKind};

/// How many ports behind a taken one are tried.
const TRIED: u16 = 100;
/// The port of HTTP.
const HTTP: u16 = 80;
/// How long a guest may take to listen, from when somebody wants to connect: it may just have been started.
const PATIENCE: Duration = Duration::from_secs(5);
/// The time between two attempts to connect to it.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Which port of the host stands for which of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    /// None does.
    None,
    /// This one.
    Pair {
        /// The first to try.
        host: u16,
        /// That of the guest.
        guest: u16,
    },
}

impl FromStr for Ports {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "write two port numbers from 1 to 65535 as 8080:80, or none";
        if text == "none" {
            return Ok(Self::None);
        }
        let port = |text: &str| text.parse().ok().filter(|&port: &u16| port != 0).ok_or(EXPECTED);
        let (host, guest) = text.split_once(':').ok_or(EXPECTED)?;
        Ok(Self::Pair { host: port(host)?, guest: port(guest)? })
    }
}

/// A port of 127.0.0.1 that is ours. Its `Display` tells people what is behind it.
#[derive(Debug)]
pub(crate) struct Forward {
    listener: TcpListener,
    guest: u16,
}

impl Forward {
    /// Takes the port in this thread's network namespace, or the next one that is free.
    ///
    /// # Errors
    ///
    /// Where none is free, or this user may not have it.
    pub(crate) fn listen(host: u16, guest: u16) -> Result<Self, Error> {
        let candidates = host..=host.saturating_add(TRIED);
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for port in candidates {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(listener) => return Ok(Self { listener, guest }),
                Err(error) => last = error,
            }
            if last.kind() != io::ErrorKind::AddrInUse {
                break;
            }
        }
        let kind = match last.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::NoPermission,
            _ => ErrorKind::HostIo,
        };
        Err(Error::new(
            kind,
            format!(
                "no port of 127.0.0.1 from {host} on can be listened on ({last}); name another by --forward"
            ),
        ))
    }

    /// Passes on what comes to the guest at `address`, which this thread's network namespace knows, as long as this process runs.
    pub(crate) fn pass_on(self, address: Ipv4Addr) {
        let guest = SocketAddr::from((address, self.guest));
        // Where there can be no more threads, nobody is answered: the guest itself runs on.
        let _ = thread::Builder::new().spawn(move || {
            for stream in self.listener.incoming() {
                match stream {
                    Ok(stream) => drop(thread::Builder::new().spawn(move || serve(&stream, guest))),
                    // Such as no more descriptors: some will be free again.
                    Err(_) => thread::sleep(LOOK_AGAIN),
                }
            }
        });
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().map_or(0, |address| address.port())
    }
}

impl Display for Forward {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (port, guest) = (self.port(), self.guest);
        match guest {
            HTTP => write!(to, "http://127.0.0.1:{port}/ → port {guest} of the guest"),
            _ => write!(to, "127.0.0.1:{port} → port {guest} of the guest"),
        }
    }
}

/// Joins a client with the guest, until both have said all. A client of a guest that does not listen finds its connection closed.
fn serve(client: &TcpStream, guest: SocketAddr) {
    let Some(guest) = connect(guest) else { return };
    // What is small is not to wait for more.
    let _ = client.set_nodelay(true);
    let _ = guest.set_nodelay(true);
    thread::scope(|scope| {
        let back = thread::Builder::new().spawn_scoped(scope, || carry(&guest, client));
        if back.is_ok() {
            carry(client, &guest);
        }
    });
}

fn connect(guest: SocketAddr) -> Option<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect_timeout(&guest, PATIENCE) {
            Ok(stream) => return Some(stream),
            Err(_) if Instant::now() < deadline => thread::sleep(LOOK_AGAIN),
            Err(_) => return None,
        }
    }
}

/// Carries what `from` says to `to`, its end included.
fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    match io::copy(&mut from, &mut to) {
        Ok(_) => drop(to.shutdown(Shutdown::Write)),
        // One side is gone, and so the other has nobody to talk to.
        Err(_) => [from, to].map(|stream| drop(stream.shutdown(Shutdown::Both))).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn two_ports_or_none() {
        assert_eq!("8080:80".parse(), Ok(Ports::Pair { host: 8080, guest: 80 }));
        assert_eq!("none".parse(), Ok(Ports::None));
        for text in ["", "80", "0:80", "80:0", "80:65536", "a:80", "80:80:80", "None"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_next_free_port_is_taken_and_told() {
        let first = Forward::listen(18_080, 80).unwrap();
        let second = Forward::listen(first.port(), 7).unwrap();
        assert!(second.port() > first.port());
        assert_eq!(first.to_string(), format!("http://127.0.0.1:{}/ → port 80 of the guest", first.port()));
        assert_eq!(second.to_string(), format!("127.0.0.1:{} → port 7 of the guest", second.port()));
    }

    #[test]
    fn both_directions_end_apart() {
        let guest = TcpListener::bind("127.0.0.1:0").unwrap();
        let forward = Forward::listen(18_280, guest.local_addr().unwrap().port()).unwrap();
        let way = (Ipv4Addr::LOCALHOST, forward.port());
        forward.pass_on(Ipv4Addr::LOCALHOST);
        let mut client = TcpStream::connect(way).unwrap();
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (mut stream, _) = guest.accept().unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "question");
        stream.write_all(b"answer").unwrap();
        drop(stream);
        heard.clear();
        client.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "answer");
    }

    #[test]
    fn a_guest_that_listens_a_little_later_is_reached() {
        let place = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let forward = Forward::listen(18_480, place.port()).unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, forward.port())).unwrap();
        forward.pass_on(Ipv4Addr::LOCALHOST);
        thread::sleep(Duration::from_millis(50));
        let guest = TcpListener::bind(place).unwrap();
        guest.accept().unwrap().0.write_all(b"here").unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "here");
    }
}
