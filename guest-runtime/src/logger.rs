//! The `log` crate's records, on the console.

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

/// Takes the log crate's records from now on: those up to the level in the environment variable `LOG` (`off`, `error`,
/// `warn`, `info`, `debug` or `trace`), up to `info` if it names none.
#[unsafe(link_section = ".text.startup.ukvm")]
pub(crate) fn install() {
    let level = crate::env("LOG").and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::Info);
    // The one error would be a logger that is already there; then it stays.
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level);
    }
}
