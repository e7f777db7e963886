//! When each step of a run was done.

use crate::clock;
use std::time::{Duration, Instant};

/// The steps of a run, each with the time at which it was done.
///
/// A mark reads the clock through the vDSO, without a system call, and appends to a vector that has room.
#[derive(Clone, Debug)]
pub struct Timeline {
    start: Instant,
    marks: Vec<Mark>,
}

/// A step that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What was done, in one or two words.
    pub step: &'static str,
    /// The time from the timeline's start to the end of the step.
    pub at: Duration,
}

impl Timeline {
    /// Marks that fit without another allocation; a start has about a dozen.
    const CAPACITY: usize = 32;

    /// A timeline without marks that counts from `start`.
    #[must_use]
    pub fn since(start: Instant) -> Self {
        Self { start, marks: Vec::with_capacity(Self::CAPACITY) }
    }

    /// When it began on the host's clock `CLOCK_MONOTONIC`, in nanoseconds: for who has watched from outside.
    #[must_use]
    pub fn began(&self) -> u64 {
        let elapsed = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        clock::monotonic().saturating_sub(elapsed)
    }

    /// Notes that `step` is done now.
    pub fn mark(&mut self, step: &'static str) {
        self.marks.push(Mark { step, at: self.start.elapsed() });
    }

    /// Notes that `step` was done at `time` on the host's `CLOCK_MONOTONIC`, in nanoseconds, in its place among the other steps: what
    /// the guest or a device knows. A time before the start or in the future is not believed.
    pub fn insert(&mut self, step: &'static str, time: u64) {
        let now = self.start.elapsed();
        let Some(at) = time.checked_sub(self.began()).map(Duration::from_nanos).filter(|at| *at <= now)
        else {
            return;
        };
        let place = self.marks.partition_point(|mark| mark.at <= at);
        self.marks.insert(place, Mark { step, at });
    }

    /// The marks in the order of their times.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The steps with the time that each took, in their order: from the mark before, or the start, to its own.
    pub fn steps(&self) -> impl Iterator<Item = (Mark, Duration)> {
        let mut before = Duration::ZERO;
        self.marks.iter().map(move |&mark| {
            let took = mark.at.saturating_sub(before);
            before = mark.at;
            (mark, took)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_began_between_the_clocks_around_it() {
        let before = clock::monotonic();
        let timeline = Timeline::since(Instant::now());
        let after = clock::monotonic();
        std::thread::sleep(Duration::from_millis(2));
        // What lies between the two clocks that are read is a few instructions, or a moment without a processor.
        let began = timeline.began();
        assert!(before <= began && began < after + 1_000_000_000, "{before} {began} {after}");
    }

    #[test]
    fn what_was_seen_elsewhere_comes_in_its_place() {
        let mut timeline = Timeline::since(Instant::now());
        let pause = || std::thread::sleep(Duration::from_millis(1));
        pause();
        timeline.mark("first");
        pause();
        let between = clock::monotonic();
        pause();
        timeline.mark("last");
        timeline.insert("between", between);
        timeline.insert("in the future", clock::monotonic() + 1_000_000_000);
        timeline.insert("before the start", timeline.began() - 1_000_000);
        timeline.insert("never", 0);
        let names: Vec<_> = timeline.marks().iter().map(|mark| mark.step).collect();
        assert_eq!(names, ["first", "between", "last"]);
    }

    #[test]
    fn steps_add_up_to_the_last_mark() {
        let mut timeline = Timeline::since(Instant::now());
        for step in ["memory", "image", "vCPU"] {
            std::thread::sleep(Duration::from_micros(50));
            timeline.mark(step);
        }
        let names: Vec<_> = timeline.steps().map(|(mark, _)| mark.step).collect();
        assert_eq!(names, ["memory", "image", "vCPU"]);
        assert_eq!(timeline.steps().map(|(_, took)| took).sum::<Duration>(), timeline.marks()[2].at);
        assert!(timeline.steps().all(|(_, took)| took >= Duration::from_micros(50)));
    }
}
