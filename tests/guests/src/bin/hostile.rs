//! Writes anything anywhere in its rings, and rings the doorbell after each change; the argument is a seed. Requests have every
//! opcode, handle, flag and address there is, right ones among them. Exits with 0 if the monitor lets it come that far.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use test_guests::{Raw, argument};
use ukvm_abi::request::Request;
use ukvm_abi::ring::{
    COMPLETION_HEAD, COMPLETION_TAIL, HEADER_SIZE, SUBMISSION_HEAD, SUBMISSION_TAIL, SharedWords,
};

ukvm_runtime::program! {
    main = main;
    net lan: plain, optional;
    block data: optional;
    block scratch: writable, optional;
}

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number of any size: small ones, those around powers of two and large ones alike.
    fn odd(&mut self) -> u64 {
        let bit = 1_u64 << self.below(64);
        match self.below(4) {
            0 => self.below(5000),
            1 => bit.wrapping_add(self.below(3)).wrapping_sub(1),
            2 => self.below(1 << 20) * 512,
            _ => self.next(),
        }
    }
}

async fn main() {
    let raw = Raw::take();
    let seed: u64 = argument().parse().unwrap_or(0);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let lent = vec![0x55_u8; 64 << 10];
    // Most guests of this kind never corrupt an index, or they would all end at once.
    let corrupts = seed.is_multiple_of(4);
    let entries = u64::from(raw.boot.submission_entries);
    let mut submitted = 0_u32;
    for _ in 0..3000 {
        for _ in 0..random.below(8) {
            let address = match random.below(4) {
                0 => random.odd(),
                1 => raw.boot.stack.start.wrapping_add(random.odd()),
                _ => lent.as_ptr() as u64 + random.below(1 << 10),
            };
            let honest = random.below(2) == 0;
            let request = Request {
                opcode: random.below(14) as u16,
                flags: if honest { 0 } else { random.odd() as u16 },
                device: random.below(5) as u32,
                user_data: random.next(),
                address: if random.below(4) == 0 { 0 } else { address },
                length: if random.below(2) == 0 { random.below(8) * 512 } else { random.odd() },
                offset: if random.below(2) == 0 { 0 } else { random.odd() },
                reserved: if honest { [0; 3] } else { [random.odd(), 0, random.odd()] },
            };
            let at = HEADER_SIZE + (u64::from(submitted) % entries) as usize * 64;
            for (word, value) in request.to_words().into_iter().enumerate() {
                raw.area.store_u64_release(at + word * 8, value);
            }
            submitted = submitted.wrapping_add(1);
        }
        // Never more than fits, as that would be the end.
        let done = raw.area.load_u32_acquire(SUBMISSION_HEAD);
        if submitted.wrapping_sub(done) as u64 > entries {
            submitted = done.wrapping_add(entries as u32);
        }
        raw.area.store_u32_release(SUBMISSION_TAIL, submitted);
        if random.below(2) == 0 {
            raw.area.store_u32_release(COMPLETION_HEAD, raw.area.load_u32_acquire(COMPLETION_TAIL));
        }
        if corrupts && random.below(100) == 0 {
            let field = match random.below(4) {
                0 => SUBMISSION_TAIL,
                1 => COMPLETION_HEAD,
                _ => (random.below(HEADER_SIZE as u64 / 4) * 4) as usize,
            };
            raw.area.store_u32_release(field, random.odd() as u32);
        }
        raw.enter(0);
    }
    raw.exit(0);
}
