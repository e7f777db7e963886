//! What a guest and its monitor print while a test runs.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// The most bytes that are kept of it, so that a guest that prints without end is only a test that fails.
const KEPT: usize = 1 << 20;

/// The last part of what was printed.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: VecDeque<u8>,
    /// How many bytes before them are not kept.
    lost: u64,
}

impl Output {
    /// Takes in all of `from`, and shows it as it comes where that is wanted.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub(crate) fn read(from: &mut impl Read, shown: bool) -> io::Result<Self> {
        let mut this = Self::default();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = match from.read(&mut buffer) {
                Ok(0) => return Ok(this),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let new = buffer.get(..length).unwrap_or_default();
            if shown {
                let mut out = io::stdout().lock();
                // Whoever does not want to see it any more gets the result all the same.
                let _ = out.write_all(new).and_then(|()| out.flush());
            }
            this.add(new);
        }
    }

    fn add(&mut self, new: &[u8]) {
        self.bytes.extend(new);
        let surplus = self.bytes.len().saturating_sub(KEPT);
        self.bytes.drain(..surplus);
        self.lost += surplus as u64;
    }

    /// It as text, with a line about what is not there.
    pub(crate) fn into_text(self) -> String {
        let bytes: Vec<u8> = self.bytes.into();
        let text = String::from_utf8_lossy(&bytes);
        match self.lost {
            0 => text.into_owned(),
            lost => format!("({lost} bytes before this are not kept)\n{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_is_long_is_kept() {
        let long = [vec![b'a'; KEPT], b"end".to_vec()].concat();
        let text = Output::read(&mut long.as_slice(), false).unwrap().into_text();
        assert!(text.starts_with("(3 bytes before this are not kept)\na"), "{}", &text[..60]);
        assert!(text.ends_with("aend") && text.len() < KEPT + 100);
        assert_eq!(Output::read(&mut &b"short\xff"[..], false).unwrap().into_text(), "short\u{fffd}");
    }
}
