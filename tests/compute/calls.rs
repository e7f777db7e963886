// How guest and floor call the kernels. Both include this.

/// Words of the memory that is read at random, as `kernels.rs` has them.
const WORDS: usize = 4 << 20;

unsafe extern "C" {
    // SAFETY: these are the functions of `kernels.rs`, which take no pointers.
    safe fn ukvm_compute_integer() -> u64;
    safe fn ukvm_compute_float() -> u64;
    // SAFETY: a reference to an array is, for a C function, the pointer that these take.
    safe fn ukvm_compute_link(memory: &mut [u32; WORDS]);
    safe fn ukvm_compute_memory(memory: &[u32; WORDS]) -> u64;
}

/// How often the clock is read.
const READS: u32 = 1_000_000;

/// Makes ready what `kernel` needs, says so, and computes it; `None` where there is no such kernel. `now` is the caller's
/// monotonic clock, the one thing here that is not the same on both sides.
fn compute(kernel: &str, now: impl Fn() -> core::time::Duration, ready: impl FnOnce()) -> Option<u64> {
    match kernel {
        "integer" => {
            ready();
            Some(ukvm_compute_integer())
        }
        "float" => {
            ready();
            Some(ukvm_compute_float())
        }
        "memory" => {
            let memory = vec![0_u32; WORDS];
            let mut memory: Box<[u32; WORDS]> = memory.into_boxed_slice().try_into().ok()?;
            ukvm_compute_link(&mut memory);
            ready();
            Some(ukvm_compute_memory(&memory))
        }
        "now" => {
            ready();
            let mut last = now();
            // How often it went back: never.
            let went_back = (0..READS).filter(|_| {
                let now = now();
                now < core::mem::replace(&mut last, now)
            });
            Some(went_back.count() as u64)
        }
        _ => None,
    }
}
