//! The results of tests as machines read them: the XML that began with JUnit.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::borrow::Cow;
use std::fs::{self, File};
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

/// The file that results go to, open before the first test so that a path that cannot be written is an error before anything runs.
#[derive(Debug)]
pub(crate) struct Results {
    path: PathBuf,
    file: File,
}

impl Results {
    /// Creates the file for the test target `suite`, or empties it: `path`, or, where that is a directory or ends with `/`, one in this
    /// directory of the target's name.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub(crate) fn create(path: &Path, suite: &str) -> Result<Self, Error> {
        let is_to_be_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let file = match is_to_be_directory || path.is_dir() {
            true => path.join(suite).with_added_extension("xml"),
            false => path.into(),
        };
        let made = if is_to_be_directory { fs::create_dir_all(path) } else { Ok(()) };
        match made.and_then(|()| File::create(&file)) {
            Ok(open) => Ok(Self { path: file, file: open }),
            Err(error) => Err(unwritable(&file, &error)),
        }
    }

    /// Writes the results.
    ///
    /// # Errors
    ///
    /// Where that fails.
    pub(crate) fn write(&self, suite: &str, cases: &[Case], took: Duration) -> Result<(), Error> {
        print(&self.file, suite, cases, took).map_err(|error| unwritable(&self.path, &error))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    let sentence = format!("--junit: {} cannot be written ({error}); name another file", path.display());
    Error::new(ErrorKind::of_file(error), sentence)
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
    fn a_directory_has_a_file_for_each_target() {
        let around = tempfile::tempdir().unwrap();
        let there = around.path();
        let made = there.join("a/b/");
        for (path, file) in [(there, "one.xml"), (made.as_path(), "a/b/one.xml"), (&there.join("c"), "c")] {
            Results::create(path, "one").unwrap().write("one", &[], Duration::ZERO).unwrap();
            assert!(
                fs::read_to_string(there.join(file)).unwrap().contains("<testsuite name=\"one\""),
                "{file}"
            );
        }
        // No directory is made that may be a slip.
        let error = Results::create(&there.join("d/e"), "one").unwrap_err().to_string();
        assert!(error.contains("d/e cannot be written"), "{error}");
        let error = Results::create(&there.join("c/"), "one").unwrap_err().to_string();
        assert!(error.contains("c/one.xml cannot be written"), "{error}");
    }

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
