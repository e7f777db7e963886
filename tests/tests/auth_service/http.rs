//! Connections, from their bytes to the bytes of the replies.

use crate::images::{MemoryDisk, image};
use auth_service::http::{End, HEAD_LIMIT, Reply, Server, Service, Status, Stop, Timer};
use auth_service::login::Login;
use core::convert::Infallible;
use core::future::{pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use embassy_futures::{block_on, yield_now};
use embedded_io_async::{ErrorType, Read, Write};
use fatfs::FatType;
use std::time::Duration;

/// A client that has written its script in advance.
struct Client {
    input: Vec<u8>,
    /// How many bytes one read gives.
    step: usize,
    /// Whether the client says nothing after its script, or has closed its side.
    silent: bool,
    output: Vec<u8>,
    /// Whether the client reads no replies.
    deaf: bool,
}

impl ErrorType for Client {
    type Error = Infallible;
}

impl Read for Client {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        yield_now().await;
        let count = self.input.len().min(buffer.len()).min(self.step);
        if count == 0 && self.silent {
            pending::<()>().await;
        }
        buffer[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }
}

impl Write for Client {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        if self.deaf {
            pending::<()>().await;
        }
        let count = bytes.len().min(100);
        self.output.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A timer whose time is counted in polls.
struct Polls;

impl Timer for Polls {
    async fn within<F: Future>(&self, _: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        for _ in 0..200_000 {
            let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
            if let Poll::Ready(output) = polled {
                return Some(output);
            }
        }
        None
    }
}

/// Repeats the target.
struct Echo;

impl Service for Echo {
    async fn answer(&self, target: &str) -> Reply {
        yield_now().await;
        Reply::new(Status::Ok, format!("[{target}]"))
    }
}

/// What a connection brought.
struct Talk {
    replies: String,
    end: End,
}

impl Talk {
    /// The statuses of the replies, in order.
    fn statuses(&self) -> Vec<&str> {
        self.replies.split("HTTP/1.1 ").skip(1).map(|reply| &reply[..3]).collect()
    }
}

fn serve(service: &impl Service, mut client: Client) -> Talk {
    let server = Server { service, timer: &Polls, timeout: Duration::from_secs(1), stop: &Stop::new() };
    let end = block_on(server.serve(&mut client));
    Talk { replies: String::from_utf8(client.output).unwrap(), end }
}

/// A client that closes its side after these bytes.
fn client(input: impl AsRef<[u8]>) -> Client {
    Client { input: input.as_ref().to_vec(), step: usize::MAX, silent: false, output: vec![], deaf: false }
}

fn talk(input: impl AsRef<[u8]>) -> Talk {
    serve(&Echo, client(input))
}

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_request_is_answered_byte_for_byte() {
    let expected = "HTTP/1.1 200 OK\r\n\
                    Content-Type: text/plain; charset=utf-8\r\n\
                    Content-Length: 6\r\n\
                    Cache-Control: no-store\r\n\
                    X-Content-Type-Options: nosniff\r\n\
                    Connection: keep-alive\r\n\
                    \r\n\
                    [/a?b]";
    let talk = talk(GET);
    assert_eq!(talk.replies, expected);
    assert_eq!(talk.end, End::Close);
}

#[test]
fn requests_follow_each_other_however_they_are_cut() {
    let three = GET.repeat(3);
    for step in [1, 2, 7, 31, 32, 33, 1000] {
        let talk = serve(&Echo, Client { step, ..client(&three) });
        assert_eq!(talk.statuses(), ["200"; 3], "in steps of {step}");
        assert_eq!(talk.replies.matches("[/a?b]").count(), 3);
    }
}

#[test]
fn many_pipelined_requests_are_answered_in_order() {
    let input: String = (0..500).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n")).collect();
    let talk = talk(input);
    assert_eq!(talk.statuses().len(), 500);
    let bodies: Vec<_> =
        talk.replies.split("\r\n\r\n[/").skip(1).map(|text| text.split(']').next().unwrap()).collect();
    assert_eq!(bodies, (0..500).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn the_connection_is_kept_as_the_client_wants() {
    for (request, kept) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: h\r\nconnection: TE, close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
    ] {
        let talk = talk([request, GET].concat());
        assert_eq!(talk.statuses().len(), if kept { 2 } else { 1 }, "{request}");
        let said = if kept { "Connection: keep-alive\r\n" } else { "Connection: close\r\n" };
        assert!(talk.replies.contains(said), "{request}");
    }
}

#[test]
fn what_is_no_request_gets_400_and_the_end() {
    let longest_number = format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", "9".repeat(30));
    for bad in [
        "\0\0\0\0",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03",
        "hello\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: h\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1 x\r\nHost: h\r\n\r\n",
        "GET foo HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET a?b=://c HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET ://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\na b: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        &longest_number,
    ] {
        let talk = talk([bad, GET].concat());
        assert_eq!(talk.statuses(), ["400"], "{bad:?}");
        assert!(talk.replies.contains("Connection: close\r\n"), "{bad:?}");
        assert_eq!(talk.end, End::Close);
    }
    assert_eq!(talk(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n").statuses(), ["400"]);
    assert_eq!(talk("GET / HTTP/1.1\r\nHos").statuses(), ["400"], "the client ends in the middle");
}

#[test]
fn other_methods_get_405() {
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get"] {
        let talk = talk([&format!("{method} /a HTTP/1.1\r\nHost: h\r\n\r\n"), GET].concat());
        assert_eq!(talk.statuses(), ["405", "200"], "{method}");
        assert!(talk.replies.contains("\r\nAllow: GET\r\n"), "{method}");
        assert_eq!(talk.replies.contains("Only GET is served"), method != "HEAD", "{method}");
    }
    assert_eq!(talk("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").statuses(), ["405"]);
}

#[test]
fn bodies_are_ignored() {
    let body = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
    for length in [1, 31, 5000, body.len()] {
        let post =
            format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{}", &body[..length]);
        for step in [1, 100, 10_000] {
            let talk = serve(&Echo, Client { step, ..client([&post, GET].concat()) });
            assert_eq!(talk.statuses(), ["405", "200"], "{length} bytes in steps of {step}");
        }
    }
    for field in [
        "Content-Length: 99999999999",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue\r\nContent-Length: 3",
    ] {
        let talk = talk(format!("GET /a HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n{body}"));
        assert_eq!(talk.statuses(), ["200"], "{field}");
        assert!(talk.replies.contains("Connection: close\r\n"), "{field}");
    }
}

#[test]
fn heads_are_limited() {
    let head = |length: usize| {
        let rest = " HTTP/1.1\r\nHost: h\r\n\r\n";
        format!("GET /{}{rest}", "x".repeat(length - 5 - rest.len()))
    };
    assert_eq!(talk(head(HEAD_LIMIT).repeat(2)).statuses(), ["200"; 2]);
    assert_eq!(talk(head(2 * HEAD_LIMIT)).statuses(), ["414"]);
    let long_field = format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "x".repeat(HEAD_LIMIT));
    assert_eq!(talk(long_field).statuses(), ["431"]);
    let many_fields = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(64));
    assert_eq!(talk(many_fields).statuses(), ["431"]);
    assert_eq!(talk("\r\n".repeat(HEAD_LIMIT)).statuses(), ["414"]);
}

#[test]
fn idle_and_half_sent_requests_time_out() {
    let silent = |input: &str| serve(&Echo, Client { silent: true, ..client(input) });
    for (input, statuses) in [
        ("", vec![]),
        (GET, vec!["200"]),
        ("G", vec!["408"]),
        ("GET / HTTP/1.1\r\nHost: h\r\n", vec!["408"]),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf", vec!["405"]),
    ] {
        let talk = silent(input);
        assert_eq!(talk.statuses(), statuses, "{input}");
        assert_eq!(talk.end, End::Close, "{input}");
    }
    let deaf = serve(&Echo, Client { deaf: true, ..client(GET) });
    assert_eq!(deaf.end, End::Abort);
}

#[test]
fn a_stop_ends_idle_connections_and_lets_requests_finish() {
    let stop = Stop::new();
    let server =
        Server { service: &Stopping(&stop), timer: &Polls, timeout: Duration::from_secs(1), stop: &stop };
    let mut busy = client([GET, GET].concat());
    assert_eq!(block_on(server.serve(&mut busy)), End::Close);
    let replies = String::from_utf8(busy.output).unwrap();
    assert!(replies.contains("Connection: close\r\n"), "{replies}");
    assert!(replies.ends_with("done"), "{replies}");
    for input in ["", "GET / HT"] {
        let mut idle = Client { silent: true, ..client(input) };
        assert_eq!(block_on(server.serve(&mut idle)), End::Close);
        assert_eq!(idle.output, b"", "{input}");
    }
}

/// Says stop while it answers.
struct Stopping<'a>(&'a Stop);

impl Service for Stopping<'_> {
    async fn answer(&self, _: &str) -> Reply {
        self.0.stop().await;
        yield_now().await;
        Reply::fixed(Status::Ok, "done")
    }
}

#[test]
fn random_bytes_make_no_connection_panic() {
    let mut state = 1u64;
    let mut random = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % limit
    };
    for _ in 0..3000 {
        let mut input =
            format!("{GET}POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde{GET}").into_bytes();
        for _ in 0..=random(4) {
            let at = random(input.len());
            match random(3) {
                0 => input[at] = random(256) as u8,
                1 => drop(input.remove(at)),
                _ => input.insert(at, random(256) as u8),
            }
        }
        let talk = serve(&Echo, Client { step: 1 + random(40), ..client(&input) });
        assert!(talk.statuses().iter().all(|status| ["200", "400", "405", "414", "431"].contains(status)));
    }
}

#[test]
fn the_service_says_what_it_promises() {
    let disk = || {
        MemoryDisk::new(image(
            FatType::Fat16,
            &[("ann", b"se cret+\n"), ("J\u{fc}rgen", b"pw"), ("home/", b"")],
        ))
    };
    let login = Login::new(disk(), |failed| panic!("{failed}"));
    let ask = |query: &str| {
        let talk = serve(&login, client(format!("GET /{query} HTTP/1.1\r\nHost: h\r\n\r\n")));
        let (_, body) = talk.replies.split_once("\r\n\r\n").unwrap();
        (talk.statuses()[0].to_owned(), body.to_owned())
    };
    let answer = |status: &str, body: &str| (status.to_owned(), body.to_owned());
    assert_eq!(ask("?user=ann&password=se+cret%2b"), answer("200", "hello ann!"));
    assert_eq!(ask("x?password=se%20cret%2B&user=%41NN"), answer("200", "hello ANN!"));
    assert_eq!(ask("?user=J%c3%9cRGEN&password=pw"), answer("200", "hello J\u{dc}RGEN!"));
    for query in ["", "?", "?user=ann", "?password=pw", "?name=ann&password=pw"] {
        assert_eq!(ask(query), answer("401", "No user given"), "{query}");
    }
    let long = "x".repeat(256);
    for user in
        ["ann", "bob", "home", "", ".", "..", "%2e%2E", "a%2Fb", "%5c", "ann%00", "%ff", "ann%0a", &long]
    {
        assert_eq!(ask(&format!("?user={user}&password=wrong")), answer("401", "Invalid login"), "{user}");
    }

    let failures = core::cell::Cell::new(0);
    let broken = Login::new(MemoryDisk::new(vec![0; 1 << 20]), |_| failures.set(failures.get() + 1));
    let talk = serve(&broken, client(["GET /?user=a&password=b HTTP/1.1\r\nHost: h\r\n\r\n", GET].concat()));
    assert_eq!(talk.statuses(), ["500", "401"]);
    assert_eq!(failures.get(), 1);
}
