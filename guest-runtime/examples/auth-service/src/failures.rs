//! What the console learns of lookups that failed.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use auth_service::accounts::LookupFailed;
use core::cell::Cell;
use core::time::Duration;
use ukvm_runtime::{console, task, time};

/// How long to be silent after a line: a broken disk fails every request, and clients send many.
const PAUSE: Duration = Duration::from_secs(1);

/// A function that prints the failures, with how many it has kept to itself since the last line. It never waits for the
/// console: while nobody reads that, it keeps the failures to itself, and the service goes on.
pub(crate) fn report() -> impl Fn(&LookupFailed) {
    let next = Cell::new(Duration::ZERO);
    let silent = Cell::new(0u64);
    let printing = Rc::new(Cell::new(false));
    move |failed| {
        let now = time::monotonic();
        if now < next.get() || printing.get() {
            silent.set(silent.get() + 1);
            return;
        }
        next.set(now + PAUSE);
        let others = match silent.take() {
            0 => String::new(),
            others => format!(" ({others} more since the last line)"),
        };
        let line = format!("auth-service: the users cannot be read: {failed}{others}\n");
        printing.set(true);
        let printing = printing.clone();
        drop(task::spawn(async move {
            console::write_all(line.as_bytes()).await;
            printing.set(false);
        }));
    }
}
