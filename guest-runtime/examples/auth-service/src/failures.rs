//! What the console learns of lookups that failed.

use auth_service::accounts::LookupFailed;
use core::cell::Cell;
use core::time::Duration;
use ukvm_runtime::{println, time};

/// How long to be silent after a line: a broken disk fails every request, and clients send many.
const PAUSE: Duration = Duration::from_secs(1);

/// A function that prints the failures, with how many it has kept to itself since the last line.
pub(crate) fn report() -> impl Fn(&LookupFailed) {
    let next = Cell::new(Duration::ZERO);
    let silent = Cell::new(0u64);
    move |failed| {
        let now = time::monotonic();
        if now < next.get() {
            silent.set(silent.get() + 1);
            return;
        }
        next.set(now + PAUSE);
        match silent.take() {
            0 => println!("auth-service: the users cannot be read: {failed}"),
            others => println!(
                "auth-service: the users cannot be read: {failed} ({others} more since the last line)"
            ),
        }
    }
}
