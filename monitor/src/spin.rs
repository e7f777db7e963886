//! Waiting without sleep: where the next frame is likely to come at once, looking for it costs less than being woken by it.

use std::io;
use std::mem;
use std::time::Duration;

/// How long to look again and again before a sleep. Being woken on another processor costs 20 to 45 µs, so that a longer look
/// would not pay even if it were right each time.
pub const SPIN: Duration = Duration::from_micros(50);

/// Whether this thread may look again instead of sleeping: not where it has but one processor, which whoever is to send needs too.
#[must_use]
pub fn may_spin() -> bool {
    // SAFETY: a set of processors is an array of bits, for which all zeroes are a value.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the call writes at most the size of the set that it is told. It fails where there are more processors than bits;
    // what may be used is then not known.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } < 0 {
        return false;
    }
    // SAFETY: the set is live.
    unsafe { libc::CPU_COUNT(&set) > 1 }
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
    if unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_with_one_processor_does_not_spin() {
        let on_one = std::thread::spawn(|| {
            // SAFETY: as in `may_spin`.
            let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
            // SAFETY: the set is of the size that is stated.
            assert_eq!(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) }, 0);
            // SAFETY: the set is live.
            assert_eq!(may_spin(), unsafe { libc::CPU_COUNT(&set) > 1 });
            let first = (0..libc::CPU_SETSIZE as usize).find(|&cpu| {
                // SAFETY: the number is below the set's size.
                unsafe { libc::CPU_ISSET(cpu, &set) }
            });
            // SAFETY: as in `may_spin`.
            let mut one: libc::cpu_set_t = unsafe { mem::zeroed() };
            // SAFETY: the number is below the set's size.
            unsafe { libc::CPU_SET(first.unwrap(), &mut one) };
            // SAFETY: the set is of the size that is stated.
            assert_eq!(unsafe { libc::sched_setaffinity(0, size_of_val(&one), &raw const one) }, 0);
            may_spin()
        });
        assert!(!on_one.join().unwrap());
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
