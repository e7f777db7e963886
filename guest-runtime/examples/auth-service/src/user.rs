//! The names that a user can have.

/// The longest name in bytes of UTF-8. A long name of FAT has at most 255 units of UTF-16, so none that fits there is refused
/// but those with many characters beyond ASCII.
pub const LONGEST_NAME: usize = 255;

/// A name that can be looked up: that of one file in the root directory, never a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserName<'a>(&'a str);

impl<'a> UserName<'a> {
    /// Checks a decoded name. `None` if no user can have it: it is empty, longer than [`LONGEST_NAME`], no UTF-8, `.` or
    /// `..`, or contains `/`, `\`, NUL or another control character.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > LONGEST_NAME {
            return None;
        }
        let name = core::str::from_utf8(bytes).ok()?;
        let path = |character: char| matches!(character, '/' | '\\') || character.is_control();
        (name != "." && name != ".." && !name.contains(path)).then_some(Self(name))
    }

    /// The name as the client sent it.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}
