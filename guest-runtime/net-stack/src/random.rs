//! Random numbers that nobody can compute from others, as those that are sent show some: ChaCha20, out of the seed that a stack is given.
//!
//! The first sequence numbers of TCP connections are no such numbers. smoltcp makes them, with a generator whose state follows from a
//! few of them; it has a seed of its own that is drawn here, so that nothing else follows.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use smoltcp::time::Duration;

#[derive(Debug)]
pub(crate) struct Random(ChaCha20Rng);

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// A generator of its own, whose seed is drawn from this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self(ChaCha20Rng::from_rng(&mut self.0))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A time from `least` to `most`.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = (most - least).total_micros() + 1;
        least + Duration::from_micros(self.next() % span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_chacha20() {
        // RFC 8439, appendix A.1, test vector 1: the first bytes for a key of zeros.
        let mut random = Random::new([0; 32]);
        assert_eq!(random.next().to_le_bytes(), [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
        assert_eq!(random.next().to_le_bytes(), [0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28]);
    }

    #[test]
    fn all_of_the_seed_counts_and_forks_go_their_own_ways() {
        let mut seen = alloc::collections::BTreeSet::new();
        for place in 0..32 {
            let mut seed = [0; 32];
            seed[place] = 1;
            let mut random = Random::new(seed);
            seen.extend([random.fork().next(), random.fork().next(), random.next()]);
        }
        assert_eq!(seen.len(), 96);
    }
}
