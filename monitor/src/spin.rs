//! Waiting without sleep: where the next frame is likely to come at once, looking for it costs less than being woken by it.

use crate::syscall::check;
use std::io;
use std::time::Duration;

/// How long to look again and again for a frame before a sleep. Being woken on another processor costs 20 to 45 µs, so that a longer
/// look would not pay even if it were right each time.
pub const SPIN: Duration = Duration::from_micros(50);

/// Whether to look again and again for a moment before a sleep, which has paid off lately or may be worth another try.
///
/// It does not pay off where whoever is to send needs the same processor, nor for frames that are far apart.
#[derive(Debug, Default)]
pub struct Spin {
    /// Sleeps that come without a look before the next try.
    skip: u32,
    /// How many there were before the last try, where that was in vain.
    skipped: u32,
}

impl Spin {
    /// The most sleeps between two tries: those in vain then cost less than a hundredth of a processor at a frame each 80 µs.
    const MOST_SKIPPED: u32 = 63;

    /// Whether to look before this sleep.
    pub const fn is_due(&mut self) -> bool {
        let is_due = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        is_due
    }

    /// Takes note of whether a look found something in time.
    pub fn note(&mut self, found: bool) {
        self.skipped = if found { 0 } else { (2 * self.skipped + 1).min(Self::MOST_SKIPPED) };
        self.skip = self.skipped;
    }
}

/// Has this thread's timed waits end when they should: by default the kernel adds up to 50 µs, to end several at once.
///
/// # Errors
///
/// What the kernel says.
pub fn sleep_exactly() -> io::Result<()> {
    // Nanoseconds; 0 would stand for the default.
    let slack: libc::c_ulong = 1;
    // SAFETY: the option takes its argument by value.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_in_vain_become_rare_and_one_that_is_not_ends_that() {
        let mut spin = Spin::default();
        let looks: Vec<usize> = (0..200)
            .filter(|_| {
                let is_due = spin.is_due();
                if is_due {
                    spin.note(false);
                }
                is_due
            })
            .collect();
        assert_eq!(looks, [0, 2, 6, 14, 30, 62, 126, 190]);
        while !spin.is_due() {}
        spin.note(true);
        assert!(spin.is_due() && spin.is_due());
    }

    #[test]
    fn a_timed_wait_is_exact() {
        let slack = std::thread::spawn(|| {
            sleep_exactly().unwrap();
            // SAFETY: the option has no arguments.
            unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }
        });
        assert_eq!(slack.join().unwrap(), 1);
    }
}
