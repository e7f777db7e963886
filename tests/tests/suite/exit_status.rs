//! The exit status and the last words: the guest's own, a panic's.

use std::time::Duration;
use ukvm_tests::run::Run;

ukvm_tests::tests! {
    the_guests_own_status_passes_through;
    hello_exits_with_its_argument;
    output_without_a_newline_is_not_lost_at_the_end;
    an_error_from_main_is_told_and_is_1;
    a_panic_is_134_with_message_and_place;
    a_long_panic_message_is_cut;
    a_failed_bounds_check_is_a_panic;
    exit_works_from_within_a_task;
}

fn the_guests_own_status_passes_through() {
    for status in [0, 1, 2, 63, 64, 69, 77, 124, 134, 137, 139, 255] {
        Run::guest("status").args([status.to_string()]).finish().status(status).prints("").quietly();
    }
}

fn hello_exits_with_its_argument() {
    let hello = Run::guest("hello").args(["3"]).finish().status(3).quietly();
    assert!(hello.text().ends_with('\n') && hello.text().len() > 1, "{:?}", hello.text());
    let _ = Run::guest("hello").finish().status(0).quietly();
}

fn output_without_a_newline_is_not_lost_at_the_end() {
    Run::guest("status").args(["3", "print"]).finish().status(3).prints("the last words").quietly();
}

fn an_error_from_main_is_told_and_is_1() {
    let ended = Run::guest("outcome").args(["error"]).finish().status(1);
    assert!(ended.text().starts_with("before"), "{:?}", ended.text());
    assert!(ended.text().contains("the moon is full"), "{:?}", ended.text());
}

fn a_panic_is_134_with_message_and_place() {
    Run::guest("outcome").args(["panic"]).finish().status(134).prints("before").says(&[
        "ukvm-run: ",
        "panic",
        "the moon is new",
        "outcome.rs:",
    ]);
}

fn a_long_panic_message_is_cut() {
    let ended = Run::guest("outcome").args(["long-panic"]).finish().status(134).prints("before").says(&[
        "panic",
        "outcome.rs:",
        "long long long",
    ]);
    assert!(ended.errors.len() < 5000, "{} bytes of errors", ended.errors.len());
}

fn a_failed_bounds_check_is_a_panic() {
    Run::guest("outcome")
        .args(["index"])
        .finish()
        .status(134)
        .prints("before")
        .says(&["index out of bounds", "outcome.rs:"]);
}

fn exit_works_from_within_a_task() {
    Run::guest("outcome")
        .args(["exit"])
        .deadline(Duration::from_secs(10))
        .finish()
        .status(5)
        .prints("before")
        .quietly();
}
