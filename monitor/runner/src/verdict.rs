//! Whether a test has passed.

use serde_json::Value;
use ukvm::elf::DeclaredTest;
use ukvm_abi::exit_status::{FAULT, PANIC, SIGNAL_BASE, TIMEOUT};

/// The message of the panic that a run report of `ukvm-run` tells of, without the place; `None` where the guest ended otherwise.
pub(crate) fn panic_message(report: &str) -> Option<String> {
    let report: Value = serde_json::from_str(report).ok()?;
    let message = report.get("message").filter(|_| report["cause"] == "panic")?.as_str()?;
    Some(without_place(message).to_owned())
}

/// What stands behind `FILE:LINE:COLUMN: `, which a guest begins its message with.
fn without_place(message: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let is_place = |text: &str| {
        let mut parts = text.rsplitn(3, ':');
        parts.next().is_some_and(is_number)
            && parts.next().is_some_and(is_number)
            && parts.next().is_some_and(|file| file.ends_with(".rs"))
    };
    // Some messages have none, such as that of a guest that is out of memory.
    match message.split_once(": ") {
        Some((place, rest)) if is_place(place) => rest,
        _ => message,
    }
}

/// Why `test` has failed, in a sentence, or that it has passed: by the exit status of its guest, and by the [message](panic_message) where
/// that panicked.
///
/// # Errors
///
/// The sentence.
pub(crate) fn verdict(test: &DeclaredTest, status: u8, panic: Option<&str>) -> Result<(), String> {
    // A program can end with a panic's status without one.
    match (status, &test.panics, panic) {
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
        let of = |panics: Option<&str>, status, panic: Option<&str>| {
            let test = DeclaredTest { name: "a".into(), ignored: None, panics: panics.map(str::to_owned) };
            verdict(&test, status, panic).err().unwrap_or_else(|| "passed".into())
        };
        let panic = Some("attempt to add with overflow");
        assert_eq!(of(None, 0, None), "passed");
        assert_eq!(of(Some("overflow"), 134, panic), "passed");
        assert_eq!(of(Some(""), 134, panic), "passed");
        assert_eq!(of(Some("a line"), 134, panic), "it panicked, but not with 'a line'");
        assert_eq!(of(Some(""), 0, None), "it should have panicked, and did not");
        assert_eq!(of(None, 134, panic), "it panicked");
        assert_eq!(of(Some(""), 134, None), "it ended with status 134");
        assert_eq!(of(None, 139, None), "it did what a guest may not");
        assert_eq!(of(None, 124, None), "it did not end in time");
        assert_eq!(of(None, 143, None), "it ended with status 143: signal 15");
        assert_eq!(of(Some(""), 1, None), "it ended with status 1");
    }

    #[test]
    fn the_message_is_that_of_the_panic_alone() {
        let of = |cause: &str, message: &str| {
            panic_message(&serde_json::json!({ "cause": cause, "message": message }).to_string())
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(of("panic", "tests/a.rs:1:2: attempt to add"), is("attempt to add"));
        assert_eq!(of("panic", "tests/a.rs:1:2: a: b:1:2: c"), is("a: b:1:2: c"));
        assert_eq!(of("panic", "/a b:c/d.rs:10:20: two\nlines"), is("two\nlines"));
        for whole in ["out of memory: none is left", "a.rs:1: b", "a.rs:1:: b", "a.rs:1:2", "1:2: b", "b", ""]
        {
            assert_eq!(of("panic", whole), is(whole));
        }
        assert_eq!(of("exit", "tests/a.rs:1:2: a"), None);
        for none in ["", "{}", "[]", r#"{"cause":"panic"}"#, r#"{"cause":"panic","message":null}"#] {
            assert_eq!(panic_message(none), None, "{none}");
        }
    }
}
