//! How far a measurement is: a bar on a terminal, a few plain lines elsewhere, both on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};

/// How far a measurement is.
#[derive(Debug)]
pub struct Progress {
    what: String,
    done: usize,
    total: usize,
    /// On a terminal.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Lines that are printed where there is no terminal.
    const LINES: usize = 4;

    /// The progress of `total` steps.
    #[must_use]
    pub fn new(what: &str, total: usize) -> Self {
        let bar = stderr().is_terminal().then(|| {
            // Drawn ten times a second: drawing takes time from what is measured.
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len}, {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            ProgressBar::with_draw_target(Some(total as u64), target)
                .with_style(style)
                .with_message(what.to_owned())
        });
        Self { what: what.to_owned(), done: 0, total, bar }
    }

    /// One step is done.
    pub fn step(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
        } else if self.is_worth_a_line() {
            eprintln!("ukvm-bench: {}: {} of {}", self.what, self.done, self.total);
        }
    }

    fn is_worth_a_line(&self) -> bool {
        let lines = |done| done * Self::LINES / self.total.max(1);
        lines(self.done) > lines(self.done - 1)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_and_the_last_are_printed() {
        for total in [1, 3, 4, 10, 200] {
            let mut progress = Progress { what: "test".into(), done: 0, total, bar: None };
            let mut lines = Vec::new();
            for done in 1..=total {
                progress.done = done;
                if progress.is_worth_a_line() {
                    lines.push(done);
                }
            }
            assert!(lines.len() <= Progress::LINES && lines.last() == Some(&total), "{total}: {lines:?}");
        }
    }
}
