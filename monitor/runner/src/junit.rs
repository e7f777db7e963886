//! The results of tests as machines read them: the XML that began with JUnit.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ukvm::error::{Error, ErrorKind};

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It passed.
    Passed,
    /// It failed, for this reason.
    Failed(String),
    /// It was left out, with the reason that the program gives, or none.
    Ignored(String),
}

/// A test that is over.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its name, with modules.
    pub(crate) name: String,
    /// How long it ran.
    pub(crate) took: Duration,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// What was printed.
    pub(crate) printed: String,
}

/// Writes the results of the test target `suite` to `path`: to that file, or, where it is a directory, to one in it of the target's
/// name.
///
/// # Errors
///
/// Where the file cannot be written.
pub(crate) fn write(path: &Path, suite: &str, cases: &[Case], took: Duration) -> Result<(), Error> {
    let path: PathBuf =
        if path.is_dir() { path.join(suite).with_added_extension("xml") } else { path.into() };
    let failed = |error: io::Error| {
        let kind = ErrorKind::of_file(&error);
        Error::new(
            kind,
            format!("--junit: {} cannot be written ({error}); name another file", path.display()),
        )
    };
    File::create(&path).and_then(|file| print(file, suite, cases, took)).map_err(failed)
}

fn print(to: impl Write, suite: &str, cases: &[Case], took: Duration) -> io::Result<()> {
    let count = |is_such: fn(&Outcome) -> bool| cases.iter().filter(|case| is_such(&case.outcome)).count();
    let failures = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Ignored(_)));
    let totals = [
        ("tests", cases.len().to_string()),
        ("failures", failures.to_string()),
        ("errors", "0".into()),
        ("skipped", skipped.to_string()),
        ("time", seconds(took)),
    ];
    let totals = || totals.iter().map(|(name, value)| (*name, value.as_str()));
    let mut to = Writer::new_with_indent(to, b' ', 2);
    to.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    to.create_element("testsuites").with_attributes(totals()).write_inner_content(|to| {
        to.create_element("testsuite")
            .with_attribute(("name", suite))
            .with_attributes(totals())
            .write_inner_content(|to| cases.iter().try_for_each(|case| print_case(to, suite, case)))?;
        Ok(())
    })?;
    to.get_mut().write_all(b"\n")?;
    to.get_mut().flush()
}

fn print_case<W: Write>(to: &mut Writer<W>, suite: &str, case: &Case) -> io::Result<()> {
    let element = to
        .create_element("testcase")
        .with_attribute(("classname", suite))
        .with_attribute(("name", legal(&case.name).as_ref()))
        .with_attribute(("time", seconds(case.took).as_str()));
    element.write_inner_content(|to| {
        match &case.outcome {
            Outcome::Passed => {}
            Outcome::Failed(why) => {
                to.create_element("failure")
                    .with_attribute(("message", legal(why).as_ref()))
                    .write_empty()?;
            }
            Outcome::Ignored(why) => {
                to.create_element("skipped")
                    .with_attribute(("message", legal(why).as_ref()))
                    .write_empty()?;
            }
        }
        if !case.printed.is_empty() {
            to.create_element("system-out").write_text_content(BytesText::new(&legal(&case.printed)))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// The text without what no document may have, escaped or not: the characters outside of `Char` (XML 1.0, section 2.2).
fn legal(text: &str) -> Cow<'_, str> {
    let is_legal = |c: char| match c {
        '\t' | '\n' | '\r' => true,
        _ => c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'),
    };
    if text.chars().all(is_legal) {
        return text.into();
    }
    text.chars().map(|c| if is_legal(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_prints_cannot_break_the_document() {
        let case = |name: &str, outcome, printed: &str| Case {
            name: name.into(),
            took: Duration::from_micros(1500),
            outcome,
            printed: printed.into(),
        };
        let cases = [
            case("a::one", Outcome::Passed, ""),
            case("a::two", Outcome::Failed("it \"failed\" <&".into()), "\u{1b}[1m</system-out>]]>&\0\n"),
            case("three", Outcome::Ignored("slow".into()), ""),
        ];
        let mut text = Vec::new();
        print(&mut text, "greeting", &cases, Duration::from_millis(20)).unwrap();
        let text = String::from_utf8(text).unwrap();
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"0.020\">
  <testsuite name=\"greeting\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"0.020\">
    <testcase classname=\"greeting\" name=\"a::one\" time=\"0.002\">
    </testcase>
    <testcase classname=\"greeting\" name=\"a::two\" time=\"0.002\">
      <failure message=\"it &quot;failed&quot; &lt;&amp;\"/>
      <system-out>\u{fffd}[1m&lt;/system-out&gt;]]&gt;&amp;\u{fffd}\n</system-out>
    </testcase>
    <testcase classname=\"greeting\" name=\"three\" time=\"0.002\">
      <skipped message=\"slow\"/>
    </testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(text, expected);
    }
}
