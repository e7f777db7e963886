//! The notes of a test program: what its tests are called, so that a harness can list them without starting it.
//!
//! Each test has a [note](crate::note) of its own, with the same [owner](crate::note::OWNER) and the type [`TYPE`], beside the one with
//! the manifest; one without a name says that the program has tests at all. Monitors pay no attention to them. The harness starts a guest
//! for each test and gives it the test's name as the variable [`VARIABLE`] of its environment; the test has passed if the guest ends with
//! status 0.
//!
//! | offset | size | field of the descriptor |
//! |---|---|---|
//! | 0 | 4 | flags, see [`IGNORED`] and [`PANICS`] |
//! | 4 | | the name, as the guest knows it, and a NUL; no name: see above |
//! | | | why it is ignored, may be empty, and a NUL |
//! | | | what the panic's message contains, may be empty, and a NUL |
//!
//! All three are UTF-8. A later version of this crate may append to it.

use crate::bytes::{put, u32_at};
use crate::note::{PREFIX_SIZE, put_prefix};

/// The type of the note: a test.
pub const TYPE: u32 = 2;
/// Flag: it runs only where that is asked for.
pub const IGNORED: u32 = 1;
/// Flag: it passes if it panics, and only then.
pub const PANICS: u32 = 2;
/// The variable of the guest's environment that names the test to be run.
pub const VARIABLE: &str = "UKVM_TEST";

/// A test that a program declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test<'a> {
    /// [`IGNORED`], [`PANICS`].
    pub flags: u32,
    /// Its name, with the modules it is in: `module::name`.
    pub name: &'a str,
    /// Why it is ignored; empty: for no reason given.
    pub reason: &'a str,
    /// What the message of its panic contains; empty: it may be any.
    pub expected: &'a str,
}

impl<'a> Test<'a> {
    /// What says that a program has tests, even if it has none.
    pub const PROGRAM: Test<'static> = Test { flags: 0, name: "", reason: "", expected: "" };

    /// The bytes of its note.
    #[must_use]
    pub const fn size(&self) -> usize {
        PREFIX_SIZE + self.descriptor_size().next_multiple_of(4)
    }

    const fn descriptor_size(&self) -> usize {
        4 + self.name.len() + 1 + self.reason.len() + 1 + self.expected.len() + 1
    }

    /// Its complete note. `N` is [`size`](Self::size).
    ///
    /// # Panics
    ///
    /// At compile time, if `N` is not the note's exact size, or a text has a NUL in it.
    #[must_use]
    pub const fn encode<const N: usize>(&self) -> [u8; N] {
        assert!(N == self.size(), "N must be the size of the test's note");
        let texts = [self.name, self.reason, self.expected];
        let mut note = [0; N];
        put_prefix(&mut note, self.descriptor_size(), TYPE);
        put(&mut note, PREFIX_SIZE, &self.flags.to_le_bytes());
        let (mut at, mut i) = (PREFIX_SIZE + 4, 0);
        while i < texts.len() {
            let text = texts[i].as_bytes();
            put(&mut note, at, text);
            let end = at + text.len();
            while at < end {
                assert!(note[at] != 0, "a text in a test's declaration has a NUL in it");
                at += 1;
            }
            at += 1;
            i += 1;
        }
        note
    }

    /// Reads the descriptor of a note; `None` where it is not that of a test.
    #[must_use]
    pub fn parse(descriptor: &'a [u8]) -> Option<Self> {
        let flags = u32_at(descriptor, 0)?;
        let mut texts = descriptor.get(4..)?.split(|&byte| byte == 0);
        let mut text = || core::str::from_utf8(texts.next()?).ok();
        let test = Self { flags, name: text()?, reason: text()?, expected: text()? };
        // What follows the last NUL is one more piece, if only an empty one.
        texts.next()?;
        let is_known = flags & !(IGNORED | PANICS) == 0;
        is_known.then_some(test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: Test<'_> = Test {
        flags: IGNORED | PANICS,
        name: "accounts::a_wrong_password_is_refused",
        reason: "takes an hour",
        expected: "nobody",
    };
    static NOTE: [u8; TEST.size()] = TEST.encode();

    fn descriptor() -> &'static [u8] {
        &NOTE[PREFIX_SIZE..PREFIX_SIZE + TEST.descriptor_size()]
    }

    #[test]
    fn what_a_guest_declares_is_what_a_harness_reads() {
        assert_eq!(Test::parse(descriptor()), Some(TEST));
        assert!(NOTE.len().is_multiple_of(4));
        assert_eq!(u32_at(&NOTE, 4), Some(TEST.descriptor_size() as u32));
        const PLAIN: Test<'_> = Test { flags: 0, name: "a", reason: "", expected: "" };
        static PLAIN_NOTE: [u8; PLAIN.size()] = PLAIN.encode();
        assert_eq!(Test::parse(&PLAIN_NOTE[PREFIX_SIZE..]), Some(PLAIN));
    }

    #[test]
    fn what_is_cut_or_unknown_is_no_test() {
        for length in 0..descriptor().len() {
            assert_eq!(Test::parse(&descriptor()[..length]), None, "{length}");
        }
        let change = |at: usize, to: u8| {
            let mut bytes = [0; NOTE.len() - PREFIX_SIZE];
            bytes.copy_from_slice(&NOTE[PREFIX_SIZE..]);
            bytes[at] = to;
            Test::parse(&bytes).is_some()
        };
        assert!(!change(0, 4), "a flag that there is not");
        assert!(change(4, 0), "no name");
        assert!(!change(4, 0xff), "not UTF-8");
        assert!(change(4, b'b'));
    }
}
