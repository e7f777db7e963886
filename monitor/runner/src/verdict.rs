//! Whether a test has passed.

use ukvm::elf::DeclaredTest;
use ukvm_abi::exit_status::{FAULT, PANIC, SIGNAL_BASE, TIMEOUT};

/// What stands before a panic's message in the output of `ukvm-run`.
const PANIC_LINE: &str = "ukvm-run: guest panic: ";

/// Why `test` has failed, in a sentence, or that it has passed: by the exit status of its guest, and by what that and the monitor printed.
///
/// # Errors
///
/// The sentence.
pub(crate) fn verdict(test: &DeclaredTest, status: u8, printed: &str) -> Result<(), String> {
    // A guest can end with a panic's status, but not with its message.
    let message = printed.rfind(PANIC_LINE).and_then(|at| printed.get(at + PANIC_LINE.len()..));
    match (status, &test.panics, message) {
        (0, None, _) => Ok(()),
        (0, Some(_), _) => Err("it should have panicked, and did not".into()),
        (PANIC, Some(expected), Some(message)) if message.contains(expected.as_str()) => Ok(()),
        (PANIC, Some(expected), Some(_)) => {
            Err(format!("it panicked, but not with '{}'", expected.escape_debug()))
        }
        (PANIC, None, Some(_)) => Err("it panicked".into()),
        (FAULT, ..) => Err("it did what a guest may not".into()),
        (TIMEOUT, ..) => Err("it did not end in time".into()),
        _ if status > SIGNAL_BASE && status != PANIC => {
            Err(format!("it ended with status {status}: signal {}", status - SIGNAL_BASE))
        }
        _ => Err(format!("it ended with status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_words() {
        let of = |panics: Option<&str>, status, printed: &str| {
            let test = DeclaredTest { name: "a".into(), ignored: None, panics: panics.map(str::to_owned) };
            verdict(&test, status, printed).err().unwrap_or_else(|| "passed".into())
        };
        let panic = "a line\nukvm-run: guest panic: tests/a.rs:1:2: attempt to add with overflow\n";
        assert_eq!(of(None, 0, ""), "passed");
        assert_eq!(of(Some("overflow"), 134, panic), "passed");
        assert_eq!(of(Some(""), 134, panic), "passed");
        assert_eq!(of(Some("a line"), 134, panic), "it panicked, but not with 'a line'");
        assert_eq!(of(Some(""), 0, ""), "it should have panicked, and did not");
        assert_eq!(of(None, 134, panic), "it panicked");
        assert_eq!(of(Some(""), 134, "no message"), "it ended with status 134");
        assert_eq!(of(None, 139, ""), "it did what a guest may not");
        assert_eq!(of(None, 124, ""), "it did not end in time");
        assert_eq!(of(None, 143, ""), "it ended with status 143: signal 15");
        assert_eq!(of(Some(""), 1, ""), "it ended with status 1");
    }
}
