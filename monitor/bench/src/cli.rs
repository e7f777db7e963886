//! The command line of `ukvm-bench`.

use crate::error::Error;
use crate::io::Group;
use clap::builder::{StringValueParser, TypedValueParser};
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, Parser, Subcommand};
use std::error::Error as _;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  ukvm-bench boot hello.elf                    how long a start takes, and where the time goes
  ukvm-bench boot --svg boot.svg --compare 'solo5-hvt hello.hvt' hello.elf
                                               the same beside another monitor, with a figure
  ukvm-bench boot app.elf --options '--disk a.img' -- --verbose
                                               with options for ukvm-run, and an argument
  ukvm-bench all --markdown promises.md        all that is promised, as JSON, as HTML and as a table

Each figure is a ratio to a floor: a program that makes the same calls of the host with
nothing around them, run in turn with what is measured. The exit status is 0 if all was
measured, 1 if a program that was measured failed, 130 after Ctrl-C, else one of
sysexits.h; what was measured by then is kept and marked.";

/// Measure ukvm-run against the least that the host asks for
#[derive(Debug, Parser)]
#[command(name = "ukvm-bench", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What is measured
    #[command(subcommand)]
    pub command: Command,
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// How long a start takes: to the first byte of output, and a whole life
    Boot(BootOptions),
    /// How many lives a second all processors have
    Churn(ChurnOptions),
    /// What a guest costs in memory, and each further one
    Memory(MemoryOptions),
    /// How fast a guest computes
    Compute(ComputeOptions),
    /// How fast packets and blocks go in and out of a guest
    Io(IoOptions),
    /// How fast a web site in a guest is, beside nginx and beside the same program in a process
    Site(ServiceOptions),
    /// How fast the same is over TLS: handshakes, and bytes
    Tls(ServiceOptions),
    /// How long a job lives that fetches a file, beside curl in a shell
    Job(ServiceOptions),
    /// How fast a key/value service in a guest is that flushes each write, beside Redis
    Kv(ServiceOptions),
    /// All of it but these four, as one JSON file and one HTML report
    All(AllOptions),
}

/// What all measurements take: how often, where programs are, and how long they may take.
#[derive(Debug, Args)]
pub struct Common {
    /// Rounds; a verdict needs 100
    #[arg(long, value_name = "N", default_value = "100", value_parser = parser(count))]
    pub runs: usize,

    /// The directory of ukvm-run, the floors and the guests that are not named; without it that of ukvm-bench,
    /// then PATH
    #[arg(long, value_name = "DIR", help_heading = "Programs")]
    pub programs: Option<PathBuf>,

    /// The monitor
    #[arg(long, value_name = "PATH", help_heading = "Programs")]
    pub ukvm_run: Option<PathBuf>,

    /// Seconds that a program may take to its first byte of output, and from there to its end
    #[arg(long, value_name = "SECONDS", help_heading = "Programs", default_value = "10", value_parser = parser(seconds))]
    pub patience: Duration,
}

/// Where the result of one measurement goes.
#[derive(Debug, Args)]
pub struct Json {
    /// Write all figures to FILE
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub json: Option<PathBuf>,
}

/// What a measurement of a unikernel of the user's takes.
#[derive(Debug, Args)]
pub struct Subject {
    /// The floor program instead of start-floor
    #[arg(long, value_name = "PATH", help_heading = "Programs")]
    pub floor: Option<PathBuf>,

    /// Options for ukvm-run, as for a shell
    #[arg(
        long,
        value_name = "OPTIONS",
        help_heading = "Programs",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub options: String,

    /// The unikernel
    #[arg(value_name = "APP.ELF")]
    pub app: PathBuf,

    /// Its arguments, behind --
    #[arg(value_name = "ARGS", last = true)]
    pub arguments: Vec<OsString>,

    /// Where the result goes.
    #[command(flatten)]
    pub json: Json,
    /// What all measurements take.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `boot`.
#[derive(Debug, Args)]
pub struct BootOptions {
    /// Another command to take its turn, as for a shell; may be repeated
    #[arg(long, value_name = "COMMAND", help_heading = "Programs")]
    pub compare: Vec<String>,

    /// Draw distribution and timeline to FILE
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub svg: Option<PathBuf>,

    /// The unikernel.
    #[command(flatten)]
    pub subject: Subject,
}

/// Options of `churn`.
#[derive(Debug, Args)]
pub struct ChurnOptions {
    /// Lives that each processor has in a round
    #[arg(long, value_name = "N", default_value = "16", value_parser = parser(count))]
    pub lives: usize,

    /// The unikernel.
    #[command(flatten)]
    pub subject: Subject,
}

/// How many guests at once.
#[derive(Debug, Args)]
pub struct Guests {
    /// The most guests at once, when memory is measured
    #[arg(long, value_name = "N", default_value = "64", value_parser = parser(count))]
    pub guests: usize,
}

/// Options of `memory`.
#[derive(Debug, Args)]
pub struct MemoryOptions {
    /// How many guests at once.
    #[command(flatten)]
    pub guests: Guests,

    /// The unikernel.
    #[command(flatten)]
    pub subject: Subject,
}

/// Options of `compute`.
#[derive(Debug, Args)]
pub struct ComputeOptions {
    /// Where the result goes.
    #[command(flatten)]
    pub json: Json,
    /// What all measurements take.
    #[command(flatten)]
    pub common: Common,
}

/// Where the file of the disk is.
#[derive(Debug, Args)]
pub struct DiskPlace {
    /// Make the file that is the disk in DIR: 16 MiB, removed at the end
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    pub directory: PathBuf,
}

/// Options of `io`.
#[derive(Debug, Args)]
pub struct IoOptions {
    /// Measure only this; may be repeated
    #[arg(long, value_name = "GROUP", value_enum)]
    pub only: Vec<Group>,

    /// Where the file of the disk is.
    #[command(flatten)]
    pub disk: DiskPlace,
    /// Where the result goes.
    #[command(flatten)]
    pub json: Json,
    /// What all measurements take.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `site`, `tls`, `job` and `kv`.
#[derive(Debug, Args)]
pub struct ServiceOptions {
    /// Write the figures to FILE, as a table in Markdown
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub markdown: Option<PathBuf>,

    /// Make the files that are needed in DIR, removed at the end
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    pub directory: PathBuf,

    /// Where the result goes.
    #[command(flatten)]
    pub json: Json,
    /// What all measurements take.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `all`.
#[derive(Debug, Args)]
pub struct AllOptions {
    /// Write all figures to FILE
    #[arg(long, value_name = "FILE", help_heading = "Results", default_value = "ukvm-bench.json")]
    pub json: PathBuf,

    /// Write the report to FILE
    #[arg(long, value_name = "FILE", help_heading = "Results", default_value = "ukvm-bench.html")]
    pub html: PathBuf,

    /// Write the promises to FILE, as a table in Markdown
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub markdown: Option<PathBuf>,

    /// How many guests at once.
    #[command(flatten)]
    pub guests: Guests,
    /// Where the file of the disk is.
    #[command(flatten)]
    pub disk: DiskPlace,
    /// What all measurements take.
    #[command(flatten)]
    pub common: Common,
}

/// A value parser of clap made of one of ours.
fn parser<T: Clone + Send + Sync + 'static>(
    parse: fn(&str) -> Result<T, BadValue>,
) -> impl TypedValueParser<Value = T> {
    StringValueParser::new().try_map(move |text| parse(&text))
}

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadValue(String);

fn count(text: &str) -> Result<usize, BadValue> {
    /// So many results fit into memory.
    const MOST: usize = 1_000_000;
    let wrong = || BadValue(format!("`{text}` is not a number from 1 to {MOST}"));
    text.parse().ok().filter(|count| (1..=MOST).contains(count)).ok_or_else(wrong)
}

fn seconds(text: &str) -> Result<Duration, BadValue> {
    let wrong = || BadValue(format!("`{text}` is not a number of seconds above 0, like 10 or 0.5"));
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|duration| !duration.is_zero()).ok_or_else(wrong)
}

/// Understands a command line, whose first item is the name of the program. Help and version are printed, and end the process.
///
/// # Errors
///
/// A sentence that tells what to write instead, with status 64.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Error> {
    Cli::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
        _ => Error::usage(format!("{}; see ukvm-bench --help", sentence(&error))),
    })
}

/// What clap has to say, in a sentence.
fn sentence(error: &clap::Error) -> String {
    let option = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    match (error.kind(), error.source(), option) {
        (ErrorKind::ValueValidation, Some(reason), Some(option)) => {
            // Behind the name of an option comes that of its value.
            format!("{}: {reason}", option.split(' ').next().unwrap_or(&option))
        }
        (ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand, ..) => {
            "name what is to be measured: boot, churn, memory, compute, io, site, tls, job, kv or all"
                .to_owned()
        }
        (ErrorKind::MissingRequiredArgument, ..) => "the unikernel is missing: name an ELF file".to_owned(),
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.trim_start_matches("error: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Cli, Error> {
        parse(words.split(' ').map(OsString::from))
    }

    #[test]
    fn options_and_arguments_are_told_apart() {
        let cli =
            parsed("ukvm-bench boot --runs 3 --options --raw --compare true app.elf -- --runs 4").unwrap();
        let Command::Boot(boot) = cli.command else { panic!("{cli:?}") };
        assert_eq!(
            (boot.subject.common.runs, &*boot.subject.options, boot.compare),
            (3, "--raw", vec!["true".into()])
        );
        assert_eq!(boot.subject.arguments, ["--runs", "4"]);
    }

    #[test]
    fn what_cannot_be_understood_is_told_in_a_sentence() {
        for (words, said) in [
            ("ukvm-bench boot", "name an ELF file"),
            ("ukvm-bench", "boot, churn, memory"),
            ("ukvm-bench boot --json", "--json"),
            ("ukvm-bench boot --runs 0 a.elf", "--runs: `0` is not a number from 1 to"),
            ("ukvm-bench boot --runs many a.elf", "`many` is not a number"),
            ("ukvm-bench boot --patience 0 a.elf", "above 0"),
            ("ukvm-bench boot a.elf b", "'b'"),
            ("ukvm-bench fly", "fly"),
        ] {
            let error = parsed(words).unwrap_err();
            assert_eq!(error.status(), 64);
            let text = error.to_string();
            assert!(text.contains(said) && !text.contains('\n'), "{text}");
        }
    }
}
