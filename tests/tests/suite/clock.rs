//! Time in the guest.

use std::time::{Duration, Instant, SystemTime};
use ukvm_tests::run::Run;
use ukvm_tests::suite::slowness;

ukvm_tests::tests! {
    the_monotonic_clock_never_goes_back;
    both_clocks_go_as_fast_as_the_hosts;
    sleeps_are_as_long_as_they_should_be;
}

fn the_monotonic_clock_never_goes_back() {
    Run::guest("clock").args(["order"]).finish().status(0).prints("in order\n").quietly();
}

/// Nanoseconds on the guest's clocks, as it prints them on one line.
fn readings(text: &str, line: usize) -> (u64, u128) {
    let line = text.lines().nth(line).unwrap_or_else(|| panic!("too few lines in {text:?}"));
    let (monotonic, wall) = line.split_once(' ').expect("two numbers");
    (monotonic.parse().expect("a number"), wall.parse().expect("a number"))
}

fn both_clocks_go_as_fast_as_the_hosts() {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos();
    let before = now();
    let mut guest = Run::guest("clock").args(["follow"]).input_pipe().start();
    guest.wait_for("\n");
    let (started, after) = (Instant::now(), now());
    std::thread::sleep(Duration::from_secs(2));
    // Longer than the clock page stays as it is: the wall clock must hold all the same.
    let asked = now();
    let elapsed = started.elapsed();
    guest.send(b"\n");
    let text = loop {
        let text = String::from_utf8_lossy(&guest.output_so_far()).into_owned();
        if text.matches('\n').count() == 2 {
            break text;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let answered = now();
    let _ = guest.wait().status(0).quietly();
    let ((monotonic_1, wall_1), (monotonic_2, wall_2)) = (readings(&text, 0), readings(&text, 1));
    let slack = 2_000_000;
    assert!(before <= wall_1 + slack && wall_1 <= after + slack, "{before} {wall_1} {after}");
    assert!(asked <= wall_2 + slack && wall_2 <= answered + slack, "{asked} {wall_2} {answered}");
    // The guest's two readings are at least as far apart as the host's, which lie between them, and not much farther.
    let guest_elapsed = u128::from(monotonic_2 - monotonic_1);
    let least = elapsed.as_nanos();
    let most = answered - before;
    assert!(
        guest_elapsed + slack >= least && guest_elapsed <= most + slack,
        "{guest_elapsed} ns in the guest, {least} to {most} on the host"
    );
}

fn sleeps_are_as_long_as_they_should_be() {
    let ended = Run::guest("clock").args(["sleep"]).finish().status(0).quietly();
    let text = ended.text();
    let mut lines = text.lines();
    for milliseconds in [0, 1, 5, 20, 100_u64] {
        let line = lines.next().unwrap_or_default();
        let took: u64 = line
            .strip_prefix(&format!("{milliseconds} "))
            .and_then(|took| took.parse().ok())
            .unwrap_or_else(|| panic!("{text}"));
        let most = milliseconds * 1000 + 20_000 * u64::from(slowness());
        assert!(milliseconds * 1000 <= took && took <= most, "{took} µs instead of {milliseconds} ms");
    }
    assert_eq!(lines.next(), Some("timeout elapsed"));
}
