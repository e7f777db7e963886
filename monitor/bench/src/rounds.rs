//! Rounds in which every subject has its turn, so that all of them meet the same noise.

use crate::error::Error;
use crate::progress::Progress;
use crate::session::Session;

/// Rounds that are run first and not counted, so that files are in the page cache and the processor is awake.
const WARM_UP: usize = 3;

/// What was measured in rounds.
#[derive(Debug)]
pub struct Rounds<T> {
    /// For each subject its values, one for each whole round.
    pub of: Vec<Vec<T>>,
    /// Why there are fewer rounds than were wanted.
    pub stopped: Option<Error>,
}

impl<T> Rounds<T> {
    /// Measures `subjects` subjects in `wanted` rounds. `measure` is given the subject's number.
    ///
    /// Who is first changes from round to round: what one leaves to the kernel for later is not always borne by the same other.
    pub fn run(
        what: &str,
        subjects: usize,
        wanted: usize,
        session: &Session,
        mut measure: impl FnMut(usize) -> Result<T, Error>,
    ) -> Self {
        let mut rounds =
            Self { of: (0..subjects).map(|_| Vec::with_capacity(wanted)).collect(), stopped: None };
        let mut progress = Progress::new(what, wanted);
        for round in 0..WARM_UP + wanted {
            let done = round.saturating_sub(WARM_UP);
            let result = rounds.one(round, session, &mut measure);
            match result {
                Ok(values) if round >= WARM_UP => {
                    for (value, subject) in values.into_iter().zip(&mut rounds.of) {
                        subject.extend(value);
                    }
                    progress.step();
                }
                Ok(_) => {}
                Err(error) => {
                    let kept = if done == 0 {
                        format!("nothing of {what} was measured")
                    } else {
                        format!("{done} of {wanted} rounds of {what} were measured, are kept and marked")
                    };
                    rounds.stopped = Some(error.after(&kept));
                    break;
                }
            }
        }
        rounds
    }

    /// One round: a value for each subject.
    fn one(
        &self,
        round: usize,
        session: &Session,
        measure: &mut impl FnMut(usize) -> Result<T, Error>,
    ) -> Result<Vec<Option<T>>, Error> {
        let subjects = self.of.len();
        let mut values: Vec<Option<T>> = (0..subjects).map(|_| None).collect();
        for turn in 0..subjects {
            if session.is_interrupted() {
                return Err(Error::interrupted());
            }
            let subject = (round + turn) % subjects;
            let value = session.unless_interrupted(measure(subject))?;
            if let Some(place) = values.get_mut(subject) {
                *place = Some(value);
            }
        }
        Ok(values)
    }

    /// Whole rounds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.of.first().map_or(0, Vec::len)
    }

    /// The values of one subject; none where there is no such subject.
    #[must_use]
    pub fn values(&self, subject: usize) -> &[T] {
        self.of.get(subject).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn session() -> Session {
        Session::new(Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn everybody_is_first_as_often() {
        let mut order = Vec::new();
        let rounds = Rounds::run("test", 3, 6, &session(), |subject| {
            order.push(subject);
            Ok(subject * 10)
        });
        assert_eq!(rounds.of, [vec![0; 6], vec![10; 6], vec![20; 6]]);
        assert_eq!(rounds.stopped, None);
        let firsts: Vec<_> = order.chunks(3).skip(WARM_UP).map(|round| round[0]).collect();
        assert_eq!(firsts, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_failure_leaves_whole_rounds() {
        for (failing, whole) in [(0, 0), (2 * WARM_UP + 1, 0), (2 * WARM_UP + 5, 2)] {
            let mut calls = 0;
            let rounds = Rounds::run("boot", 2, 9, &session(), |subject| {
                calls += 1;
                if calls > failing { Err(Error::program("a failed")) } else { Ok(subject) }
            });
            assert_eq!((rounds.count(), rounds.values(1).len()), (whole, whole));
            let error = rounds.stopped.unwrap();
            assert!(error.to_string().starts_with("a failed; "), "{error}");
            assert_eq!(error.status(), 1);
        }
    }
}
