//! What bytes are as requests.

use kv_server::request::{BadRequest, LONGEST_ARGUMENT, MOST_ARGUMENTS, Parsed, parse};
use ukvm_tests::random::Random;

fn arguments(bytes: &[u8]) -> Vec<Vec<u8>> {
    match parse(bytes) {
        Ok(Parsed::Request { arguments, length }) if length == bytes.len() => arguments,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

#[test]
fn beginnings_are_parts_and_say_how_much_is_missing() {
    let long = format!("*2\r\n$3\r\nGET\r\n$5000\r\n{}\r\n", "x".repeat(5000));
    for request in ["*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n", "GET 'a b'\r\n", "*0\r\n", &long] {
        let bytes = request.as_bytes();
        for length in 0..bytes.len() {
            match parse(&bytes[..length]) {
                Ok(Parsed::Part(least)) => {
                    assert!(least > length && least <= bytes.len(), "{request:?} {length} {least}")
                }
                other => panic!("{request:?} {length}: {other:?}"),
            }
        }
        let _ = arguments(bytes);
        // What is behind it belongs to the next one.
        let more = [bytes, b"*9"].concat();
        assert!(matches!(parse(&more), Ok(Parsed::Request { length, .. }) if length == bytes.len()));
    }
}

#[test]
fn lines_are_split_as_people_mean_them() {
    for (line, words) in [
        ("\r\n", &[][..]),
        ("  \t \n", &[]),
        ("PING\n", &["PING"]),
        ("  a\t b  \r\n", &["a", "b"]),
        ("'a b' \"c d\"\r\n", &["a b", "c d"]),
        ("'it\\'s' \"a\\\"b\\\\\"\r\n", &["it's", "a\"b\\"]),
        ("\"\\x41\\n\\t\\q\" '\\n'\r\n", &["A\n\tq", "\\n"]),
        ("\"\\xzz\" ''\r\n", &["xzz", ""]),
        ("a'b'\n", &["ab"]),
    ] {
        assert_eq!(
            arguments(line.as_bytes()),
            words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>(),
            "{line:?}"
        );
    }
    for line in ["'a\n", "\"a\n", "\"a\\\"\n", "'a'b\n", "\"a\"\"b\"\n"] {
        assert_eq!(parse(line.as_bytes()), Err(BadRequest::Quotes), "{line:?}");
    }
}

#[test]
fn limits_are_kept() {
    let one = |length| format!("*1\r\n${length}\r\n");
    assert!(matches!(parse(one(LONGEST_ARGUMENT).as_bytes()), Ok(Parsed::Part(_))));
    assert_eq!(parse(one(LONGEST_ARGUMENT + 1).as_bytes()), Err(BadRequest::Length));
    assert!(matches!(parse(format!("*{MOST_ARGUMENTS}\r\n").as_bytes()), Ok(Parsed::Part(_))));
    assert_eq!(parse(format!("*{}\r\n", MOST_ARGUMENTS + 1).as_bytes()), Err(BadRequest::Count));
    let two = format!("*2\r\n$1000000\r\n{}\r\n$1000000\r\n", "x".repeat(1_000_000));
    assert_eq!(parse(two.as_bytes()), Err(BadRequest::Long));
    assert_eq!(parse(&[b'x'; 4096]), Err(BadRequest::LongLine));
    assert_eq!(parse(&[b'*'; 4096]), Err(BadRequest::LongLine));
    assert_eq!(parse("x ".repeat(1025).as_bytes()), Ok(Parsed::Part(2051)));
    for bytes in ["*+1\r\n", "*1 \r\n", "*\r\n", "*1\r\n$+1\r\n", "*1\r\n$\r\n", "*1\r\n$1e1\r\n"] {
        assert!(parse(bytes.as_bytes()).is_err(), "{bytes:?}");
    }
}

#[test]
fn no_bytes_are_too_much() {
    let mut random = Random::new(7);
    let parts: [&[u8]; 12] =
        [b"*", b"$", b"1", b"3", b"-", b"\r\n", b"\n", b"\"", b"'", b"\\", b"x", b"9999999999"];
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..random.below(20) {
            match random.below(8) {
                0 => bytes.extend(random.bytes(1)),
                _ => bytes.extend(parts[random.below(parts.len())]),
            }
        }
        if let Ok(Parsed::Request { length, .. }) = parse(&bytes) {
            assert!(length > 0 && length <= bytes.len());
        }
    }
}
