//! Where a client is to go: URLs (RFC 3986) as far as plain HTTP knows them.

use crate::HTTP_PORT;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::Ipv6Addr;
use iri_string::types::{UriAbsoluteStr, UriReferenceStr, UriStr};
use percent_encoding::{AsciiSet, percent_encode};

/// What people and servers write into URLs though it has to be percent-encoded there: as all other programs do, so that it is done
/// for them. What is not ASCII is encoded as well; control characters never are, as nobody means them.
const ENCODED: &AsciiSet = &AsciiSet::EMPTY
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What is encoded behind the authority, where brackets enclose no address.
const ENCODED_BEHIND: &AsciiSet = &ENCODED.add(b'[').add(b']');

/// Encodes what has to be, in a URL or a reference.
fn encode(text: &[u8]) -> String {
    let (authority, rest) = text.split_at(authority_end(text));
    format!("{}{}", percent_encode(authority, ENCODED), percent_encode(rest, ENCODED_BEHIND))
}

/// Where the authority ends; 0 if there is none (RFC 3986, appendix B).
fn authority_end(text: &[u8]) -> usize {
    let ends = |byte: &u8| b"/?#".contains(byte);
    let scheme = text.iter().position(|byte| *byte == b':' || ends(byte));
    let start = scheme.filter(|end| text[*end] == b':').map_or(0, |end| end + 1);
    match text[start..].strip_prefix(b"//") {
        Some(rest) => text.len() - rest.len() + rest.iter().position(ends).unwrap_or(rest.len()),
        None => 0,
    }
}

/// The URL of something that plain HTTP can fetch, without a fragment. Two are equal where they ask the same host for the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
    target: String,
}

/// Why a text is no [`Url`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// It violates the grammar.
    Syntax,
    /// It begins with `https:`.
    Secure,
    /// It begins with something else than `http:`.
    Scheme,
    /// There is something before an `@`.
    UserInfo,
    /// There is no host, or an address in brackets that is none.
    Host,
    /// The port is none.
    Port,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "this is no URL: write it as http://HOST/PATH, with odd characters as %XX",
            Self::Secure => "this program has no TLS: name a URL that begins with http://",
            Self::Scheme => "only HTTP is spoken here: name a URL that begins with http://",
            Self::UserInfo => {
                "names and passwords in URLs are not sent, as all could read them: leave out what is before the @"
            }
            Self::Host => "this URL names no host: write it as http://HOST/PATH",
            Self::Port => "the port of this URL is none: it is a number from 1 to 65535",
        })
    }
}

impl core::error::Error for UrlError {}

impl Url {
    /// Reads a URL, such as `http://example.org:8080/a?b`. Spaces, brackets behind the host and what is not ASCII are percent-encoded;
    /// what is encoded already stays as it is.
    ///
    /// # Errors
    ///
    /// A [`UrlError`].
    pub fn parse(text: &[u8]) -> Result<Self, UrlError> {
        let text = encode(text);
        Self::of(UriStr::new(&text).map_err(|_| UrlError::Syntax)?)
    }

    /// The URL that `reference`, in an answer from this one, leads to (RFC 3986, section 5); a relative one, too.
    ///
    /// # Errors
    ///
    /// A [`UrlError`].
    pub fn join(&self, reference: &[u8]) -> Result<Self, UrlError> {
        let reference = encode(reference);
        let reference = UriReferenceStr::new(&reference).map_err(|_| UrlError::Syntax)?;
        let base = self.to_string();
        let base = UriAbsoluteStr::new(&base).map_err(|_| UrlError::Syntax)?;
        let joined = reference.resolve_against(base).to_string();
        Self::of(UriStr::new(&joined).map_err(|_| UrlError::Syntax)?)
    }

    fn of(uri: &UriStr) -> Result<Self, UrlError> {
        let scheme = uri.scheme_str();
        if scheme.eq_ignore_ascii_case("https") {
            return Err(UrlError::Secure);
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlError::Scheme);
        }
        let authority = uri.authority_components().ok_or(UrlError::Host)?;
        if authority.userinfo().is_some() {
            return Err(UrlError::UserInfo);
        }
        let host = authority.host();
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) if address.parse::<Ipv6Addr>().is_ok() => address,
            None if !host.is_empty() => host,
            _ => return Err(UrlError::Host),
        };
        let port = match authority.port() {
            None | Some("") => HTTP_PORT,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?,
        };
        let mut target = String::from(if uri.path_str().is_empty() { "/" } else { uri.path_str() });
        if let Some(query) = uri.query_str() {
            target.push('?');
            target.push_str(query);
        }
        Ok(Self { host: host.to_ascii_lowercase(), port, target })
    }

    /// The name or the address of the host, in small letters, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port, 80 if it names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path and the query, as they are sent in a request.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What is behind the last slash of the path; empty for that of a directory.
    #[must_use]
    pub fn last_segment(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }

    /// The value of the field `Host`: the port is left out where it is that of HTTP.
    #[must_use]
    pub fn authority(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_authority(&mut text);
        text
    }

    fn write_authority(&self, to: &mut impl fmt::Write) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(to, "[{}]", self.host)?,
            false => to.write_str(&self.host)?,
        }
        if self.port == HTTP_PORT { Ok(()) } else { write!(to, ":{}", self.port) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("http://")?;
        self.write_authority(f)?;
        f.write_str(&self.target)
    }
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
