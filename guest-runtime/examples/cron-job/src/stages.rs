//! How long each stage of the job took.

use core::cell::Cell;
use core::fmt;
use core::time::Duration;

/// A stage of the job, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Looking at the disk. Meanwhile the server of addresses is asked.
    Disk,
    /// What was left to wait for an address.
    Address,
    /// Looking up names.
    Name,
    /// Connecting.
    Connection,
    /// From a request to the head of its answer.
    Answer,
    /// Until the last byte of the body is there, and most of it is written.
    Body,
    /// Making it durable, and giving it its name.
    File,
}

impl Stage {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Disk, "disk"),
        (Self::Address, "address"),
        (Self::Name, "name"),
        (Self::Connection, "connection"),
        (Self::Answer, "answer"),
        (Self::Body, "body"),
        (Self::File, "file"),
    ];
}

/// A clock that is read at the end of each stage. Shown, it is a list like `disk 1.2, address 104.0`, in milliseconds.
#[derive(Debug)]
pub struct Stages {
    clock: fn() -> Duration,
    last: Cell<Duration>,
    took: [Cell<Duration>; Stage::ALL.len()],
}

impl Stages {
    /// Begins now, as `clock` says.
    #[must_use]
    pub fn new(clock: fn() -> Duration) -> Self {
        Self { clock, last: Cell::new(clock()), took: Default::default() }
    }

    /// What has passed since the end of the last stage was for this one. With redirects there are several of a kind, which add up.
    pub fn end(&self, stage: Stage) {
        let now = (self.clock)();
        let took = &self.took[stage as usize];
        took.set(took.get() + now.saturating_sub(self.last.replace(now)));
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (stage, name) in Stage::ALL {
            let took = self.took[stage as usize].get();
            let comma = if stage == Stage::Disk { "" } else { ", " };
            write!(f, "{comma}{name} {:.1}", took.as_secs_f64() * 1e3)?;
        }
        Ok(())
    }
}
