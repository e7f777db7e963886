//! A web server that says what a test has it say, however wrong that is.

use nix::sys::socket::{setsockopt, sockopt};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often to look whether there is something to do.
const TICK: Duration = Duration::from_millis(5);

/// What is said to who asks for a path.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The whole answer, with its head.
    pub bytes: Vec<u8>,
    /// What happens then.
    pub then: Then,
}

/// What a server does when it has said its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It closes the connection.
    Close,
    /// It keeps it, and says nothing more.
    Wait,
    /// It resets it.
    Reset,
}

impl Reply {
    /// These bytes, and then the end of the connection.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), then: Then::Close }
    }

    /// A good answer with this body.
    #[must_use]
    pub fn ok(body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        Self::new([head.as_bytes(), body].concat())
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))
    }

    /// The same, but the connection stays.
    #[must_use]
    pub fn and_waits(self) -> Self {
        Self { then: Then::Wait, ..self }
    }

    /// The same, but the connection is reset.
    #[must_use]
    pub fn and_resets(self) -> Self {
        Self { then: Then::Reset, ..self }
    }
}

/// A server in this thread's network namespace. Ended when it is dropped.
#[derive(Debug)]
pub struct WebServer {
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl WebServer {
    /// Serves `replies`, by path, at an address.
    ///
    /// # Panics
    ///
    /// Where that address cannot be had.
    #[must_use]
    pub fn start(address: impl Into<SocketAddr>, replies: &[(&str, Reply)]) -> Self {
        let listener = TcpListener::bind(address.into()).expect("an address to listen on");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        let replies: Vec<(String, Reply)> =
            replies.iter().map(|(path, reply)| ((*path).to_owned(), reply.clone())).collect();
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (until, note) = (Arc::clone(&stop), Arc::clone(&asked));
        let thread = thread::spawn(move || {
            thread::scope(|connections| {
                while !until.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((stream, _)) => {
                            drop(connections.spawn(|| answer(stream, &replies, &note, &until)))
                        }
                        Err(_) => thread::sleep(TICK),
                    }
                }
            });
        });
        Self { stop, asked, thread: Some(thread) }
    }

    /// The heads of all requests so far.
    ///
    /// # Panics
    ///
    /// If the server has.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("the server does not panic").clone()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // If it has panicked, the test that asks for what it should have said tells more.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Reads one request and answers it. A client that is gone is no matter.
fn answer(
    mut stream: TcpStream,
    replies: &[(String, Reply)],
    asked: &Mutex<Vec<String>>,
    until: &AtomicBool,
) {
    let Ok(head) = request(&mut stream) else { return };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().expect("nobody panics with it").push(head);
    let missing = Reply::new("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
    let reply = replies.iter().find(|(known, _)| *known == path).map_or(&missing, |(_, reply)| reply);
    // Who has seen enough closes before it has all.
    if stream.write_all(&reply.bytes).is_err() {
        return;
    }
    match reply.then {
        Then::Close => drop(stream.shutdown(Shutdown::Write)),
        Then::Wait => {}
        Then::Reset => {
            let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
            setsockopt(&stream, sockopt::Linger, &at_once).expect("a socket has this option");
            return;
        }
    }
    // Until the client closes, too: with bytes on their way it would be a reset.
    while !until.load(Ordering::Relaxed) && stream.read(&mut [0; 64]).is_err() {}
}

/// The head of a request.
fn request(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    stream.set_read_timeout(Some(20 * TICK))?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}
