//! The console on a terminal.

use nix::sys::signal::Signal;
use nix::sys::termios::LocalFlags;
use std::time::Duration;
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::Need;
use ukvm_tests::terminal::Terminal;

ukvm_tests::tests! {
    a_terminal_keeps_line_mode;
    control_c_is_a_signal .needs(&[Need::Program("setsid")]);
    raw_passes_every_key_on_and_control_bracket_ends;
    raw_settings_are_restored_however_it_ends;
    raw_without_a_terminal;
    the_guest_is_told_that_it_has_a_terminal;
}

fn on(terminal: &Terminal, run: Run) -> Running {
    run.stdin(terminal.end()).stdout(terminal.end()).start()
}

fn a_terminal_keeps_line_mode() {
    let mut terminal = Terminal::new();
    let before = terminal.settings();
    let guest = on(&terminal, Run::guest("console-echo").args(["prompt"]));
    terminal.wait_for("? ");
    assert_eq!(terminal.settings(), before);
    // The terminal's own editing: the second letter is rubbed out before the guest sees the line.
    terminal.type_keys(b"ax\x7fb\r");
    terminal.wait_for("ab\r\n");
    terminal.wait_for("\nab\r\n");
    // End of input.
    terminal.type_keys(b"\x04");
    let _ = guest.wait().status(0).quietly();
    assert_eq!(terminal.settings(), before);
}

/// The terminal must be the monitor's controlling one, which setsid arranges.
fn control_c_is_a_signal() {
    let mut terminal = Terminal::new();
    let setsid = ukvm_tests::files::program("setsid").expect("checked before");
    let guest = ukvm_tests::artifacts::guest("shutdown");
    let monitor = ukvm_tests::artifacts::artifacts().monitor.clone();
    let run =
        Run::bare().monitor(&setsid).options(["--ctty".as_ref(), "--wait".as_ref(), monitor.as_os_str()]);
    let guest = on(&terminal, run.options([guest.as_os_str(), "deaf".as_ref()]));
    terminal.wait_for("ready");
    terminal.type_keys(b"\x03");
    let _ = guest.wait().status(130).quietly();
}

fn raw_passes_every_key_on_and_control_bracket_ends() {
    let mut terminal = Terminal::new();
    let before = terminal.settings();
    let guest = on(&terminal, Run::guest("console-echo").options(["--raw"]).args(["prompt"]));
    terminal.wait_for("? ");
    let flags = terminal.settings().local_flags;
    assert!(!flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG), "{flags:?}");
    // Ctrl-C, Ctrl-D, Ctrl-Z and a letter, none with a return.
    terminal.type_keys(b"\x03\x04\x1aq");
    terminal.wait_for("\u{3}\u{4}\u{1a}q");
    terminal.type_keys(b"\x1d");
    // It has asked for no shutdown notice, so it ends as by Ctrl-C elsewhere.
    let _ = guest.wait().status(130);
    assert_eq!(terminal.settings(), before);
    // One that has is told.
    let guest = on(&terminal, Run::guest("shutdown").options(["--raw"]).args(["obey"]));
    terminal.wait_for("ready");
    terminal.type_keys(b"\x1d");
    let _ = guest.wait().status(7);
    assert_eq!(terminal.settings(), before);
}

fn raw_settings_are_restored_however_it_ends() {
    for (guest, way, status) in
        [("outcome", "panic", 134), ("divide-by-zero", "", 139), ("status", "5", 5), ("outcome", "exit", 5)]
    {
        let terminal = Terminal::new();
        let before = terminal.settings();
        let _ = on(&terminal, Run::guest(guest).options(["--raw"]).args([way])).wait().status(status);
        assert_eq!(terminal.settings(), before, "{guest} {way}");
    }
    let terminal = Terminal::new();
    let before = terminal.settings();
    let run = Run::guest("spin").options(["--raw", "--timeout", "300ms"]);
    let _ = on(&terminal, run).wait().status(124);
    assert_eq!(terminal.settings(), before, "after a timeout");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut terminal = Terminal::new();
        let before = terminal.settings();
        let guest = on(&terminal, Run::guest("spin").options(["--raw"]));
        terminal.wait_for("spinning");
        assert_ne!(terminal.settings(), before);
        guest.signal(signal);
        let ended = guest.wait();
        assert_eq!(terminal.settings(), before, "after {signal}: {ended:?}");
    }
}

fn raw_without_a_terminal() {
    let run = Run::guest("console-echo").options(["--raw"]).input("x");
    let _ = run.finish().refuses(78, &["terminal", "raw"]);
}

fn the_guest_is_told_that_it_has_a_terminal() {
    let mut terminal = Terminal::new();
    let _ = on(&terminal, Run::guest("boot")).wait().status(0);
    terminal.look(Duration::from_millis(10));
    terminal.wait_for("console 3");
    let text = Run::guest("boot").finish().status(0).text();
    assert!(text.contains("console 0\n"), "{text}");
}
