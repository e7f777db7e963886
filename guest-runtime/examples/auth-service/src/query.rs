//! The query of a request: who asks, and with which password.

use alloc::vec::Vec;
use percent_encoding::percent_decode;

/// What the query of a request says, percent- and `+`-decoded. Nothing is checked yet: both may be any bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The value of the parameter `user`.
    pub user: Vec<u8>,
    /// The value of the parameter `password`.
    pub password: Vec<u8>,
}

impl Credentials {
    /// Reads the target of a request, such as `/any/path?user=ann&password=secret`.
    ///
    /// A parameter that appears twice counts where it stands first, one without `=` has an empty value, and a `%` that two
    /// hexadecimal digits do not follow stands for itself, as in the forms of HTML. `None` where a parameter is missing.
    #[must_use]
    pub fn of_target(target: &str) -> Option<Self> {
        let (_, query) = target.split_once('?')?;
        // A client keeps the fragment to itself; one that does not means the same.
        let query = query.split_once('#').map_or(query, |(query, _)| query);
        let (mut user, mut password) = (None, None);
        for parameter in query.split('&') {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let wanted = match decode(key).as_slice() {
                b"user" => &mut user,
                b"password" => &mut password,
                _ => continue,
            };
            wanted.get_or_insert_with(|| decode(value));
        }
        Some(Self { user: user?, password: password? })
    }
}

/// Decodes one key or value: `+` is a space, `%2B` is a plus.
fn decode(text: &str) -> Vec<u8> {
    let spaced: Vec<u8> = text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&spaced).collect()
}
