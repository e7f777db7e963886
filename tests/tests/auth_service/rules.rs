//! Queries, names and passwords.

use auth_service::capacity;
use auth_service::password::{self, LONGEST_PASSWORD, PASSWORD_FILE};
use auth_service::query::Credentials;
use auth_service::user::UserName;

/// The user and the password of a target, as text.
fn query(target: &str) -> Option<(String, String)> {
    let credentials = Credentials::of_target(target)?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some((text(credentials.user), text(credentials.password)))
}

fn both(user: &str, password: &str) -> Option<(String, String)> {
    Some((user.into(), password.into()))
}

#[test]
fn parameters_are_found_in_any_order_on_any_path() {
    assert_eq!(query("/?user=ann&password=secret"), both("ann", "secret"));
    assert_eq!(query("/a/b?password=secret&x=y&&user=ann"), both("ann", "secret"));
    assert_eq!(query("http://10.0.0.2/?user=ann&password=secret"), both("ann", "secret"));
    assert_eq!(query("/?user=ann&password=secret#user=bob"), both("ann", "secret"));
}

#[test]
fn a_missing_parameter_is_told_from_an_empty_one() {
    for target in
        ["/", "/?", "/?user=ann", "/?password=secret", "/?User=ann&Password=x", "/?users=ann&password=x"]
    {
        assert_eq!(query(target), None, "{target}");
    }
    assert_eq!(query("/?user=&password="), both("", ""));
    assert_eq!(query("/?user&password"), both("", ""));
}

#[test]
fn the_first_of_equal_parameters_counts() {
    assert_eq!(query("/?user=ann&user=bob&password=1&password=2"), both("ann", "1"));
}

#[test]
fn keys_and_values_are_decoded() {
    assert_eq!(query("/?us%65r=a%20b+c%2Bd&pass%77ord=%26%3D%3F"), both("a b c+d", "&=?"));
    assert_eq!(query("/?user=J%C3%BCrgen&password=a=b?c"), both("Jürgen", "a=b?c"));
    assert_eq!(query("/?user=100%&password=%zz%4"), both("100%", "%zz%4"));
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let credentials = Credentials::of_target("/?user=%ff&password=%00%FE").unwrap();
    assert_eq!((credentials.user, credentials.password), (vec![0xff], vec![0, 0xfe]));
}

#[test]
fn names_that_no_file_can_have_are_refused() {
    let longest = "x".repeat(255);
    for good in ["ann", "Jürgen", "a b", "...", ".profile", "a..b", "~", "名前", &longest] {
        assert_eq!(UserName::new(good.as_bytes()).map(|name| name.as_str()), Some(good));
    }
    let too_long = "x".repeat(256);
    let bad = ["", ".", "..", "a/b", "/", "a\\b", "a\0", "a\nb", "\u{7f}", "\u{85}", &too_long];
    for bad in bad {
        assert_eq!(UserName::new(bad.as_bytes()), None, "{bad:?}");
    }
    assert_eq!(UserName::new(b"\xff"), None);
    assert_eq!(UserName::new(b"\xc0\xae"), None, "an overlong dot");
}

/// Whether a file of this content takes that password.
fn takes(content: &[u8], given: &[u8]) -> bool {
    let mut file = [0; PASSWORD_FILE];
    let length = content.len().min(PASSWORD_FILE);
    file[..length].copy_from_slice(&content[..length]);
    password::matches(&file, length, given)
}

#[test]
fn one_line_end_does_not_belong_to_the_password() {
    for content in ["secret", "secret\n", "secret\r\n"] {
        assert!(takes(content.as_bytes(), b"secret"), "{content:?}");
        assert!(!takes(content.as_bytes(), b"secret\n"), "{content:?}");
    }
    assert!(takes(b"secret\n\n", b"secret\n"));
    assert!(!takes(b"secret\n\n", b"secret"));
    assert!(takes(b"secret\r", b"secret\r"));
    assert!(!takes(b"secret\r", b"secret"));
    assert!(takes(b"\n", b""));
    assert!(takes(b"", b""));
}

#[test]
fn a_password_matches_as_a_whole_and_byte_by_byte() {
    assert!(takes(b"\xff\x00 x", b"\xff\x00 x"));
    for wrong in ["", "s", "secre", "Secret", "secrets", "secret\0", "secret\0\0"] {
        assert!(!takes(b"secret", wrong.as_bytes()), "{wrong:?}");
    }
    assert!(!takes(b"", b"\0"));
}

#[test]
fn long_passwords_match_up_to_the_longest_that_can_be_sent() {
    let longest = vec![b'x'; LONGEST_PASSWORD];
    for end in ["", "\n", "\r\n"] {
        assert!(takes(&[&longest, end.as_bytes()].concat(), &longest), "{end:?}");
    }
    assert!(!takes(&vec![b'x'; LONGEST_PASSWORD + 1], &longest));
    assert!(!takes(&vec![b'x'; 2 * PASSWORD_FILE], &longest));
    assert!(!takes(b"x", &vec![b'x'; 2 * PASSWORD_FILE]));
}

#[test]
fn memory_limits_the_connections() {
    assert!(capacity::connections(0) >= 1);
    let in_64_mib = capacity::connections(48 << 20);
    assert!(in_64_mib >= 1000, "{in_64_mib}");
}
