//! The `log` crate's records, on the console.

use crate::boot_info;
use log::{LevelFilter, Log, Metadata, Record};

struct Logger;

static LOGGER: Logger = Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            crate::println!("{} {}: {}", record.level(), record.target(), record.args());
        }
    }

    fn flush(&self) {
        // A line is on its way when `println!` returns.
    }
}

/// The level where the environment names none.
const DEFAULT: LevelFilter = LevelFilter::Info;

/// Takes the log crate's records from now on: those up to the level in the environment variable `LOG` (`off`, `error`,
/// `warn`, `info`, `debug` or `trace`), up to `info` if it names none.
#[unsafe(link_section = ".text.startup.ukvm")]
pub(crate) fn install() {
    let level = if boot_info().environment_count == 0 { DEFAULT } else { level_of_environment() };
    // The one error would be a logger that is already there; then it stays.
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level);
    }
}

// Not inlined into what every start runs, which is one page.
#[inline(never)]
fn level_of_environment() -> LevelFilter {
    crate::env("LOG").and_then(|level| level.parse().ok()).unwrap_or(DEFAULT)
}
