//! `cargo xtask image`: makes a disk image of a directory.

mod archive;
mod fat;
mod source;

use crate::UsageError;
use anyhow::{Context, Result, bail, ensure};
use source::Item;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// How the command is used.
pub const USAGE: &str = "\
Usage: cargo xtask image DIR -o FILE --format tar|fat [--size SIZE]

Makes the disk image FILE of the files in DIR; the same files give the same bytes.

  -o, --output FILE  the image, which is replaced if it is there
  --format tar       a tar archive: to be read; the smallest, with links, whatever the names and sizes
  --format fat       a FAT file system: to be read and written
  --size SIZE        of the FAT file system, for more room than the files need: 512K, 64M, 2G, or a number of MiB

Dates of files are kept; with SOURCE_DATE_EPOCH=SECONDS in the environment none is later than that. Take a later one when
files were edited: an edit that keeps the size shows in the ETags of static-site by its date alone.";

/// The format of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A tar archive.
    Tar,
    /// A FAT file system of so many bytes, or of as many as the files need.
    Fat(Option<u64>),
}

/// What is to be made.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    directory: PathBuf,
    output: PathBuf,
    format: Format,
}

/// Makes the image that the arguments describe, and says what it is.
///
/// # Errors
///
/// A [`UsageError`], or as [`create`].
pub fn run(arguments: &[OsString]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    let Options { directory, output, format } =
        parse(arguments).map_err(|error| UsageError(format!("{error:#}")))?;
    let latest = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => Some(text.parse().context("SOURCE_DATE_EPOCH is not a number of seconds")?),
        Err(_) => None,
    };
    create(&directory, &output, format, latest)?;
    println!("{:>9} bytes  {}", fs::metadata(&output)?.len(), output.display());
    Ok(())
}

/// Makes an image of the files in a directory. No date in it is later than `latest`, in seconds since 1970.
///
/// # Errors
///
/// Where the files cannot be read, the image cannot be written, or the format cannot hold them. What was at `output` is then there as it
/// was before.
pub fn create(directory: &Path, output: &Path, format: Format, latest: Option<u64>) -> Result<()> {
    let items = source::read(directory, latest)?;
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let inside = parent.canonicalize().with_context(|| format!("{} cannot be found", parent.display()))?;
    ensure!(
        !inside.starts_with(directory.canonicalize()?),
        "{} would be inside {}, which goes into it; put it elsewhere",
        output.display(),
        directory.display()
    );
    ensure!(
        fs::symlink_metadata(output).map_or(true, |there| there.is_file()),
        "{} is there and is no regular file; give another name",
        output.display()
    );
    // Whole or not at all.
    let (file, new) = create_beside(output)?;
    let written = match format {
        Format::Tar => archive::write(&items, file, &new),
        Format::Fat(size) => fat::write(&items, &file, &new, size),
    };
    let written = written.and_then(|()| {
        fs::rename(&new, output).with_context(|| format!("{} cannot be written", output.display()))
    });
    if written.is_err() {
        // The error that there is says more than one about this would.
        let _ = fs::remove_file(&new);
    }
    written
}

/// Creates a file with a name of its own in the directory of `output`, so that nobody else's is written or removed.
fn create_beside(output: &Path) -> Result<(File, PathBuf)> {
    let mut number = std::process::id();
    loop {
        let new = output.with_added_extension(format!("{number}.new"));
        match File::options().read(true).write(true).create_new(true).open(&new) {
            Ok(file) => return Ok((file, new)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number = number.wrapping_add(1),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be written", new.display()));
            }
        }
    }
}

fn parse(arguments: &[OsString]) -> Result<Options> {
    let (mut directory, mut output, mut format, mut size) = (None, None, None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value =
            |name: &str| arguments.next().with_context(|| format!("{name} needs a value; {HELP}"));
        match argument.to_str() {
            Some(name @ ("-o" | "--output")) => output = Some(PathBuf::from(value(name)?)),
            Some("--format") => format = Some(value("--format")?),
            Some("--size") => size = Some(parse_size(&value("--size")?.to_string_lossy())?),
            Some(name) if name.starts_with('-') => bail!("there is no option {name}; {HELP}"),
            _ if directory.is_none() => directory = Some(PathBuf::from(argument)),
            _ => bail!("there is one directory to be given, not also {}; {HELP}", argument.display()),
        }
    }
    let format = match (format.and_then(|format| format.to_str()), size) {
        (Some("tar"), None) => Format::Tar,
        (Some("tar"), Some(_)) => bail!("a tar archive is as large as its files need; leave out --size"),
        (Some("fat"), size) => Format::Fat(size),
        _ => bail!("--format tar or --format fat is needed; {HELP}"),
    };
    let directory = directory.with_context(|| format!("the directory with the files is needed; {HELP}"))?;
    let output = output.with_context(|| format!("-o with the file to be made is needed; {HELP}"))?;
    Ok(Options { directory, output, format })
}

const HELP: &str = "cargo xtask image --help says more";

/// A size as `ukvm-run` takes it: with a unit, or in MiB.
fn parse_size(text: &str) -> Result<u64> {
    let (digits, shift) = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((digits, "K" | "k")) => (digits, 10),
        Some((digits, "M" | "m")) => (digits, 20),
        Some((digits, "G" | "g")) => (digits, 30),
        _ => (text, 20),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.filter(|size| *size > 0).with_context(|| format!("{text} is no size; write 64M, for example"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        let arguments: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        parse(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_that_make_no_sense_are_told_apart() {
        assert!(run(&["--fast".into()]).unwrap_err().is::<UsageError>());
        let gone = ["/gone", "-o", "/gone/a.img", "--format", "tar"].map(OsString::from);
        assert!(!run(&gone).unwrap_err().is::<UsageError>());
    }

    #[test]
    fn arguments() {
        let options = |format| Options { directory: "site".into(), output: "a.img".into(), format };
        assert_eq!(parsed("site -o a.img --format tar"), Ok(options(Format::Tar)));
        assert_eq!(parsed("--format fat --output a.img site"), Ok(options(Format::Fat(None))));
        for (text, size) in [("512K", 512 << 10), ("64M", 64 << 20), ("2G", 2 << 30), ("3", 3 << 20)] {
            let line = format!("site -o a.img --format fat --size {text}");
            assert_eq!(parsed(&line), Ok(options(Format::Fat(Some(size)))));
        }
        for (line, words) in [
            ("", "--format tar or --format fat is needed"),
            ("site -o a.img --format zip", "--format tar or --format fat is needed"),
            ("--format tar -o a.img", "the directory with the files is needed"),
            ("--format tar site", "-o with the file to be made is needed"),
            ("--format tar site other -o a.img", "not also other"),
            ("site -o", "-o needs a value"),
            ("site --fast", "there is no option --fast"),
            ("site -o a.img --format tar --size 3", "leave out --size"),
            ("site -o a.img --format fat --size big", "big is no size"),
            ("site -o a.img --format fat --size 0", "0 is no size"),
            ("site -o a.img --format fat --size 99999999999G", "is no size"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
