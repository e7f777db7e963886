//! Signals, `--grace` and `--timeout`.

use nix::sys::signal::Signal;
use std::time::Duration;
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::patience;

ukvm_tests::tests! {
    a_guest_that_obeys_has_its_own_status;
    a_guest_that_needs_time_has_it;
    a_guest_without_a_notice_ends_at_once;
    a_guest_that_ignores_the_notice_ends_after_the_grace;
    a_second_signal_ends_at_once;
    a_guest_that_only_computes_is_interrupted;
    timeout_ends_a_guest_that_waits_and_one_that_computes;
    timeout_leaves_a_guest_alone_that_is_faster;
    a_signal_is_not_lost_whenever_it_comes;
    a_stopped_guest_goes_on;
    signals_that_are_ignored_stay_so;
}

fn ready(run: Run) -> Running {
    let guest = run.start();
    guest.wait_for("ready\n");
    guest
}

fn a_guest_that_obeys_has_its_own_status() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let guest = ready(Run::guest("shutdown").args(["obey"]));
        guest.signal(signal);
        guest.wait().status(7).prints("ready\nasked\n").quietly();
    }
}

fn a_guest_that_needs_time_has_it() {
    let guest = ready(Run::guest("shutdown").args(["slowly"]));
    guest.signal(Signal::SIGTERM);
    let ended = guest.wait().status(7).prints("ready\nasked\n").quietly();
    assert!(ended.took >= Duration::from_millis(300));
}

fn a_guest_without_a_notice_ends_at_once() {
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let guest = ready(Run::guest("shutdown").args(["deaf"]).option("--grace", "1h"));
        guest.signal(signal);
        guest.wait().status(status).prints("ready\n").quietly();
    }
}

fn a_guest_that_ignores_the_notice_ends_after_the_grace() {
    let guest = ready(Run::guest("shutdown").args(["ignore"]).option("--grace", "700ms"));
    let asked = std::time::Instant::now();
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143).prints("ready\nasked\n");
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(690) && took < patience(Duration::from_secs(3)), "{took:?}");
    // No grace is no notice.
    let guest = ready(Run::guest("shutdown").args(["ignore"]).option("--grace", "0"));
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143);
    // One that spins after it has asked for the notice.
    let guest = Run::guest("spin").args(["notice"]).option("--grace", "300ms").start();
    guest.wait_for("spinning\n");
    guest.signal(Signal::SIGINT);
    let _ = guest.wait().status(130);
}

fn a_second_signal_ends_at_once() {
    let guest = ready(Run::guest("shutdown").args(["ignore"]).option("--grace", "1h"));
    guest.signal(Signal::SIGTERM);
    guest.wait_for("asked\n");
    guest.signal(Signal::SIGINT);
    // It is the second that ended it.
    let _ = guest.wait().status(130);
}

fn a_guest_that_only_computes_is_interrupted() {
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let guest = Run::guest("spin").start();
        guest.wait_for("spinning\n");
        guest.signal(signal);
        guest.wait().status(status).prints("spinning\n").quietly();
    }
}

fn timeout_ends_a_guest_that_waits_and_one_that_computes() {
    for (run, text) in [
        (Run::guest("spin"), "spinning\n"),
        (Run::guest("shutdown").args(["deaf"]), "ready\n"),
        // No notice is given: the time is over.
        (Run::guest("shutdown").args(["obey"]), "ready\n"),
    ] {
        let ended = run.option("--timeout", "500ms").finish().status(124).prints(text);
        assert!(ended.took >= Duration::from_millis(490), "{:?}", ended.took);
        assert!(ended.took < patience(Duration::from_secs(3)), "{:?}", ended.took);
    }
}

fn timeout_leaves_a_guest_alone_that_is_faster() {
    Run::guest("status").option("--timeout", "1m").args(["3"]).finish().status(3).quietly();
}

/// At every moment of its life a guest ends upon a signal, be it before it runs, while it enters or while it computes.
fn a_signal_is_not_lost_whenever_it_comes() {
    let step = patience(Duration::from_micros(100));
    for round in 0..60 {
        let guest = Run::guest("spin").start();
        std::thread::sleep(step * round);
        guest.signal(Signal::SIGTERM);
        let ended = guest.wait();
        // Before the monitor has set its signals up, the signal itself kills it: a shell shows 143 as well.
        assert!(matches!(ended.code(), Some(143) | None), "{ended:?}");
    }
}

/// As a shell's Ctrl-Z and `fg` do.
fn a_stopped_guest_goes_on() {
    let mut guest = Run::guest("clock").args(["follow"]).input_pipe().start();
    guest.wait_for("\n");
    guest.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(300));
    guest.signal(Signal::SIGCONT);
    guest.send(b"\n");
    let ended = guest.wait().status(0).quietly();
    assert_eq!(ended.text().lines().count(), 2, "{}", ended.text());
}

fn signals_that_are_ignored_stay_so() {
    // As `nohup` and a shell's background jobs do: an ignored SIGINT must not end the guest.
    let monitor = &ukvm_tests::artifacts::artifacts().monitor;
    let guest = ukvm_tests::artifacts::guest("shutdown");
    let line = format!("trap '' INT; exec {} {} deaf", monitor.display(), guest.display());
    let shell = Run::bare().monitor("/bin/sh".as_ref()).options(["-c", &line]);
    let mut guest = ready(shell);
    guest.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(200));
    assert!(guest.is_running(), "an ignored SIGINT ended it");
    guest.signal(Signal::SIGTERM);
    let _ = guest.wait().status(143);
}
