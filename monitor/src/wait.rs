//! Waiting for the host: for descriptors of devices, and for what comes from outside.

use crate::interrupt::Interrupts;
use crate::spin::Spin;
use std::os::fd::RawFd;
use std::time::Duration;

/// What is waited for, and whether to look again and again for it; kept between waits, so that none allocates.
#[derive(Debug, Default)]
pub struct Waiter {
    wanted: Vec<(RawFd, libc::c_short)>,
    polled: Vec<libc::pollfd>,
    spin: Spin,
}

impl Waiter {
    /// Forgets what was wanted; the list for what is, as [`Device::wait_for`](crate::device::Device::wait_for) has it.
    pub fn begin(&mut self) -> &mut Vec<(RawFd, libc::c_short)> {
        self.wanted.clear();
        &mut self.wanted
    }

    /// Waits for what is wanted, for something from outside, or until the clock `now` has reached `deadline` nanoseconds
    /// ([`u64::MAX`]: never). For the time `look`, if that has paid off lately, it looks again and again before it sleeps.
    ///
    /// What came from outside stays to be taken.
    pub fn wait(&mut self, interrupts: &Interrupts, look: Duration, deadline: u64, now: impl Fn() -> u64) {
        if !look.is_zero() && self.spin.is_due() {
            let found = self.look_again(interrupts, look, deadline, &now);
            self.spin.note(found);
            if found {
                return;
            }
        }
        let left = Duration::from_nanos(deadline.saturating_sub(now()));
        self.poll(interrupts, (deadline != u64::MAX).then_some(left));
        if self.polled.last().is_some_and(|event| event.revents != 0) {
            interrupts.clear_event();
        }
    }

    /// Looks so long. Whether there is a reason not to wait.
    fn look_again(
        &mut self,
        interrupts: &Interrupts,
        time: Duration,
        deadline: u64,
        now: impl Fn() -> u64,
    ) -> bool {
        let end = deadline.min(now().saturating_add(time.as_nanos() as u64));
        while !interrupts.came() {
            if self.poll(interrupts, Some(Duration::ZERO)) {
                break;
            }
            if now() >= end {
                return end == deadline;
            }
            std::hint::spin_loop();
        }
        true
    }

    /// Waits for what is wanted or for something from outside, no longer than `time`. Whether there is any of them.
    fn poll(&mut self, interrupts: &Interrupts, time: Option<Duration>) -> bool {
        let outside = (interrupts.event(), libc::POLLIN);
        self.polled.clear();
        let all = self.wanted.iter().chain(std::iter::once(&outside));
        self.polled.extend(all.map(|&(fd, events)| libc::pollfd { fd, events, revents: 0 }));
        let time = time.map(|time| libc::timespec {
            tv_sec: time.as_secs().cast_signed(),
            tv_nsec: time.subsec_nanos().into(),
        });
        let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the array is live and of this length; `time` is null or live; a null mask leaves the signals as they are.
        // Whether it was a descriptor, the time or a signal is found out by looking.
        let ready = unsafe {
            libc::ppoll(self.polled.as_mut_ptr(), self.polled.len() as libc::nfds_t, time, std::ptr::null())
        };
        ready > 0
    }

    /// Whether the last wait has found this descriptor ready.
    #[must_use]
    pub fn is_ready(&self, fd: RawFd) -> bool {
        self.polled.iter().any(|event| event.fd == fd && event.revents != 0)
    }
}
