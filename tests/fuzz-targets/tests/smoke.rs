//! Each target on its seeds, on what comes of these by changes, and on bytes without sense: the same at each run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use ukvm_fuzz_targets::{Random, TARGETS, Target};

/// The most bytes of an input without sense.
const LENGTH: usize = 600;

/// Runs an input; where it panics, says which it was.
fn try_input(target: &Target, data: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(data))) {
        eprintln!("{} panicked with {data:?}", target.name);
        std::panic::resume_unwind(panic);
    }
}

/// Changes a byte, a run of bytes or the length.
fn change(data: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(data.len().max(1));
    match random.below(6) {
        0 => data.truncate(at),
        1 => data.extend(random.bytes(8)),
        2 => {
            let to = at + random.below(data.len() - at + 1);
            let part = data[at..to].to_vec();
            data.extend(part);
        }
        3 => {
            let some = random.bytes(4);
            data.splice(at..at, some);
        }
        _ => data.iter_mut().skip(at).take(1 + random.below(4)).for_each(|byte| *byte = random.next() as u8),
    }
}

/// A test with `rounds` inputs of each kind.
fn smoke(name: &str, rounds: usize) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let seeds = (target.seeds)();
    for seed in &seeds {
        try_input(target, seed);
    }
    let mut random = Random::new(1);
    for round in 0..rounds {
        let mut data = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(8) {
            change(&mut data, &mut random);
        }
        try_input(target, &data);
        let length = random.below(LENGTH);
        try_input(target, &random.bytes(length));
    }
}

#[test]
fn answer() {
    smoke("answer", 3000);
}

#[test]
fn dispatch() {
    smoke("dispatch", 500);
}

#[test]
fn elf() {
    smoke("elf", 2000);
}

#[test]
fn frame() {
    smoke("frame", 1000);
}

#[test]
fn image() {
    smoke("image", 1000);
}

#[test]
fn lease() {
    smoke("lease", 2000);
}

#[test]
fn note() {
    smoke("note", 2000);
}

#[test]
fn queue() {
    smoke("queue", 2000);
}

#[test]
fn ring() {
    smoke("ring", 3000);
}
