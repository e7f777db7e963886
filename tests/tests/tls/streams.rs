//! Streams, beside a client of rustls.

use crate::world::{Client, OPENSSL, acceptor, both, cable, configuration};
use core::pin::pin;
use embassy_futures::poll_once;
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embedded_io_async::{Read, Write};
use rustls::HandshakeKind;
use std::sync::Arc;
use ukvm_http::Stream;
use ukvm_tests::files::noise;

ukvm_tests::tests! {
    bytes_arrive_however_they_are_cut .needs(OPENSSL);
    futures_may_be_dropped .needs(OPENSSL);
    both_sides_say_that_they_end .needs(OPENSSL);
    a_reset_is_no_end .needs(OPENSSL);
    keys_are_updated .needs(OPENSSL);
    sessions_are_resumed_once .needs(OPENSSL);
}

/// Sends all back until the client ends.
async fn echo(stream: &mut (impl Read + Write)) {
    let mut buffer = [0; 3000];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        stream.write_all(&buffer[..count]).await.expect("a client that reads");
    }
}

fn bytes_arrive_however_they_are_cut() {
    let (acceptor, configuration) = (acceptor(), Arc::new(configuration()));
    for (room, step, length) in
        [(400, 1, 3000), (400, 7, 40_000), (1000, 1000, 300_000), (1 << 17, usize::MAX, 1 << 20)]
    {
        let bytes = noise(room as u64, length);
        let (here, there) = cable(room, step);
        let mut client = Client::new(&configuration, there);
        let server = async {
            let mut stream = acceptor.accept(here).await.expect("a client of TLS");
            echo(&mut stream).await;
            stream.finish().await.expect("a client that reads");
            stream.close().await;
        };
        let (_, got) = both(server, async {
            client.open().await.expect("a server of TLS");
            assert_eq!(client.tls.alpn_protocol(), None);
            let mut got = Vec::new();
            // One record each: who sends two and does not read waits for a server that does the same.
            for piece in bytes.chunks(16_000) {
                client.write(piece).await;
                got.extend(client.read(piece.len()).await.expect("an echo"));
            }
            client.tls.send_close_notify();
            client.send().await;
            got.extend(client.read_end().await);
            got
        });
        assert!(got == bytes, "{room}, {step}: {} of {length} bytes", got.len());
    }
}

fn futures_may_be_dropped() {
    let (here, there) = cable(400, 90);
    let mut client = Client::new(&Arc::new(configuration()), there);
    let bytes = noise(8, 100_000);
    let server = async {
        let mut stream = acceptor().accept(here).await.expect("a client of TLS");
        let mut left = &bytes[..];
        let (mut dropped, mut turn) = (0, 0_usize);
        // Each write gets a few turns; so does a read, which gets nothing until the end.
        while !left.is_empty() {
            turn += 1;
            let patience = async {
                for _ in 0..turn % 5 {
                    yield_now().await;
                }
            };
            let mut nothing = [0; 10];
            let read = if turn.is_multiple_of(3) { Some(poll_once(stream.read(&mut nothing))) } else { None };
            assert!(read.is_none_or(|polled| polled.is_pending()));
            let write = pin!(stream.write(left));
            match select(write, pin!(patience)).await {
                Either::First(count) => left = &left[count.expect("a client that reads")..],
                Either::Second(()) => dropped += 1,
            }
        }
        stream.finish().await.expect("a client that reads");
        stream.close().await;
        dropped
    };
    let (dropped, got) = both(server, async {
        client.open().await.expect("a server of TLS");
        client.read_end().await
    });
    assert!(dropped > 100, "only {dropped} writes were dropped");
    assert!(got == bytes, "{} bytes", got.len());
}

fn both_sides_say_that_they_end() {
    let (acceptor, configuration) = (acceptor(), Arc::new(configuration()));
    for notifies in [true, false] {
        let (here, there) = cable(1 << 16, usize::MAX);
        let mut client = Client::new(&configuration, there);
        let server = async {
            let mut stream = acceptor.accept(here).await.expect("a client of TLS");
            let mut buffer = [0; 100];
            assert_eq!(stream.read(&mut buffer).await, Ok(4));
            // However often it is asked for.
            for _ in 0..2 {
                assert_eq!(stream.read(&mut buffer).await, Ok(0));
            }
            // Its own side may go on.
            stream.write_all(b"last words").await.expect("a client that reads");
            for _ in 0..2 {
                stream.finish().await.expect("a client that reads");
            }
            stream.close().await;
        };
        let (_, got) = both(server, async {
            client.open().await.expect("a server of TLS");
            client.write(b"ping").await;
            if notifies {
                client.tls.send_close_notify();
                client.send().await;
            } else {
                client.end.end();
            }
            client.read_end().await
        });
        assert_eq!(got, b"last words", "{notifies}");
    }
}

fn a_reset_is_no_end() {
    let (here, there) = cable(1 << 16, usize::MAX);
    let mut client = Client::new(&Arc::new(configuration()), there);
    let server = async {
        let mut stream = acceptor().accept(here).await.expect("a client of TLS");
        stream.write_all(b"half").await.expect("a client that reads");
        stream.flush().await.expect("a client that reads");
        stream.abort();
    };
    let (_, error) = both(server, async {
        client.open().await.expect("a server of TLS");
        while client.receive().await.expect("records") {}
        std::io::Read::read_to_end(&mut client.tls.reader(), &mut Vec::new()).unwrap_err().kind()
    });
    assert_eq!(error, std::io::ErrorKind::UnexpectedEof);
}

fn keys_are_updated() {
    let (here, there) = cable(1 << 16, usize::MAX);
    let mut client = Client::new(&Arc::new(configuration()), there);
    let server = async {
        let mut stream = acceptor().accept(here).await.expect("a client of TLS");
        echo(&mut stream).await;
    };
    let _ = both(server, async {
        client.open().await.expect("a server of TLS");
        for number in 0..20_u32 {
            client.tls.refresh_traffic_keys().expect("a connection that is open");
            client.write(&number.to_be_bytes()).await;
            assert_eq!(client.read(4).await.expect("an echo"), number.to_be_bytes());
        }
        client.tls.send_close_notify();
        client.send().await;
    });
}

fn sessions_are_resumed_once() {
    let acceptor = acceptor();
    let mut early = configuration();
    early.enable_early_data = true;
    let configuration = Arc::new(early);
    let mut kinds = Vec::new();
    for _ in 0..4 {
        let (here, there) = cable(1 << 16, usize::MAX);
        let mut client = Client::new(&configuration, there);
        let server = async {
            let mut stream = acceptor.accept(here).await.expect("a client of TLS");
            echo(&mut stream).await;
        };
        let _ = both(server, async {
            // No session allows for data before the handshake.
            assert!(client.tls.early_data().is_none());
            client.open().await.expect("a server of TLS");
            // The tickets come with the first answer.
            client.write(b"ping").await;
            assert_eq!(client.read(4).await.expect("an echo"), b"ping");
            client.tls.send_close_notify();
            client.send().await;
        });
        kinds.push(client.tls.handshake_kind().expect("a handshake"));
    }
    assert_eq!(kinds[0], HandshakeKind::Full);
    assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{kinds:?}");
    // Another server does not know them.
    let (here, there) = cable(1 << 16, usize::MAX);
    let mut client = Client::new(&configuration, there);
    let stranger = crate::world::acceptor();
    let (accepted, opened) = both(stranger.accept(here), client.open());
    assert!(accepted.is_ok() && opened.is_ok());
    assert_eq!(client.tls.handshake_kind(), Some(HandshakeKind::Full));
}
