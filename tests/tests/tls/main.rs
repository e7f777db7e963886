//! `ukvm-tls` on the host: identities from files, streams beside a client of rustls, and clients that break the rules.

mod broken;
mod identities;
mod streams;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [broken::TESTS, identities::TESTS, streams::TESTS];
    let arguments = libtest_mimic::Arguments::from_args();
    ukvm_tests::suite::run(&arguments, &[], tests.into_iter().flatten()).exit_code()
}
