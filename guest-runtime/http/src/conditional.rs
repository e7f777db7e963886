//! Conditional requests (RFC 9110, section 13).

use crate::date;
use crate::request::Request;

/// What tells one state of a representation from another.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    /// The entity tag with its quotes, a strong one.
    pub etag: &'a str,
    /// When it was modified last, in seconds since 1970-01-01T00:00:00Z.
    pub modified: Option<u64>,
}

/// What is to be done with a request to get a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Carry it out.
    Proceed,
    /// The client has the representation: 304.
    NotModified,
    /// The representation is not the one that the client means: 412.
    Failed,
}

/// Weighs the conditions of a GET or HEAD, in the order of RFC 9110, section 13.2.2. `If-Range` is not among them.
#[must_use]
pub fn evaluate(request: &Request<'_>, validators: &Validators<'_>) -> Verdict {
    let modified_since = |field| {
        let date = date::parse(request.value(field)?)?;
        Some(validators.modified? > date)
    };
    let known = |field| request.elements(field).next().is_some();
    let failed = if known("if-match") {
        !request.elements("if-match").any(|tag| tag == b"*" || is_same(tag, validators))
    } else {
        modified_since("if-unmodified-since") == Some(true)
    };
    if failed {
        return Verdict::Failed;
    }
    let has = if known("if-none-match") {
        // A weak tag will do here.
        request
            .elements("if-none-match")
            .any(|tag| tag == b"*" || is_same(tag.strip_prefix(b"W/").unwrap_or(tag), validators))
    } else {
        modified_since("if-modified-since") == Some(false)
    };
    if has { Verdict::NotModified } else { Verdict::Proceed }
}

/// Whether a `Range` field counts: there is no `If-Range`, or one that means this very representation.
#[must_use]
pub fn range_counts(request: &Request<'_>, validators: &Validators<'_>) -> bool {
    if request.values("if-range").next().is_none() {
        return true;
    }
    let Some(value) = request.value("if-range") else { return false };
    is_same(value, validators) || date::parse(value).is_some_and(|date| validators.modified == Some(date))
}

/// The strong comparison.
fn is_same(tag: &[u8], validators: &Validators<'_>) -> bool {
    tag == validators.etag.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Failed, NotModified, Proceed};
    use super::*;
    use crate::request::parse;
    use alloc::format;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn with<T>(fields: &str, weigh: impl Fn(&Request<'_>, &Validators<'_>) -> T) -> T {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let parsed = parse(head.as_bytes()).unwrap().unwrap();
        weigh(&parsed.request(head.as_bytes()), &Validators { etag: "\"ab-1\"", modified: Some(784_111_777) })
    }

    fn verdict(fields: &str) -> Verdict {
        with(fields, evaluate)
    }

    #[test]
    fn tags_decide() {
        assert_eq!(verdict(""), Proceed);
        for tags in [
            "\"ab-1\"",
            "W/\"ab-1\"",
            "*",
            "\"x\", \"ab-1\"",
            "\"x\",W/\"ab-1\",",
            "\"x\"\r\nif-none-match: \"ab-1\"",
        ] {
            assert_eq!(verdict(&format!("If-None-Match: {tags}\r\n")), NotModified, "{tags}");
        }
        for tags in ["\"ab-2\"", "ab-1", "\"ab-1", "w/\"ab-1\"", ""] {
            assert_eq!(verdict(&format!("If-None-Match: {tags}\r\n")), Proceed, "{tags}");
        }
        for (tags, expected) in [
            ("\"ab-1\"", Proceed),
            ("*", Proceed),
            ("\"x\"", Failed),
            ("W/\"ab-1\"", Failed),
            ("\"x\", \"ab-1\"", Proceed),
        ] {
            assert_eq!(verdict(&format!("If-Match: {tags}\r\n")), expected, "{tags}");
        }
    }

    #[test]
    fn dates_decide_where_there_are_no_tags() {
        for (date, expected) in
            [(BEFORE, Proceed), (THEN, NotModified), (AFTER, NotModified), ("soon", Proceed)]
        {
            assert_eq!(verdict(&format!("If-Modified-Since: {date}\r\n")), expected, "{date}");
            let both = format!("If-Modified-Since: {date}\r\nIf-None-Match: \"x\"\r\n");
            assert_eq!(verdict(&both), Proceed, "{date}");
        }
        for (date, expected) in [(BEFORE, Failed), (THEN, Proceed), (AFTER, Proceed), ("soon", Proceed)] {
            assert_eq!(verdict(&format!("If-Unmodified-Since: {date}\r\n")), expected, "{date}");
            let both = format!("If-Unmodified-Since: {date}\r\nIf-Match: \"ab-1\"\r\n");
            assert_eq!(verdict(&both), Proceed, "{date}");
        }
    }

    #[test]
    fn a_range_counts_for_the_very_same_representation() {
        assert!(with("", range_counts));
        for value in ["\"ab-1\"", THEN] {
            assert!(with(&format!("If-Range: {value}\r\n"), range_counts), "{value}");
        }
        for value in ["W/\"ab-1\"", "\"x\"", "*", BEFORE, AFTER, "", "\"ab-1\"\r\nIf-Range: \"ab-1\""] {
            assert!(!with(&format!("If-Range: {value}\r\n"), range_counts), "{value}");
        }
    }
}
