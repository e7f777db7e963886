//! Lines about what clients can make happen as often as they like.

use super::write_all;
use crate::{task, time};
use alloc::format;
use alloc::rc::Rc;
use core::cell::Cell;
use core::fmt;
use core::time::Duration;

/// How long to be silent after a line.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints lines, one a second at most, each with how many were left out since the one before. It never waits for the console: while
/// nobody reads that, it keeps what there is to say to itself, and the program goes on.
#[derive(Debug, Default)]
pub struct Notices {
    next: Cell<Duration>,
    silent: Cell<u64>,
    printing: Rc<Cell<bool>>,
}

impl Notices {
    /// Nothing said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Prints a line, or leaves it out.
    pub fn say(&self, text: impl fmt::Display) {
        let now = time::monotonic();
        if now < self.next.get() || self.printing.get() {
            self.silent.set(self.silent.get() + 1);
            return;
        }
        self.next.set(now + PAUSE);
        let line = match self.silent.take() {
            0 => format!("{text}\n"),
            others => format!("{text} ({others} more since the last line)\n"),
        };
        self.printing.set(true);
        let printing = self.printing.clone();
        drop(task::spawn(async move {
            write_all(line.as_bytes()).await;
            printing.set(false);
        }));
    }
}
