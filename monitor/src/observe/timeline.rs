//! When each step of a run was done.

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

    /// Notes that `step` is done now.
    pub fn mark(&mut self, step: &'static str) {
        self.marks.push(Mark { step, at: self.start.elapsed() });
    }

    /// The marks in the order in which they were made.
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
