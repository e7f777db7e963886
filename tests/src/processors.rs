//! Fewer processors than the machine has.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Runs `body` on a thread that has one processor only, as have the processes that it starts.
pub fn on_one_cpu<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let this = Pid::from_raw(0);
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let all = sched_getaffinity(this).expect("the processors of this thread");
            let first = (0..CpuSet::count()).find(|&cpu| all.is_set(cpu) == Ok(true)).expect("a processor");
            let mut one = CpuSet::new();
            one.set(first).expect("a processor that there is");
            sched_setaffinity(this, &one).expect("a thread with one processor");
            body()
        });
        thread.join()
    });
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
