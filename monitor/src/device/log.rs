//! What devices say on standard error: few lines, whatever the guest or the host do, and never waiting for a reader.

use super::nowait;
use crate::stderr::program;
use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

/// Lines in a [`WINDOW`]: enough to see what is wrong, few enough to read.
const MOST_LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// One device's log.
#[derive(Debug)]
pub(crate) struct Log {
    device: String,
    window: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Log {
    /// A log whose lines begin with `device`.
    pub(crate) fn new(device: impl Into<String>) -> Self {
        Self { device: device.into(), window: None, lines: 0, left_out: 0 }
    }

    /// Says `text` on standard error, unless there was much to say in the last second or nobody reads it.
    pub(crate) fn say(&mut self, text: fmt::Arguments<'_>) {
        if let Some(line) = self.line(text, Instant::now()) {
            if nowait::is_ready(libc::STDERR_FILENO, libc::POLLOUT) {
                // Where the line would go is what failed: there is nobody left to tell.
                let _ = std::io::stderr().write_all(line.as_bytes());
            } else {
                self.left_out += 1;
            }
        }
    }

    fn line(&mut self, text: fmt::Arguments<'_>, now: Instant) -> Option<String> {
        if self.window.is_none_or(|start| now.saturating_duration_since(start) >= WINDOW) {
            self.window = Some(now);
            self.lines = 0;
        }
        if self.lines >= MOST_LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        let left_out = std::mem::take(&mut self.left_out);
        Some(if left_out == 0 {
            format!("{}: {}: {text}\n", program(), self.device)
        } else {
            format!("{}: {}: {text} ({left_out} earlier lines left out)\n", program(), self.device)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_ten_lines_a_second_and_the_rest_is_counted() {
        let mut log = Log::new("disk `data`");
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(
                log.line(format_args!("cannot read"), start).as_deref(),
                Some("ukvm-run: disk `data`: cannot read\n")
            );
        }
        for _ in 0..1000 {
            assert_eq!(log.line(format_args!("cannot read"), start), None);
        }
        assert_eq!(
            log.line(format_args!("cannot read"), start + WINDOW).as_deref(),
            Some("ukvm-run: disk `data`: cannot read (1000 earlier lines left out)\n")
        );
        assert_eq!(
            log.line(format_args!("cannot write"), start + WINDOW).as_deref(),
            Some("ukvm-run: disk `data`: cannot write\n")
        );
    }
}
