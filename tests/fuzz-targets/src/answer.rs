//! What a web server may say to a client: any bytes, in pieces of any length, over several connections where it redirects.

use arbitrary::{Result, Unstructured};
use core::cell::{Cell, RefCell};
use embassy_futures::block_on;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use std::collections::VecDeque;
use std::time::Duration;
use ukvm_http::Clock;
use ukvm_http::client::{Client, Connector, Error, MOST_REDIRECTS};
use ukvm_http::url::Url;

/// The most bytes that are read at once.
const PIECE: usize = 100;

/// Servers that say these things, a connection each, so many bytes at once.
struct Servers {
    answers: RefCell<VecDeque<Vec<u8>>>,
    step: usize,
    connections: Cell<usize>,
}

impl Connector for Servers {
    type Stream = Stream;
    type Error = &'static str;

    async fn connect(&self, host: &str, port: u16) -> std::result::Result<Stream, &'static str> {
        assert!(!host.is_empty() && host.is_ascii() && port > 0);
        self.connections.set(self.connections.get() + 1);
        let bytes = self.answers.borrow_mut().pop_front().ok_or("nobody is there")?;
        Ok(Stream { bytes, step: self.step, asked: Vec::new() })
    }
}

struct Stream {
    bytes: Vec<u8>,
    step: usize,
    asked: Vec<u8>,
}

impl ErrorType for Stream {
    type Error = ErrorKind;
}

impl Read for Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, ErrorKind> {
        assert!(!buffer.is_empty(), "a read of nothing looks like the end");
        // One request, and nothing that a header could have brought into it.
        let asked = str::from_utf8(&self.asked).expect("a request is text");
        assert!(asked.starts_with("GET /") && asked.is_ascii(), "{asked}");
        assert_eq!((asked.matches("\r\n").count(), asked.matches('\n').count()), (7, 7), "{asked}");
        let count = self.bytes.len().min(buffer.len()).min(self.step);
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes.drain(..count);
        Ok(count)
    }
}

impl Write for Stream {
    async fn write(&mut self, bytes: &[u8]) -> std::result::Result<usize, ErrorKind> {
        self.asked.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> std::result::Result<(), ErrorKind> {
        Ok(())
    }
}

/// Nothing takes any time.
struct Never;

impl Clock for Never {
    async fn within<F: Future>(&self, _: Duration, future: F) -> Option<F::Output> {
        Some(future.await)
    }

    fn now(&self) -> Option<Duration> {
        None
    }
}

/// Where a body came from, and the body.
type Fetched = std::result::Result<(Url, Vec<u8>), Error<&'static str>>;

fn fetch(answers: &[Vec<u8>], step: usize) -> Fetched {
    let servers = Servers { answers: RefCell::new(answers.to_vec().into()), step, connections: Cell::new(0) };
    let client = Client::new(servers, Never, Duration::from_secs(1), "fuzzer");
    let url = Url::parse(b"http://example.org/a/b?c").expect("a URL");
    let fetched = block_on(async {
        let mut answer = client.get(&url).await?;
        let (mut body, mut buffer) = (Vec::new(), [0; PIECE]);
        loop {
            let count = answer.fill(&mut buffer).await?;
            body.extend_from_slice(&buffer[..count]);
            if count < PIECE {
                assert!(answer.length().is_none_or(|length| length == body.len() as u64));
                return Ok((answer.url().clone(), body));
            }
        }
    });
    assert!(client.connector().connections.get() <= MOST_REDIRECTS + 1);
    fetched
}

fn answers(input: &mut Unstructured<'_>) -> Result<(usize, Vec<Vec<u8>>)> {
    let step = usize::from(input.arbitrary::<u8>()?).max(1);
    let mut answers = Vec::new();
    while !input.is_empty() {
        let length = usize::from(input.arbitrary::<u16>()?).min(input.len());
        answers.push(input.bytes(length)?.to_vec());
    }
    Ok((step, answers))
}

/// Has a client fetch what servers with the answers in `data` give.
///
/// # Panics
///
/// Where the client does, where a request has lines that are not the client's, where a body has more bytes than were sent, and where it
/// depends on how the bytes come in pieces.
pub fn run(data: &[u8]) {
    let Ok((step, answers)) = answers(&mut Unstructured::new(data)) else { return };
    let whole = fetch(&answers, usize::MAX);
    assert_eq!(fetch(&answers, step), whole, "by {step} bytes");
    match whole {
        Ok((url, body)) => {
            assert!(body.len() <= answers.iter().map(Vec::len).sum());
            // What is shown is what is asked for.
            assert_eq!(Url::parse(url.to_string().as_bytes()), Ok(url));
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.ends_with('.') && !sentence.contains(char::is_control), "{sentence:?}");
        }
    }
}

/// Bodies of all kinds, redirects of all kinds, and what is refused.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let say = |answers: &[&str]| {
        let mut data = vec![7];
        for answer in answers {
            data.extend((answer.len() as u16).to_le_bytes());
            data.extend(answer.bytes());
        }
        data
    };
    let to = |location: &str| format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n");
    let hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0c\r\n, large world\r\n0\r\nX: y\r\n\r\n";
    vec![
        say(&[hello]),
        say(&["HTTP/1.0 200 OK\r\n\r\nuntil the end"]),
        say(&[chunked]),
        say(&["HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello"]),
        say(&[&to("http://other.example:81/x?y#z"), &to("../a b"), &to("//[fd00::1]/?q"), hello]),
        say(&[&to("/a/b?c")]),
        say(&[&to("https://example.org/")]),
        say(&["HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"]),
    ]
}
