use super::*;

fn url(text: &str) -> Url {
    Url::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_parts_of_a_url() {
    for (text, host, port, target) in [
        ("http://example.org", "example.org", 80, "/"),
        ("http://example.org?a=b", "example.org", 80, "/?a=b"),
        ("HTTP://Example.ORG:8080/A/b.txt?c#d", "example.org", 8080, "/A/b.txt?c"),
        ("http://10.0.0.1:80/", "10.0.0.1", 80, "/"),
        ("http://h:/", "h", 80, "/"),
        ("http://[fd00::1]:8080/", "fd00::1", 8080, "/"),
        ("http://[FD00::1]/x", "fd00::1", 80, "/x"),
        ("http://h/%2e%2E/a%20b", "h", 80, "/%2e%2E/a%20b"),
        ("http://h/a b|c", "h", 80, "/a%20b%7Cc"),
        ("http://h/\u{fc}", "h", 80, "/%C3%BC"),
        ("http://h/a[1]?b[]=c#[d]", "h", 80, "/a%5B1%5D?b%5B%5D=c"),
        ("http://[fd00::1]?a=[b]", "fd00::1", 80, "/?a=%5Bb%5D"),
    ] {
        let url = url(text);
        assert_eq!((url.host(), url.port(), url.target()), (host, port, target), "{text}");
    }
}

#[test]
fn what_cannot_be_fetched_is_refused() {
    for (text, error) in [
        ("", UrlError::Syntax),
        ("example.org/a", UrlError::Syntax),
        ("/a", UrlError::Syntax),
        ("http://h/%", UrlError::Syntax),
        ("http://h/a\r\nX: y", UrlError::Syntax),
        ("http://h/\0", UrlError::Syntax),
        ("http://h\t/", UrlError::Syntax),
        ("http://h/\u{7f}", UrlError::Syntax),
        ("http://[::1", UrlError::Syntax),
        ("http://a[b]/", UrlError::Syntax),
        ("[a]://h/", UrlError::Syntax),
        ("http://[::1%25eth0]/", UrlError::Syntax),
        ("http://h:8a/", UrlError::Syntax),
        ("https://h/", UrlError::Secure),
        ("HTTPS://h/", UrlError::Secure),
        ("ftp://h/", UrlError::Scheme),
        ("localhost:80/", UrlError::Scheme),
        ("http:a", UrlError::Host),
        ("http:///a", UrlError::Host),
        ("http://:80/", UrlError::Host),
        ("http://[v1.a]/", UrlError::Host),
        ("http://user@h/", UrlError::UserInfo),
        ("http://user:word@h/", UrlError::UserInfo),
        ("http://@h/", UrlError::UserInfo),
        ("http://h:0/", UrlError::Port),
        ("http://h:65536/", UrlError::Port),
        ("http://h:99999999999999999999/", UrlError::Port),
    ] {
        assert_eq!(Url::parse(text.as_bytes()), Err(error), "{text}");
        let sentence = error.to_string();
        assert!(sentence.len() > 20 && !sentence.ends_with('.'), "{sentence}");
    }
}

#[test]
fn references_are_resolved() {
    let base = url("http://h:8080/a/b/c?d#e");
    for (reference, expected) in [
        ("http://other/x", "http://other/x"),
        ("//other/x", "http://other/x"),
        ("/x?y", "http://h:8080/x?y"),
        ("x", "http://h:8080/a/b/x"),
        ("../x", "http://h:8080/a/x"),
        ("../../../../x", "http://h:8080/x"),
        ("./", "http://h:8080/a/b/"),
        ("?y", "http://h:8080/a/b/c?y"),
        ("", "http://h:8080/a/b/c?d"),
        ("#f", "http://h:8080/a/b/c?d"),
        ("x y/\u{fc}", "http://h:8080/a/b/x%20y/%C3%BC"),
        ("x[1]", "http://h:8080/a/b/x%5B1%5D"),
        ("/[x]//[y]", "http://h:8080/%5Bx%5D//%5By%5D"),
        ("?a[]=http://[b]", "http://h:8080/a/b/c?a%5B%5D=http://%5Bb%5D"),
        ("//[fd00::1]:81/[x]", "http://[fd00::1]:81/%5Bx%5D"),
        ("http://[fd00::1]/[x]", "http://[fd00::1]/%5Bx%5D"),
    ] {
        assert_eq!(base.join(reference.as_bytes()).unwrap().to_string(), expected, "{reference}");
    }
    assert_eq!(url("http://h").join(b"x").unwrap().to_string(), "http://h/x");
    for (reference, error) in [
        ("https://h/", UrlError::Secure),
        ("mailto:a@b", UrlError::Scheme),
        ("http://a@h/", UrlError::UserInfo),
        ("//", UrlError::Host),
        ("a\nb", UrlError::Syntax),
    ] {
        assert_eq!(base.join(reference.as_bytes()), Err(error), "{reference}");
    }
    // Bytes that are no text are encoded one by one.
    assert_eq!(base.join(b"\xff").unwrap().target(), "/a/b/%FF");
}

#[test]
fn a_url_is_the_same_however_it_is_written() {
    for (one, other) in
        [("http://H", "http://h:80/"), ("http://h/a#b", "http://h/a"), ("http://h:/", "HTTP://h")]
    {
        assert_eq!(url(one), url(other));
    }
    assert_ne!(url("http://h/a"), url("http://h/A"));
    assert_ne!(url("http://h/"), url("http://h:81/"));
}

#[test]
fn the_last_segment_is_a_name() {
    for (text, name) in [
        ("http://h", ""),
        ("http://h/a/b.txt?c=/d", "b.txt"),
        ("http://h/a/", ""),
        ("http://h/a%20b", "a%20b"),
    ] {
        assert_eq!(url(text).last_segment(), name);
    }
}

#[test]
fn hosts_are_named_with_their_ports() {
    for (text, authority) in
        [("http://h:80/", "h"), ("http://h:81/", "h:81"), ("http://[::1]:81/a", "[::1]:81")]
    {
        assert_eq!(url(text).authority(), authority);
    }
}
