//! What all measurements of a run share: the user's Ctrl-C, and how long a program may take.

use crate::error::Error;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What all measurements share.
#[derive(Clone, Debug)]
pub struct Session {
    interrupted: Arc<AtomicBool>,
    /// How long a program may take to its first byte of output, and how long from there to its end.
    pub patience: Duration,
}

impl Session {
    /// A session in which SIGINT and SIGTERM end the measurement instead of the process, and children that lose their
    /// parent become this process' own.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses one of these.
    pub fn new(patience: Duration) -> Result<Self, Error> {
        let session = Self { interrupted: Arc::default(), patience };
        session.catch_signals().map_err(|error| {
            Error::host(format!("signals cannot be caught ({error}); look at the limits of this process"))
        })?;
        Ok(session)
    }

    fn catch_signals(&self) -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&self.interrupted))?;
        }
        // A helper that a program leaves behind belongs to its life.
        Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
    }

    /// A result, unless it is an error after the user wanted the measurement to end: Ctrl-C reaches the whole foreground, so a
    /// program that failed just then has not failed of itself.
    ///
    /// # Errors
    ///
    /// The result's, or that it was interrupted.
    pub fn unless_interrupted<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| if self.is_interrupted() { Error::interrupted() } else { error })
    }

    /// Whether the user wants the measurement to end.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}
