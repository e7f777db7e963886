//! Disk images: made by ordinary programs and by `cargo xtask image`, read and written by `ukvm-storage`, and such that nobody
//! should have made.

mod blocks;
mod broken_fat;
mod broken_tar;
mod delivery;
mod fat;
mod made;
mod tar;
mod volume;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [
        blocks::TESTS,
        broken_fat::TESTS,
        broken_tar::TESTS,
        delivery::TESTS,
        fat::TESTS,
        made::TESTS,
        tar::TESTS,
        volume::TESTS,
    ];
    let arguments = libtest_mimic::Arguments::from_args();
    ukvm_tests::suite::run(&arguments, &[], tests.into_iter().flatten()).exit_code()
}
