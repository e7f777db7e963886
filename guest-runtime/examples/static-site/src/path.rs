//! The path of a request, as the name of a file.

use alloc::string::String;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The longest name in bytes, the longest that an image can have.
pub const LONGEST_NAME: usize = 4096;

/// The longest place of a redirect in bytes.
pub const LONGEST_REDIRECT: usize = 4096;

/// What is encoded in a path (RFC 3986, section 3.3), and `%` itself.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What a client asks for, decoded and without dots that could lead out of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitePath<'a> {
    /// The name in the store: components with a slash between them; that of the root is empty.
    pub name: String,
    /// Whether the client asks for a directory: there was a slash at the end.
    pub directory: bool,
    /// The query with its question mark, as it was sent; perhaps empty.
    query: &'a str,
}

/// Why a target is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPath {
    /// A `%` is not followed by two hexadecimal digits, or stands for NUL.
    Malformed,
    /// It is not in UTF-8 or longer than [`LONGEST_NAME`], so that no file can have it.
    NoName,
}

impl<'a> SitePath<'a> {
    /// Reads the target of a request, in one of the forms `/path?query` and `http://host/path?query`.
    ///
    /// Encoded slashes and dots are slashes and dots. Several slashes are one. `.` is left out, and `..` takes the component before it
    /// along; at the root, where there is none, it stays there (RFC 3986, section 5.2.4).
    ///
    /// # Errors
    ///
    /// A [`BadPath`].
    pub fn of_target(target: &'a str) -> Result<Self, BadPath> {
        let target = match target.split_once("://") {
            Some((_, rest)) if !target.starts_with('/') => rest.find(['/', '?']).map_or("", |at| &rest[at..]),
            _ => target,
        };
        // A client keeps the fragment to itself; one that does not means the same.
        let target = target.split_once('#').map_or(target, |(target, _)| target);
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        if !is_encoded_well(path) {
            return Err(BadPath::Malformed);
        }
        let decoded = percent_decode_str(path).decode_utf8().map_err(|_| BadPath::NoName)?;
        if decoded.len() > LONGEST_NAME {
            return Err(BadPath::NoName);
        }
        let mut name = String::with_capacity(decoded.len());
        let mut directory = true;
        for component in decoded.split('/') {
            directory = matches!(component, "" | "." | "..");
            match component {
                "" | "." => {}
                ".." => name.truncate(name.rfind('/').unwrap_or(0)),
                _ => {
                    if !name.is_empty() {
                        name.push('/');
                    }
                    name.push_str(component);
                }
            }
        }
        Ok(Self { name, directory, query })
    }

    /// Where the directory of this name is, for a client that has left the slash out: a reference without a host, whatever the
    /// client sent. `None` if it is longer than [`LONGEST_REDIRECT`].
    #[must_use]
    pub fn with_slash(&self) -> Option<String> {
        let name = utf8_percent_encode(&self.name, ENCODED);
        // It stays as it was sent, but for what a field cannot have.
        let query = utf8_percent_encode(self.query, CONTROLS);
        let length = name.clone().chain(query.clone()).map(str::len).sum::<usize>() + 2;
        (length <= LONGEST_REDIRECT).then(|| alloc::format!("/{name}/{query}"))
    }
}

/// Whether each `%` is followed by two hexadecimal digits that are not 00.
fn is_encoded_well(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| match rest.as_bytes() {
        [b'0', b'0', ..] => false,
        [high, low, ..] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    })
}
