//! The last output of a guest, for those who join late or read slowly.

use std::collections::VecDeque;

/// The bytes that are kept: some hundred lines.
pub(super) const KEPT: usize = 64 << 10;

/// A guest's output, of which the last [`KEPT`] bytes are here. Each byte has its place: how many were before it.
#[derive(Debug, Default)]
pub(super) struct History {
    bytes: VecDeque<u8>,
    end: u64,
}

impl History {
    /// Adds output.
    pub(super) fn push(&mut self, output: &[u8]) {
        let kept = output.get(output.len().saturating_sub(KEPT)..).unwrap_or_default();
        let too_many = (self.bytes.len() + kept.len()).saturating_sub(KEPT);
        self.bytes.drain(..too_many);
        self.bytes.extend(kept);
        self.end += output.len() as u64;
    }

    /// The place of the first byte that is here.
    pub(super) fn start(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }

    /// The place behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The place of the first whole line that is here, or of the first byte where none begins here.
    pub(super) fn first_line(&self) -> u64 {
        let start = self.start();
        if start == 0 {
            return 0;
        }
        let newline = self.bytes.iter().position(|&byte| byte == b'\n');
        let line = newline.map(|newline| newline + 1).filter(|&line| line < self.bytes.len());
        line.map_or(start, |line| start + line as u64)
    }

    /// Up to `most` bytes from `place` on, which is not before [`start`](Self::start).
    pub(super) fn read(&self, place: u64, most: usize) -> impl Iterator<Item = u8> {
        let skipped = place.saturating_sub(self.start()).min(self.bytes.len() as u64);
        self.bytes.range(skipped as usize..).copied().take(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(history: &History, place: u64, most: usize) -> Vec<u8> {
        history.read(place, most).collect()
    }

    #[test]
    fn all_is_kept_as_long_as_there_is_room() {
        let mut history = History::default();
        assert_eq!((history.start(), history.first_line()), (0, 0));
        assert_eq!(read(&history, 0, 10), b"");
        history.push(b"half a line");
        history.push(b", another\nnext");
        assert_eq!((history.start(), history.first_line()), (0, 0));
        assert_eq!(read(&history, 0, 6), b"half a");
        assert_eq!(read(&history, 21, 100), b"next");
        assert_eq!(read(&history, 25, 100), b"");
    }

    #[test]
    fn the_oldest_go_first() {
        let mut history = History::default();
        history.push(&vec![b'a'; KEPT - 1]);
        history.push(b"\nline\n");
        assert_eq!(history.start(), 5);
        assert_eq!(history.first_line(), KEPT as u64);
        assert_eq!(read(&history, history.first_line(), KEPT), b"line\n");
        // More than all at once, without a newline.
        history.push(&vec![b'b'; 2 * KEPT]);
        assert_eq!(history.start(), (2 * KEPT + 5) as u64);
        assert_eq!(history.first_line(), history.start());
        assert_eq!(read(&history, history.start(), 2 * KEPT), vec![b'b'; KEPT]);
        // The end of such a line begins none.
        history.push(b"\n");
        assert_eq!(history.first_line(), history.start());
        history.push(b"c");
        assert_eq!(history.first_line(), history.end() - 1);
    }
}
