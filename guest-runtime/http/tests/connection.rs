//! Connections, from their bytes to the bytes of the replies.

mod client;
mod time;

use client::{Client, HEAD_LIMIT, PIECE, Talk, client, serve, serve_within, server};
use core::cell::Cell;
use embassy_futures::{block_on, yield_now};
use time::{Polls, SECOND};
use ukvm_http::{
    Body, End, Limits, NoSource, Request, Response, Server, Service, Source, SourceFailed, Status,
};

/// Repeats the target.
struct Echo;

impl Service for Echo {
    type Source = NoSource;

    async fn answer(&self, request: Request<'_>) -> Response {
        yield_now().await;
        match request.method {
            "GET" => Response::text(Status::Ok, format!("[{}]", request.target)),
            _ => Response::method_not_allowed("GET"),
        }
    }
}

fn talk(input: impl AsRef<[u8]>) -> Talk {
    serve(Echo, client(input))
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
fn a_304_ends_with_its_head() {
    struct Known;

    impl Service for Known {
        type Source = NoSource;

        async fn answer(&self, _: Request<'_>) -> Response {
            Response::not_modified().field("ETag", "\"a\"")
        }
    }

    let reply = "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(serve(Known, client(GET.repeat(2))).replies, reply.repeat(2));
}

#[test]
fn requests_follow_each_other_however_they_are_cut() {
    let three = GET.repeat(3);
    for step in [1, 2, 7, 31, 32, 33, 1000] {
        let talk = serve(Echo, Client { step, ..client(&three) });
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
            let talk = serve(Echo, Client { step, ..client([&post, GET].concat()) });
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
}

#[test]
fn idle_and_half_sent_requests_time_out() {
    let silent = |input: &str| serve(Echo, Client { silent: true, ..client(input) });
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
    let deaf = serve(Echo, Client { takes: 0, ..client(GET) });
    assert_eq!(deaf.end, End::Abort);
}

#[test]
fn line_ends_between_requests_are_no_request() {
    for ends in ["\r\n", "\n", "\r\n\r\n\n", &"\r\n".repeat(HEAD_LIMIT)] {
        for (step, silent) in [(1, false), (1, true), (usize::MAX, false), (usize::MAX, true)] {
            let script = [GET, ends, GET, ends].concat();
            let talk = serve(Echo, Client { step, silent, ..client(script) });
            assert_eq!((talk.statuses(), talk.end), (vec!["200"; 2], End::Close), "{silent}");
        }
    }
    // Half a line end is not said to be anything, and one that is none is no request.
    for (input, statuses) in [("\r", vec![]), ("\r\rGET", vec!["400"]), ("\rG", vec!["400"])] {
        let talk = serve(Echo, Client { step: 1, silent: true, ..client(input) });
        assert_eq!((talk.statuses(), talk.end), (statuses, End::Close), "{input:?}");
    }
}

#[test]
fn a_stop_ends_idle_connections_and_lets_requests_finish() {
    /// Says stop while it answers.
    struct Stopping<'a>(&'a Cell<Option<&'a Server<Self, Polls>>>);

    impl Service for Stopping<'_> {
        type Source = NoSource;

        async fn answer(&self, _: Request<'_>) -> Response {
            self.0.get().expect("the server that asks").stop().await;
            yield_now().await;
            Response::text(Status::Ok, "done")
        }
    }

    let place = Cell::new(None);
    let server = server(Stopping(&place));
    place.set(Some(&server));
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

/// Sends as many bytes as the path says; those from byte `bad` on cannot be had.
struct Bytes {
    bad: u64,
}

/// Each byte is its place, modulo 251.
struct Pattern {
    at: u64,
    bad: u64,
}

impl Source for Pattern {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<(), SourceFailed> {
        assert!(buffer.len() <= PIECE, "{} bytes at once", buffer.len());
        yield_now().await;
        for byte in buffer {
            if self.at >= self.bad {
                return Err(SourceFailed);
            }
            *byte = pattern(self.at);
            self.at += 1;
        }
        Ok(())
    }
}

fn pattern(at: u64) -> u8 {
    (at % 251) as u8
}

impl Service for Bytes {
    type Source = Pattern;

    async fn answer(&self, request: Request<'_>) -> Response<Pattern> {
        let length = request.target[1..].parse().unwrap();
        let source = Pattern { at: 0, bad: self.bad };
        Response::stream(Status::Ok, "application/octet-stream", length, source).field("X-Note", "kept")
    }
}

fn get(path: impl std::fmt::Display) -> String {
    format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[test]
fn bodies_of_any_length_are_streamed() {
    let lengths = [0, 1, 99, 100, 101, 299, 300, 301, 999, 1000, 1001, 1999, 2000, 2001, 10_000, 100_003];
    let input: String = lengths.map(get).concat();
    for large_streams in [0, 1] {
        let limits = Limits { large_streams, ..client::LIMITS };
        let talk = serve_within(limits, Bytes { bad: u64::MAX }, client(&input));
        let mut rest = &talk.output[..];
        for length in lengths {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\
                 X-Note: kept\r\nConnection: keep-alive\r\n\r\n"
            );
            rest = rest.strip_prefix(head.as_bytes()).unwrap_or_else(|| panic!("the head of {length} bytes"));
            let (body, others) = rest.split_at(length as usize);
            assert!(body.iter().enumerate().all(|(at, &byte)| byte == pattern(at as u64)), "{length} bytes");
            rest = others;
        }
        assert_eq!((rest, talk.end), (&[][..], End::Close));
    }
}

#[test]
fn a_head_alone_has_the_length_of_the_body() {
    let talk = serve(Bytes { bad: 0 }, client("HEAD /12345 HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2)));
    assert_eq!(talk.statuses(), ["200", "200"]);
    assert_eq!(talk.replies.matches("Content-Length: 12345\r\n").count(), 2);
    assert!(talk.replies.ends_with("\r\n\r\n"), "{}", talk.replies);
}

#[test]
fn a_source_that_fails_is_500_or_a_reset() {
    let talk = serve(Bytes { bad: 200 }, client([get(2000), get(10)].concat()));
    assert_eq!((talk.statuses(), talk.end), (vec!["500"], End::Close));
    assert!(talk.replies.contains("Connection: close\r\n"), "{}", talk.replies);
    // Some of it has left already: nothing that could be taken for the whole follows.
    let talk = serve(Bytes { bad: 1500 }, client([get(2000), get(10)].concat()));
    assert_eq!((talk.statuses(), talk.end), (vec!["200"], End::Abort));
    assert!(talk.replies.contains("Content-Length: 2000\r\n"), "{}", talk.replies);
    assert!(talk.output.len() < 2000);
}

#[test]
fn a_client_that_takes_no_more_of_a_body_is_given_up() {
    let deaf = Client { takes: 5000, ..client(get(100_000)) };
    let talk = serve(Bytes { bad: u64::MAX }, deaf);
    assert_eq!((talk.output.len(), talk.end), (5000, End::Abort));
}

#[test]
fn a_client_that_takes_a_byte_now_and_then_is_given_up() {
    let slow = |polls| serve(Bytes { bad: u64::MAX }, Client { slow: Some(polls), ..client(get(1000)) });
    // A byte just before each timeout.
    let talk = slow(SECOND - 100);
    assert_eq!(talk.end, End::Abort);
    assert!(talk.output.len() < 5, "{} bytes", talk.output.len());
    // As slowly as may be.
    let talk = slow(SECOND * 3 / 1500);
    assert_eq!(talk.end, End::Close);
    assert!(talk.replies.contains("Content-Length: 1000\r\n") && talk.output.len() > 1000);
}

#[test]
fn fields_are_found_whatever_their_case() {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nA:  one , two,\r\na:three\r\nB: x\r\nEmpty:\r\n\r\nA: body";
    let parsed = ukvm_http::request::parse(head).unwrap().unwrap();
    let request = parsed.request(head);
    assert_eq!((request.method, request.target), ("GET", "/"));
    assert_eq!(request.values("a").collect::<Vec<_>>(), [&b"one , two,"[..], b"three"]);
    assert_eq!(request.elements("A").collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
    assert_eq!(request.value("b"), Some(&b"x"[..]));
    assert_eq!(request.value("empty"), Some(&b""[..]));
    assert_eq!((request.value("a"), request.value("c")), (None, None));
}

#[test]
fn replies_have_a_date_where_there_is_a_clock() {
    let mut asking = client([GET, "nonsense\r\n\r\n"].concat());
    let clock = Polls { now: Some(core::time::Duration::from_millis(784_111_777_900)) };
    let server = Server::new(Echo, clock, client::LIMITS);
    let _ = block_on(server.serve(&mut asking));
    let replies = String::from_utf8(asking.output).unwrap();
    assert_eq!(replies.matches("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n").count(), 2, "{replies}");
}

#[test]
#[should_panic(expected = "a field has one line")]
fn a_field_cannot_smuggle_another_one() {
    let reply = Response::<NoSource>::not_modified().field("ETag", "x\r\nSet-Cookie: y");
    assert!(matches!(reply.body, Body::None));
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
        let talk = serve(Echo, Client { step: 1 + random(40), ..client(&input) });
        assert!(talk.statuses().iter().all(|status| ["200", "400", "405", "414", "431"].contains(status)));
    }
}
