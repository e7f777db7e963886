//! Clients that break the rules, before the handshake, in it and after it.

use crate::world::{Client, OPENSSL, acceptor, both, cable, configuration, raw};
use embedded_io_async::{Read, Write};
use rustls::{AlertDescription, Error};
use std::sync::Arc;
use ukvm_http::Stream;
use ukvm_tests::files::noise;
use ukvm_tls::NotAccepted;

ukvm_tests::tests! {
    what_is_no_record_gets_an_alert .needs(OPENSSL);
    plain_http_is_told_apart .needs(OPENSSL);
    a_hello_without_end_is_refused .needs(OPENSSL);
    other_protocols_are_refused .needs(OPENSSL);
    a_changed_record_ends_the_connection .needs(OPENSSL);
    a_write_tells_of_a_changed_record .needs(OPENSSL);
    changed_hellos_do_no_harm .needs(OPENSSL);
}

/// An alert that ends a connection, as it is on the wire before there are keys.
fn alert(description: AlertDescription) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, u8::from(description)]
}

/// The first record of a client.
fn hello() -> Vec<u8> {
    let (_, there) = cable(1 << 16, usize::MAX);
    let mut client = Client::new(&Arc::new(configuration()), there);
    let mut bytes = Vec::new();
    client.tls.write_tls(&mut bytes).expect("memory");
    bytes
}

fn what_is_no_record_gets_an_alert() {
    let long = [&[22, 3, 1, 0xff, 0xff][..], &[0; 100]].concat();
    let data = [&[23, 3, 3, 0, 20][..], &[0; 20]].concat();
    for (bytes, description) in [
        (&[0; 100][..], AlertDescription::DecodeError),
        (&[255; 100], AlertDescription::DecodeError),
        (
            b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x03\x00\x80",
            AlertDescription::DecodeError,
        ),
        (&long, AlertDescription::DecodeError),
        (&data, AlertDescription::UnexpectedMessage),
        // A ServerHello.
        (&[22, 3, 3, 0, 4, 2, 0, 0, 0], AlertDescription::DecodeError),
    ] {
        let (accepted, got) = raw(bytes);
        assert!(
            accepted.as_ref().is_err_and(|error| error.starts_with("TLS failed: ")),
            "{bytes:x?}: {accepted:?}"
        );
        assert_eq!(got, alert(description), "{bytes:x?}: {accepted:?}");
    }
    // Who says nothing, or half of a hello, gets nothing.
    for bytes in [&[][..], &[22], &hello()[..50]] {
        assert_eq!(raw(bytes), (Err("TLS failed: the client is gone".into()), vec![]), "{bytes:x?}");
    }
}

fn plain_http_is_told_apart() {
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"POST /"] {
        assert_eq!(raw(bytes), (Err("unprotected".into()), vec![]));
    }
    // Who has begun with TLS gets an alert, before the server has answered and after it.
    let letters = b"GET / HTTP/1.1\r\n\r\n";
    let refused = [&[22, 3, 1, 0, 4, 2, 0, 0, 0][..], letters].concat();
    let (accepted, got) = raw(&refused);
    assert!(accepted.as_ref().is_err_and(|error| error.starts_with("TLS failed: ")), "{accepted:?}");
    assert_eq!(got, alert(AlertDescription::DecodeError));
    let (accepted, got) = raw(&[&hello()[..], letters].concat());
    assert!(accepted.as_ref().is_err_and(|error| error.starts_with("TLS failed: ")), "{accepted:?}");
    // A ServerHello comes first.
    assert_eq!((got.len() > 1000, &got[..3]), (true, &[22, 3, 3][..]));
}

fn a_hello_without_end_is_refused() {
    // One message of 60,000 bytes, in records that are all right.
    let mut bytes = vec![22, 3, 1, 0x20, 0, 1, 0, 0xea, 0x60];
    bytes.resize(5 + 0x2000, 0);
    for _ in 0..7 {
        bytes.extend([22, 3, 1, 0x20, 0]);
        bytes.resize(bytes.len() + 0x2000, 0);
    }
    let (accepted, got) = raw(&bytes);
    assert!(accepted.is_err_and(|error| error.starts_with("TLS failed: ")));
    assert_eq!(got, alert(AlertDescription::IllegalParameter));
    // And in records of a byte each.
    let tiny: Vec<u8> = bytes[5..].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).take(200_000).collect();
    let (accepted, got) = raw(&tiny);
    assert!(accepted.is_err());
    assert_eq!((got.len(), &got[..6]), (7, &[21, 3, 3, 0, 2, 2][..]), "{got:?}");
}

fn other_protocols_are_refused() {
    let mut configuration = configuration();
    configuration.alpn_protocols = vec![b"h2".to_vec()];
    let (here, there) = cable(1 << 16, usize::MAX);
    let mut client = Client::new(&Arc::new(configuration.clone()), there);
    let acceptor = acceptor();
    let (accepted, opened) = both(acceptor.accept(here), client.open());
    assert!(matches!(accepted, Err(NotAccepted::Failed(_))), "{accepted:?}");
    assert_eq!(opened, Err(Error::AlertReceived(AlertDescription::NoApplicationProtocol)));
    configuration.alpn_protocols.push(b"http/1.1".to_vec());
    let (here, there) = cable(1 << 16, usize::MAX);
    let mut client = Client::new(&Arc::new(configuration), there);
    let (accepted, opened) = both(acceptor.accept(here), client.open());
    assert!(accepted.is_ok() && opened.is_ok());
    assert_eq!(client.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
}

fn a_changed_record_ends_the_connection() {
    let (here, there) = cable(1 << 16, usize::MAX);
    let mut client = Client::new(&Arc::new(configuration()), there);
    let acceptor = acceptor();
    let server = async {
        let mut stream = acceptor.accept(here).await.expect("a client of TLS");
        stream.write_all(b"hello").await.expect("a client that reads");
        let first = stream.read(&mut [0; 100]).await.map_err(|error| error.to_string());
        // Nothing works any more.
        let later = stream.read(&mut [0; 100]).await.map_err(|error| error.to_string());
        let write = stream.write(b"x").await.map_err(|error| error.to_string());
        // No reset overtakes the alert.
        stream.abort();
        (first, later, write)
    };
    let (results, error) = both(server, async {
        client.open().await.expect("a server of TLS");
        assert_eq!(client.read(5).await.expect("the first word"), b"hello");
        // As long as "ping" would be, with a tag that nobody has computed.
        client.end.write_all(&[&[23, 3, 3, 0, 21][..], &noise(5, 21)].concat()).await.expect("room");
        loop {
            match client.receive().await {
                Ok(true) => {}
                Ok(false) => panic!("an end without an alert"),
                Err(error) => return error,
            }
        }
    });
    assert_eq!(error, Error::AlertReceived(AlertDescription::BadRecordMac));
    let (first, later, write) = results;
    assert!(first.as_ref().is_err_and(|error| error.starts_with("TLS failed: ")), "{first:?}");
    assert_eq!((&first, write.map(|_| 0)), (&later, first.clone()));
}

fn a_write_tells_of_a_changed_record() {
    let (here, there) = cable(1 << 16, usize::MAX);
    let mut client = Client::new(&Arc::new(configuration()), there);
    let acceptor = acceptor();
    let server = async {
        let mut stream = acceptor.accept(here).await.expect("a client of TLS");
        stream.write_all(b"hello").await.expect("a client that reads");
        stream.flush().await.expect("a client that reads");
        let mut buffer = [0; 100];
        let count = stream.read(&mut buffer).await.expect("a record that is all right");
        assert_eq!(&buffer[..count], b"ping");
        let written = stream.write(b"pong").await.map_err(|error| error.to_string());
        stream.abort();
        written
    };
    let (written, error) = both(server, async {
        client.open().await.expect("a server of TLS");
        assert_eq!(client.read(5).await.expect("the first word"), b"hello");
        // Both at once.
        let mut bytes = Vec::new();
        std::io::Write::write_all(&mut client.tls.writer(), b"ping").expect("memory");
        client.tls.write_tls(&mut bytes).expect("memory");
        bytes.extend([&[23, 3, 3, 0, 21][..], &noise(5, 21)].concat());
        client.end.write_all(&bytes).await.expect("room");
        loop {
            match client.receive().await {
                Ok(true) => {}
                Ok(false) => panic!("an end without an alert"),
                Err(error) => return error,
            }
        }
    });
    assert!(written.as_ref().is_err_and(|error| error.starts_with("TLS failed: ")), "{written:?}");
    assert_eq!(error, Error::AlertReceived(AlertDescription::BadRecordMac));
}

fn changed_hellos_do_no_harm() {
    let hello = hello();
    let mut answered = 0;
    for seed in 0..500 {
        let random = noise(seed, if seed % 4 == 0 { 3 } else { 6 });
        let mut bytes = hello.clone();
        for change in random.chunks(3) {
            let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
            // Half of them are as long as it was.
            match if seed % 2 == 0 { 3 } else { change[2] % 4 } {
                0 => bytes.truncate(place.max(1)),
                1 => drop(bytes.drain(place / 2..place)),
                2 => bytes.insert(place, change[0]),
                _ => bytes[place] = change[0] ^ change[2],
            }
            if bytes.is_empty() {
                break;
            }
        }
        // The client is gone after its hello, so that none gets through the handshake.
        let (result, got) = raw(&bytes);
        assert!(result.is_err(), "{seed}");
        answered += usize::from(got.len() > 100);
    }
    // Some changes are within what nobody looks at.
    assert!(answered > 20, "only {answered} got an answer");
}
