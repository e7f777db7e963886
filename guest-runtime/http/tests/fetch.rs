//! The client, from the bytes of the answers to the body.

mod time;

use core::cell::RefCell;
use core::future::pending;
use embassy_futures::{block_on, yield_now};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use time::Polls;
use ukvm_http::client::{Client, Connector, Error, HEAD_LIMIT, MOST_INTERIM, MOST_REDIRECTS, Malformed};
use ukvm_http::url::{Url, UrlError};

/// What a server does after the bytes of its script.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Closes,
    Resets,
    IsSilent,
}

/// An answer that was written in advance.
#[derive(Clone)]
struct Script {
    bytes: Vec<u8>,
    then: Then,
    /// How many polls it takes to send a byte where that is slow.
    slow: Option<u64>,
}

fn script(bytes: impl AsRef<[u8]>) -> Script {
    Script { bytes: bytes.as_ref().to_vec(), then: Then::Closes, slow: None }
}

/// Servers that play one script after the other, one a connection, and note what they were asked.
struct Servers {
    scripts: RefCell<VecDeque<Script>>,
    /// The most bytes of a read.
    step: usize,
    asked: RefCell<Vec<Asked>>,
}

/// What one connection was asked.
struct Asked {
    host: String,
    port: u16,
    request: Rc<RefCell<Vec<u8>>>,
}

impl Servers {
    fn new(scripts: impl IntoIterator<Item = Script>, step: usize) -> Self {
        Self { scripts: RefCell::new(scripts.into_iter().collect()), step, asked: RefCell::default() }
    }

    /// The request lines and hosts of all requests.
    fn asked(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        asked
            .iter()
            .map(|Asked { host, port, request }| {
                let request = String::from_utf8(request.borrow().clone()).expect("a request is text");
                format!("{host}:{port} {}", request.lines().next().expect("a line"))
            })
            .collect()
    }
}

impl Connector for Servers {
    type Stream = Stream;
    type Error = &'static str;

    async fn connect(&self, host: &str, port: u16) -> Result<Stream, &'static str> {
        yield_now().await;
        let script = self.scripts.borrow_mut().pop_front().ok_or("nobody listens")?;
        let request = Rc::default();
        self.asked.borrow_mut().push(Asked { host: host.to_owned(), port, request: Rc::clone(&request) });
        Ok(Stream { script, step: self.step, request })
    }
}

struct Stream {
    script: Script,
    step: usize,
    request: Rc<RefCell<Vec<u8>>>,
}

impl ErrorType for Stream {
    type Error = ErrorKind;
}

impl Read for Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        assert!(!buffer.is_empty(), "there is no room");
        yield_now().await;
        let Script { bytes, then, slow } = &mut self.script;
        if bytes.is_empty() {
            return match then {
                Then::Closes => Ok(0),
                Then::Resets => Err(ErrorKind::ConnectionReset),
                Then::IsSilent => pending().await,
            };
        }
        let mut count = bytes.len().min(buffer.len()).min(self.step);
        if let Some(polls) = slow {
            for _ in 0..*polls {
                yield_now().await;
            }
            count = 1;
        }
        buffer[..count].copy_from_slice(&bytes[..count]);
        bytes.drain(..count);
        Ok(count)
    }
}

impl Write for Stream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let count = bytes.len().min(7);
        self.request.borrow_mut().extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

type Fetched = Result<(String, Vec<u8>), Error<&'static str>>;

const START: &str = "http://h/a";

/// Fetches from [`START`] by pieces of so many bytes: where the body came from, and the body.
fn fetch_in_pieces(servers: Servers, piece: usize) -> (Fetched, Servers) {
    let client = Client::new(servers, Polls { now: None }, Duration::from_secs(1), "test");
    let url = Url::parse(START.as_bytes()).expect("a URL");
    let fetched = block_on(async {
        let mut answer = client.get(&url).await?;
        let (mut body, mut buffer) = (Vec::new(), vec![0; piece]);
        loop {
            let count = answer.fill(&mut buffer).await?;
            body.extend_from_slice(&buffer[..count]);
            if count < piece {
                // Behind the end is nothing more.
                assert_eq!(answer.fill(&mut buffer).await, Ok(0));
                break;
            }
        }
        assert!(answer.length().is_none_or(|length| length == body.len() as u64));
        Ok((answer.url().to_string(), body))
    });
    (fetched, client.into_connector())
}

/// Fetches what servers with these scripts give. However the bytes come in pieces, it is the same.
fn fetch(scripts: &[Script]) -> Fetched {
    let whole = fetch_in_pieces(Servers::new(scripts.iter().cloned(), usize::MAX), 4096).0;
    for (step, piece) in [(1, 4096), (2, 3), (7, 1), (usize::MAX, 1), (100, 64)] {
        let parts = fetch_in_pieces(Servers::new(scripts.iter().cloned(), step), piece).0;
        assert_eq!(parts, whole, "{step} bytes at once, and pieces of {piece}");
    }
    whole
}

/// The body of one answer.
fn body(answer: impl AsRef<[u8]>) -> Result<Vec<u8>, Error<&'static str>> {
    fetch(&[script(answer)]).map(|(_, body)| body)
}

fn redirect(status: u16, to: &str) -> Script {
    script(format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {to}\r\nContent-Length: 5\r\n\r\nthere"))
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn bodies_of_all_three_kinds() {
    for answer in [
        HELLO,
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 200\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n003\r\nllo\r\n0;c\r\nDate: now\r\nX: y\r\n\r\n",
        // What follows is nobody's.
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nmore",
        "HTTP/1.1 203 Other\r\nContent-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello",
        "\r\nHTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        assert_eq!(body(answer).as_deref(), Ok(&b"hello"[..]), "{answer}");
    }
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        assert_eq!(body(answer).as_deref(), Ok(&b""[..]), "{answer}");
    }
}

#[test]
fn a_long_body_in_many_chunks() {
    let content: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in content.chunks(4097) {
        answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
        answer.extend(chunk);
        answer.extend(b"\r\n");
    }
    answer.extend(b"0\r\n\r\n");
    let (fetched, _) = fetch_in_pieces(Servers::new([script(&answer)], usize::MAX), 65536);
    assert!(fetched.unwrap().1 == content);
    let (fetched, _) = fetch_in_pieces(Servers::new([script(&answer)], 1000), 10_000);
    assert!(fetched.unwrap().1 == content);
}

#[test]
fn the_length_of_a_body_is_known_where_it_is_said() {
    let client =
        Client::new(Servers::new([script(HELLO)], 9), Polls { now: None }, Duration::from_secs(1), "t");
    let url = Url::parse(START.as_bytes()).unwrap();
    assert_eq!(block_on(client.get(&url)).unwrap_or_else(|error| panic!("{error}")).length(), Some(5));
}

#[test]
fn a_body_that_ends_too_early_is_no_body() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551614\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello",
    ] {
        assert_eq!(body(answer), Err(Error::CutShort), "{answer}");
        let broken = Script { then: Then::Resets, ..script(answer) };
        assert_eq!(fetch(&[broken]), Err(Error::Broken), "{answer}");
    }
    // Nor is one without an announced end that a reset ends.
    let broken = Script { then: Then::Resets, ..script("HTTP/1.1 200 OK\r\n\r\nhello") };
    assert_eq!(fetch(&[broken]), Err(Error::Broken));
    for answer in ["", "HTTP/1.1", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 100 Continue\r\n\r\n"] {
        assert_eq!(body(answer), Err(Error::NoAnswer), "{answer}");
    }
}

#[test]
fn what_has_no_clear_meaning_is_refused() {
    let chunked = |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}");
    for (answer, malformed) in [
        ("SSH-2.0-OpenSSH_9\r\n".to_owned(), Malformed::Head),
        ("HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n".to_owned(), Malformed::Switched),
        ("HTTP/1.1 100 Go on\r\n\r\n".repeat(MOST_INTERIM + 1), Malformed::Interim),
        (format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(HEAD_LIMIT)), Malformed::HeadTooLong),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello".into(), Malformed::Length),
        (chunked("5\r\nhelloo\r\n0\r\n\r\n"), Malformed::Chunk),
        (chunked("5\nhello\r\n0\r\n\r\n"), Malformed::Chunk),
        (chunked("-5\r\nhello\r\n0\r\n\r\n"), Malformed::Chunk),
        (chunked("10000000000000000\r\nhello"), Malformed::Chunk),
        (chunked(&"1".repeat(1000)), Malformed::Chunk),
        (chunked("0\r\nA\0: b\r\n\r\n"), Malformed::Trailer),
        (chunked(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(HEAD_LIMIT / 6 + 1))), Malformed::Trailer),
        (chunked(&format!("0\r\nA: {}\r\n\r\n", "b".repeat(HEAD_LIMIT))), Malformed::Trailer),
    ] {
        assert_eq!(body(&answer), Err(Error::Malformed(malformed)), "{answer:.99}");
        assert!(
            Error::<&str>::Malformed(malformed).to_string().starts_with("the answer cannot be trusted: ")
        );
    }
}

#[test]
fn other_answers_are_none() {
    for status in [204, 205, 206, 300, 304, 305, 306, 399, 400, 404, 500, 503, 999] {
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno");
        assert_eq!(body(answer), Err(Error::Status(status)));
    }
    let answer = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nhello";
    assert_eq!(body(answer), Err(Error::Encoded("gzip".into())));
    assert_eq!(fetch(&[]), Err(Error::Connect("nobody listens")));
}

#[test]
fn redirects_are_followed() {
    for status in [301, 302, 303, 307, 308] {
        let scripts = [redirect(status, "http://other:81/b?c"), redirect(status, "../d e"), script(HELLO)];
        let (fetched, servers) = fetch_in_pieces(Servers::new(scripts, 5), 3);
        assert_eq!(fetched, Ok(("http://other:81/d%20e".into(), b"hello".to_vec())));
        let lines = ["h:80 GET /a HTTP/1.1", "other:81 GET /b?c HTTP/1.1", "other:81 GET /d%20e HTTP/1.1"];
        assert_eq!(servers.asked(), lines);
    }
    // Nothing else is sent, whatever a URL has in it.
    let (_, servers) = fetch_in_pieces(Servers::new([redirect(302, "//[::1]:81/?q"), script(HELLO)], 5), 3);
    let asked = servers.asked.borrow();
    assert_eq!(
        String::from_utf8_lossy(&asked[1].request.borrow()),
        "GET /?q HTTP/1.1\r\nHost: [::1]:81\r\nUser-Agent: test\r\nAccept: */*\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    );
    // As many as may be, and one more.
    let chain = |count: usize| {
        let redirects = (0..count).map(|number| redirect(302, &format!("/{number}")));
        fetch(&redirects.chain([script(HELLO)]).collect::<Vec<_>>())
    };
    assert_eq!(chain(MOST_REDIRECTS).map(|(_, body)| body).as_deref(), Ok(&b"hello"[..]));
    assert_eq!(chain(MOST_REDIRECTS + 1), Err(Error::TooManyRedirects));
}

#[test]
fn redirects_that_lead_nowhere() {
    assert_eq!(
        fetch(&[redirect(302, "http://H:80/a#x")]),
        Err(Error::Loop(Url::parse(b"http://h/a").unwrap()))
    );
    let circle = [redirect(302, "/b"), redirect(302, "/c"), redirect(302, "/b")];
    assert_eq!(fetch(&circle), Err(Error::Loop(Url::parse(b"http://h/b").unwrap())));
    assert_eq!(fetch(&[redirect(302, "")]), Err(Error::NoLocation));
    assert_eq!(fetch(&[script("HTTP/1.1 302 Found\r\n\r\n")]), Err(Error::NoLocation));
    for (to, error) in [
        ("https://h/a", UrlError::Secure),
        ("ftp://h/a", UrlError::Scheme),
        ("http://me:word@h/a", UrlError::UserInfo),
        ("http://h/%", UrlError::Syntax),
    ] {
        assert_eq!(fetch(&[redirect(301, to)]), Err(Error::Redirect(to.into(), error)));
    }
    let sentence = Error::<&str>::Redirect("https://h/a".into(), UrlError::Secure).to_string();
    assert!(
        sentence.starts_with("the server redirects to \"https://h/a\": this program has no TLS"),
        "{sentence}"
    );
}

#[test]
fn a_server_has_its_time() {
    let silent = |bytes: &str| [Script { then: Then::IsSilent, ..script(bytes) }];
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhel",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
    ] {
        let (fetched, _) = fetch_in_pieces(Servers::new(silent(answer), 1000), 4096);
        assert_eq!(fetched, Err(Error::Late), "{answer}");
    }
    // Its answer is complete, whether it closes the connection or not.
    assert_eq!(fetch(&silent(HELLO)).map(|(_, body)| body).as_deref(), Ok(&b"hello"[..]));
    // A byte now and then is not enough: neither of a head, nor of a body.
    let slow = |bytes: String| Script { slow: Some(time::SECOND / 100), ..script(bytes) };
    let (fetched, _) =
        fetch_in_pieces(Servers::new([slow(format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(500)))], 1), 9);
    assert_eq!(fetched, Err(Error::Late));
    let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "y".repeat(1000));
    let (fetched, _) = fetch_in_pieces(Servers::new([slow(long)], 1), 4096);
    assert_eq!(fetched, Err(Error::Late));
}
