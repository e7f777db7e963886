//! Writes the seeds of all targets to a directory, as fuzzers take them: `TARGET/NUMBER`.

use std::io;
use std::path::PathBuf;
use ukvm_fuzz_targets::TARGETS;

fn main() -> io::Result<()> {
    let directory = std::env::args_os().nth(1).map_or_else(|| "tests/fuzz/corpus".into(), PathBuf::from);
    for target in TARGETS {
        let corpus = directory.join(target.name);
        std::fs::create_dir_all(&corpus)?;
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
