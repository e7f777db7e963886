//! Whether a client takes a body that is compressed (RFC 9110, section 12.5.3).

use crate::request::Request;

/// Whether a client would rather have a representation as gzip than as it is.
#[must_use]
pub fn prefers_gzip(request: &Request<'_>) -> bool {
    let (mut gzip, mut identity, mut rest) = (None, None, None);
    for element in request.elements("accept-encoding") {
        let mut parts = element.splitn(2, |&byte| byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        // There is no other parameter than a weight. What is malformed is not accepted.
        let weight = parts.next().map_or(Some(1000), weight).unwrap_or(0);
        if is("gzip") || is("x-gzip") {
            gzip = gzip.max(Some(weight));
        } else if is("identity") {
            identity = Some(weight);
        } else if is("*") {
            rest = Some(weight);
        }
    }
    // Not listed, the representation as it is will do, but nobody asked for it.
    let gzip = gzip.or(rest).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// The weight that a parameter is, in thousandths.
fn weight(parameter: &[u8]) -> Option<u32> {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else { return None };
    match value {
        [b'0'] | [b'0', b'.'] => Some(0),
        [b'1']
        | [b'1', b'.']
        | [b'1', b'.', b'0']
        | [b'1', b'.', b'0', b'0']
        | [b'1', b'.', b'0', b'0', b'0'] => Some(1000),
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            let value = digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
            Some([1000, 100, 10, 1][digits.len()] * value)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parse;
    use alloc::format;

    fn prefers(fields: &str) -> bool {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let parsed = parse(head.as_bytes()).unwrap().unwrap();
        prefers_gzip(&parsed.request(head.as_bytes()))
    }

    #[test]
    fn gzip_is_taken_where_it_is_wanted() {
        for value in [
            "gzip",
            "GZIP",
            "x-gzip",
            "deflate, gzip, br",
            "br;q=1.0, gzip;q=0.8, *;q=0.1",
            "gzip ; q=0.001",
            "*",
            "*;q=0.5",
            "identity;q=0.5, gzip;q=0.5",
            "gzip;q=1.000",
        ] {
            assert!(prefers(&format!("Accept-Encoding: {value}\r\n")), "{value}");
        }
        assert!(prefers("accept-encoding: br\r\nAccept-Encoding: gzip\r\n"));
    }

    #[test]
    fn gzip_is_not_taken_where_it_is_not() {
        for value in [
            "",
            "identity",
            "br",
            "gzipped",
            "gzip;q=0",
            "gzip;q=0.000",
            "gzip;q=0, *",
            "*;q=0",
            "gzip;q=0.4, identity;q=0.5",
            "gzip;q=2",
            "gzip;q=-1",
            "gzip;q=0.1234",
            "gzip;q=",
            "gzip; q =0",
            "gzip; q = 1",
            "gzip;",
            "gzip;level=9",
            "gzip;q=1;q=0",
        ] {
            assert!(!prefers(&format!("Accept-Encoding: {value}\r\n")), "{value}");
        }
        assert!(!prefers(""));
    }
}
