//! Who runs where: what is measured has one processor, the peer that loads it has another.

use crate::error::Error;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpus {
    all: CpuSet,
    /// The peer's and the subject's, if there are two.
    pair: Option<(CpuSet, CpuSet)>,
}

impl Cpus {
    /// The first two of those that this process may use.
    pub(crate) fn choose() -> Result<Self, Error> {
        let all = sched_getaffinity(None).map_err(|error| {
            Error::host(format!("the processors of this process cannot be learnt ({error}); start again"))
        })?;
        let only = |cpu| {
            let mut set = CpuSet::new();
            set.set(cpu);
            set
        };
        let mut usable = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).map(only);
        let pair = usable.next().zip(usable.next());
        Ok(Self { all, pair })
    }

    /// Whether peer and subject have one each. If not, the peer must sleep whenever it waits, and each has half the time.
    pub(crate) fn are_two(&self) -> bool {
        self.pair.is_some()
    }

    /// Runs `start` where the processes that it starts get the subject's processor; the peer's is this thread's afterwards.
    pub(crate) fn with_subjects<T>(&self, start: impl FnOnce() -> T) -> T {
        let Some((peer, subject)) = &self.pair else { return start() };
        Self::run_on(subject);
        let result = start();
        Self::run_on(peer);
        result
    }

    /// Lets this thread run everywhere again.
    pub(crate) fn release(&self) {
        Self::run_on(&self.all);
    }

    fn run_on(set: &CpuSet) {
        // It fails only where a processor was taken away meanwhile, which costs precision, no more.
        let _ = sched_setaffinity(None, set);
    }
}
