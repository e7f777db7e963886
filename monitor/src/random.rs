//! Random numbers: the guest's place, which a seed repeats, and the guest's own seed, which nothing does.

use crate::config::Aslr;
use crate::syscall::uninterrupted;
use std::io;

/// The numbers that place a guest.
#[derive(Debug)]
pub struct Random {
    /// The seed they all follow from; `None`: no randomness.
    seed: Option<u64>,
    state: u64,
}

impl Random {
    /// Numbers as `aslr` wants them.
    ///
    /// # Errors
    ///
    /// What `getrandom` says.
    pub fn new(aslr: Aslr) -> io::Result<Self> {
        let seed = match aslr {
            Aslr::Off => None,
            Aslr::Seed(seed) => Some(seed),
            Aslr::Random => {
                let mut bytes = [0; 8];
                fill(&mut bytes)?;
                Some(u64::from_le_bytes(bytes))
            }
        };
        Ok(Self { seed, state: seed.unwrap_or(0) })
    }

    /// The seed that gives the same place again.
    #[must_use]
    pub const fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// A number below `below`; 0 without randomness.
    ///
    /// The generator is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). The 64 bits
    /// that it starts from are the host's best; few enough numbers are drawn from it, and the guest sees none of them.
    pub const fn below(&mut self, below: u64) -> u64 {
        if self.seed.is_none() || below == 0 {
            return 0;
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper half of the product spreads over the range without a division's bias.
        ((mixed as u128 * below as u128) >> 64) as u64
    }

    /// The seed for the guest's own generator: always random, even where its place is not.
    ///
    /// # Errors
    ///
    /// What `getrandom` says.
    pub fn guest_seed(&self) -> io::Result<[u8; 32]> {
        let mut seed = [0; 32];
        fill(&mut seed)?;
        Ok(seed)
    }
}

fn fill(bytes: &mut [u8]) -> io::Result<()> {
    // SAFETY: the slice is live and of this length. Up to 256 bytes come whole, unless a signal comes first.
    uninterrupted(|| unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_off_is_zero() {
        let draw = |aslr| {
            let mut random = Random::new(aslr).unwrap();
            [random.below(1000), random.below(1000), random.below(1 << 40)]
        };
        assert_eq!(draw(Aslr::Seed(7)), draw(Aslr::Seed(7)));
        assert_ne!(draw(Aslr::Seed(7)), draw(Aslr::Seed(8)));
        assert_ne!(draw(Aslr::Random), draw(Aslr::Random));
        assert_eq!(draw(Aslr::Off), [0; 3]);
    }

    #[test]
    fn numbers_cover_their_range() {
        let mut random = Random::new(Aslr::Seed(1)).unwrap();
        let mut seen = [0; 10];
        for _ in 0..10_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
    }

    #[test]
    fn a_guests_seed_is_its_own() {
        let random = Random::new(Aslr::Off).unwrap();
        assert_ne!(random.guest_seed().unwrap(), random.guest_seed().unwrap());
    }
}
