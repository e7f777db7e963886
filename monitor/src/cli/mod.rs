//! The command line of `ukvm-run`.
//!
//! [`parse`] gives a [`Command`], or the text that `--help` asks for, or an [`Error`] whose sentence tells what to write
//! instead. [`solo5`] is the command line of `solo5-hvt`, for those who call the program by that name.

mod config_file;
pub mod solo5;
pub mod solo5_words;
mod usage_error;
mod value;

use crate::config::{
    Aslr, Config, ConsoleConfig, DiskConfig, DiskSource, KvmSource, NetConfig, NetRing, NetSource,
};
use crate::error::{Error, ErrorKind};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{CommandFactory, FromArgMatches, Parser, ValueHint};
use config_file::ConfigFile;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use value::{BadValue, Disk, FileOrFd};

/// What the user wants to be done.
#[derive(Debug)]
pub enum Command {
    /// Run a guest.
    Run {
        /// The guest.
        config: Box<Config>,
        /// Where the run report goes.
        report: Option<PathBuf>,
    },
    /// Tell what is in a program's file.
    Inspect {
        /// The program.
        program: PathBuf,
    },
    /// Join the console of a running guest.
    Attach {
        /// Its socket.
        console: PathBuf,
    },
    /// Print a text, such as the help, on standard output.
    Print(String),
}

/// A value parser of clap made of one of ours.
fn parser<T: Clone + Send + Sync + 'static>(
    parse: fn(&OsStr) -> Result<T, BadValue>,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(move |text| parse(&text))
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

const EXAMPLES: &str = "\
Examples:
  ukvm-run hello.elf 3                         run a program with the argument 3
  ukvm-run --net tap0 --disk data.img app.elf  with a network and a disk
  ukvm-run --disk source=a.img,ro --disk target=b.img blkcopy.elf
                                               with two disks, each under the name that
                                               the program gives it, the first read-only
  ukvm-run --timeout 5s --report run.json app.elf
                                               end it after 5 s, and write down how it went
  ukvm-run --inspect app.elf                   show what the program needs
  ukvm-run --console unix:app.sock app.elf     let others watch it: ukvm-run attach app.sock

Names of devices:
  A program declares its network and block devices by name. An option without NAME= is for
  the first device of its kind that no other option names. NAME= is what stands before the
  first '=' if it is a legal name (A-Z a-z 0-9 - _ .): write a file a=b.img as ./a=b.img.
  A TAP that does not exist is created, and goes when ukvm-run does.

Exit status:
  the program's own, or
  64 wrong usage              65 not a unikernel, or not for this version
  66 no such file or device   69 KVM cannot be used
  74 the host failed          77 not permitted
  78 options, program and host do not fit together
  124 ended by --timeout      128+N ended by signal N
  134 the program panicked    139 the program did what it may not
  --report tells a program's own 134 from a panic.";

const ABOUT_ATTACH: &str = "\
The last lines are shown, then what the guest prints; what is typed is its input. On a terminal
every key is passed on, Ctrl-C included, but Ctrl-], which leaves: the guest runs on. Several can
watch. The status is 0 after Ctrl-] and when the guest ends.

A program in a file named 'attach' is run as ./attach.";

/// Run a unikernel in a KVM virtual machine of its own.
#[derive(Debug, Parser)]
#[command(
    name = "ukvm-run",
    version,
    override_usage = "ukvm-run [OPTIONS] APP.ELF [--] [ARGS]...\n       ukvm-run attach PATH",
    disable_help_flag = true,
    disable_version_flag = true,
    after_help = EXAMPLES,
    max_term_width = 100
)]
struct Cli {
    /// The unikernel, then its own arguments: all that follows APP.ELF is the program's, a first '--' excepted
    #[arg(value_name = "APP.ELF", num_args = 1.., trailing_var_arg = true, value_hint = ValueHint::FilePath, value_parser = OsStringValueParser::new())]
    program: Vec<OsString>,

    /// Its memory: 512K, 64M, 2G, or a number of MiB [default: 64M, or what the program asks for]
    #[arg(long, value_name = "SIZE", help_heading = "Guest", value_parser = parser(value::size))]
    mem: Option<u64>,

    /// A variable of its environment; may be repeated, the last of a name counts
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Guest", value_parser = parser(value::variable))]
    env: Vec<(OsString, OsString)>,

    /// A network device: the TAP interface TAP (created where there is none), or fd:N for one that is open as
    /// descriptor N; ,mac=02:xx:xx:xx:xx:xx sets the guest's address; may be repeated
    #[arg(long, value_name = "[NAME=]TAP[,mac=ADDRESS]", help_heading = "Devices", value_parser = parser(value::net))]
    net: Vec<NetConfig>,

    /// A block device: the image file or host device PATH, or fd:N for one that is open as descriptor N; ,ro
    /// makes it read-only, ,direct bypasses the host's page cache, ,sector=N has a Solo5 unikernel see sectors of
    /// N bytes; may be repeated
    #[arg(long, value_name = "[NAME=]PATH[,ro][,direct][,sector=N]", help_heading = "Devices", value_hint = ValueHint::FilePath, value_parser = parser(value::disk))]
    disk: Vec<Disk>,

    /// Where a Solo5 unikernel has its net ring: inside its memory, as Solo5 after 0.12.1, or above it
    #[arg(long, value_name = "inside|above", help_heading = "Devices", value_parser = parser(value::net_ring))]
    net_ring: Option<NetRing>,

    /// Offer a Solo5 unikernel no net ring
    #[arg(long, help_heading = "Devices", conflicts_with = "net_ring")]
    no_net_ring: bool,

    /// Its console: standard input and output, nothing, a file that output is added to, a socket for
    /// 'ukvm-run attach', or a pseudo-terminal whose name is printed
    #[arg(long, value_name = "stdio|null|file:PATH|unix:PATH|pty", help_heading = "Devices", default_value = "stdio", value_parser = parser(value::console))]
    console: ConsoleConfig,

    /// Pass every key of the terminal on, Ctrl-C included; Ctrl-] then ends the guest
    #[arg(long, help_heading = "Devices")]
    raw: bool,

    /// End the guest, with status 124, when it has run so long: 500ms, 5s, 2m, 1h
    #[arg(long, value_name = "DURATION", help_heading = "Running", value_parser = parser(value::timeout))]
    timeout: Option<Duration>,

    /// How long it may take to shut down after SIGTERM or SIGINT
    #[arg(long, value_name = "DURATION", help_heading = "Running", default_value = "5s", value_parser = parser(value::duration))]
    grace: Duration,

    /// Load it at the same place each time, for debugging
    #[arg(long, help_heading = "Running")]
    no_aslr: bool,

    /// Load it at the place that this seed gives, as --verbose and --report print it
    #[arg(long, value_name = "HEX", help_heading = "Running", conflicts_with = "no_aslr", value_parser = parser(value::seed))]
    aslr_seed: Option<u64>,

    /// The KVM to use, or fd:N for one that is open as descriptor N
    #[arg(long, value_name = "PATH", help_heading = "Running", default_value = "/dev/kvm", value_hint = ValueHint::FilePath, value_parser = parser(value::kvm))]
    kvm: KvmSource,

    /// Take options from FILE, in TOML: each under its name without the dashes, and 'program' and 'args';
    /// the command line wins, but a switch that FILE sets stays set
    #[arg(long, value_name = "FILE", help_heading = "Running", value_hint = ValueHint::FilePath, value_parser = parser(value::file))]
    config: Option<PathBuf>,

    /// Write how it went to FILE, as JSON: cause and status, time of each step of the start, counters
    #[arg(long, value_name = "FILE", help_heading = "Information", value_hint = ValueHint::FilePath, value_parser = parser(value::file))]
    report: Option<PathBuf>,

    /// Show what the program is and needs, and a command line that runs it, but don't run it
    #[arg(long, help_heading = "Information", conflicts_with = "report")]
    inspect: bool,

    /// Print all options as a file for --config, but don't run anything
    #[arg(long, help_heading = "Information")]
    print_config: bool,

    /// Say on standard error what is done
    #[arg(long, help_heading = "Information")]
    verbose: bool,

    /// Print the version
    #[arg(long, short = 'V', help_heading = "Information", action = clap::ArgAction::Version)]
    version: Option<bool>,

    /// Print this help
    #[arg(long, short, help_heading = "Information", action = clap::ArgAction::HelpShort)]
    help: Option<bool>,
}

/// The word that is no program where it is the first.
const ATTACH: &str = "attach";

/// Join the console of a guest that runs with --console unix:PATH
#[derive(Debug, Parser)]
#[command(
    name = ATTACH,
    override_usage = "ukvm-run attach PATH",
    disable_help_flag = true,
    after_help = ABOUT_ATTACH,
    max_term_width = 100
)]
struct Attach {
    /// The socket
    #[arg(value_name = "PATH", value_hint = ValueHint::FilePath, value_parser = parser(value::file))]
    path: PathBuf,

    /// Print this help
    #[arg(long, short, action = clap::ArgAction::HelpShort)]
    help: Option<bool>,
}

/// Understands a command line whose first item is the name of the program.
///
/// `started` is when the process began, from where the timeline counts.
///
/// # Errors
///
/// An [`Error`] of kind [`Usage`](ErrorKind::Usage), or [`MissingFile`](ErrorKind::MissingFile) where a descriptor is
/// named that is not open.
pub fn parse(arguments: impl IntoIterator<Item = OsString>, started: Instant) -> Result<Command, Error> {
    parse_words(&arguments.into_iter().collect::<Vec<_>>(), None, started)
}

/// The same of a program that is [hosted](crate::hosted), whose command line does not name it: what would be APP.ELF is an argument of
/// the program.
///
/// # Errors
///
/// As [`parse`].
pub(crate) fn parse_hosted(words: &[OsString], started: Instant) -> Result<Command, Error> {
    parse_words(words, words.first(), started)
}

/// Understands a command line: of `ukvm-run`, or of the program `hosted`.
fn parse_words(words: &[OsString], hosted: Option<&OsString>, started: Instant) -> Result<Command, Error> {
    if words.get(1).is_some_and(|word| word == ATTACH) {
        return match Attach::try_parse_from(words.iter().skip(1)) {
            Ok(Attach { path, help: _ }) => Ok(Command::Attach { console: path }),
            Err(error) => answer(&error),
        };
    }
    match Cli::try_parse_from(words) {
        Ok(cli) if cli.config.is_some() || cli.print_config => {
            with_file(cli.config.as_deref(), words, hosted, started)
        }
        Ok(cli) => cli.of(hosted).into_command(started),
        Err(error) => answer(&error),
    }
}

/// The same for a command line, which is legal, about a configuration file: `path`, and whether to print one.
fn with_file(
    path: Option<&Path>,
    words: &[OsString],
    hosted: Option<&OsString>,
    started: Instant,
) -> Result<Command, Error> {
    let command = Cli::command();
    let wrong = |error: clap::Error| usage(usage_error::sentence(&error));
    let mut matches = command.clone().try_get_matches_from(words).map_err(wrong)?;
    let file = path.map(|path| ConfigFile::read(path, &command)).transpose()?;
    if let Some(file) = &file {
        let (name, written) = words.split_at_checked(1).unwrap_or_default();
        let in_file = name.iter().chain(file.words());
        Cli::try_parse_from(in_file).map_err(|error| file.wrong(&usage_error::sentence(&error)))?;
        let all = name.iter().chain(file.words_beside(&command, &matches)).chain(written);
        let all: Vec<_> = all.collect();
        matches = command.clone().try_get_matches_from(all).map_err(wrong)?;
    }
    let mut cli = Cli::from_arg_matches(&matches).map_err(wrong)?;
    if let Some(file) = file.as_ref().filter(|_| cli.program.is_empty()) {
        cli.program = if hosted.is_some() { file.arguments().to_vec() } else { file.program() };
        if cli.program.is_empty() && hosted.is_none() && !cli.print_config {
            return Err(file.wrong(
                "it names no program; add program = \"APP.ELF\", or write APP.ELF behind the options",
            ));
        }
    }
    cli = cli.of(hosted);
    if cli.print_config {
        return config_file::print(&command, &matches, &cli.program).map(Command::Print);
    }
    cli.into_command(started)
}

/// The definition of the command line: what manual and completions are made of.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command().subcommand(Attach::command()).disable_help_subcommand(true)
}

/// What becomes of a command line that clap does not take: a text that was asked for, or what is wrong.
fn answer(error: &clap::Error) -> Result<Command, Error> {
    match error.kind() {
        clap::error::ErrorKind::DisplayHelp => Ok(Command::Print(error.render().to_string())),
        clap::error::ErrorKind::DisplayVersion => {
            Ok(Command::Print(format!("ukvm-run {VERSION} (ABI {})\n", ukvm_abi::ABI_VERSION)))
        }
        _ => Err(usage(usage_error::sentence(error))),
    }
}

/// The program's arguments, of the words behind its name.
fn arguments(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.peekable();
    words.next_if(|word| word == "--");
    words.collect()
}

impl Cli {
    /// As that of the program `hosted`, if it is one.
    fn of(mut self, hosted: Option<&OsString>) -> Self {
        if let Some(program) = hosted {
            self.program.splice(0..0, [program.clone(), "--".into()]);
        }
        self
    }

    fn into_command(self, started: Instant) -> Result<Command, Error> {
        // Destructured without `..`, so that no option can be forgotten.
        let Self {
            program,
            mem,
            env,
            net,
            disk,
            net_ring,
            no_net_ring,
            console,
            raw,
            timeout,
            grace,
            no_aslr,
            aslr_seed,
            kvm,
            config: _,
            report,
            inspect,
            print_config: _,
            verbose,
            version: _,
            help: _,
        } = self;
        let mut words = program.into_iter();
        let program = match words.next() {
            Some(path) if !path.is_empty() => PathBuf::from(path),
            Some(_) => return Err(usage("the path of the program is empty; name an ELF file")),
            None => {
                return Err(usage(
                    "the program is missing; write ukvm-run [OPTIONS] APP.ELF [ARGS], or see ukvm-run --help",
                ));
            }
        };
        if inspect {
            return Ok(Command::Inspect { program });
        }
        let arguments = arguments(words);
        check_devices(&net, &disk, &kvm)?;
        let console = with_raw_mode(console, raw)?;
        let config = Config {
            started,
            program,
            arguments,
            environment: last_of_each_name(env),
            memory: mem,
            nets: net,
            disks: disk.into_iter().map(DiskConfig::from).collect(),
            timeout,
            grace,
            aslr: match (no_aslr, aslr_seed) {
                (true, _) => Aslr::Off,
                (false, Some(seed)) => Aslr::Seed(seed),
                (false, None) => Aslr::Random,
            },
            kvm,
            console,
            net_ring: if no_net_ring { NetRing::Off } else { net_ring.unwrap_or(NetRing::Inside) },
            as_solo5: false,
            verbose,
            test_writable_text: false,
        };
        Ok(Command::Run { config: Box::new(config), report })
    }
}

impl From<Disk> for DiskConfig {
    fn from(disk: Disk) -> Self {
        let Disk { name, file, read_only, direct, block_size } = disk;
        let source = match file {
            FileOrFd::Path(path) => DiskSource::Path(path),
            FileOrFd::Fd(number) => DiskSource::Fd(number),
        };
        Self { name, source, read_only, direct, block_size }
    }
}

/// The console in raw mode, if that is wanted.
fn with_raw_mode(console: ConsoleConfig, raw: bool) -> Result<ConsoleConfig, Error> {
    match console {
        ConsoleConfig::Descriptors { input, output, raw: _ } => {
            Ok(ConsoleConfig::Descriptors { input, output, raw })
        }
        _ if raw => Err(usage("--raw is for the terminal on standard input; leave it out, or --console")),
        other => Ok(other),
    }
}

/// The variables without those that a later one of the same name replaces, in the order of the names' first appearance.
fn last_of_each_name(variables: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let mut kept: Vec<(OsString, OsString)> = Vec::with_capacity(variables.len());
    for (name, value) in variables {
        match kept.iter_mut().find(|(other, _)| *other == name) {
            Some((_, replaced)) => *replaced = value,
            None => kept.push((name, value)),
        }
    }
    kept
}

/// Checks what no single option can tell: that no name, TAP or descriptor is used twice, and that descriptors are open.
fn check_devices(nets: &[NetConfig], disks: &[Disk], kvm: &KvmSource) -> Result<(), Error> {
    let mut names = HashSet::new();
    let mut taps = HashSet::new();
    let mut descriptors = HashSet::new();
    let mut descriptor = |option: &str, number: RawFd| {
        if !descriptors.insert(number) {
            return Err(usage(format!(
                "{option}: fd:{number} is used twice; give each device a descriptor of its own"
            )));
        }
        if !is_open(number) {
            return Err(Error::new(
                ErrorKind::MissingFile,
                format!(
                    "{option}: fd:{number} is not open; start ukvm-run with it, as a shell does with {number}<>FILE"
                ),
            ));
        }
        Ok(())
    };
    if let KvmSource::Fd(number) = *kvm {
        descriptor("--kvm", number)?;
    }
    for NetConfig { name, source, mac: _ } in nets {
        if let Some(name) = name.as_deref().filter(|name| !names.insert(("--net", name.to_owned()))) {
            return Err(usage(format!("--net: {name} is bound twice; use each device's name once")));
        }
        match source {
            NetSource::Fd(number) => descriptor("--net", *number)?,
            NetSource::Tap(tap) if !taps.insert(tap) => {
                return Err(usage(format!("--net: {tap} is used twice; give each device a TAP of its own")));
            }
            NetSource::Tap(_) => {}
        }
    }
    for Disk { name, file, read_only: _, direct: _, block_size: _ } in disks {
        if let Some(name) = name.as_deref().filter(|name| !names.insert(("--disk", name.to_owned()))) {
            return Err(usage(format!("--disk: {name} is bound twice; use each device's name once")));
        }
        if let FileOrFd::Fd(number) = file {
            descriptor("--disk", *number)?;
        }
    }
    Ok(())
}

/// Whether this process has a descriptor of this number.
fn is_open(number: RawFd) -> bool {
    // SAFETY: F_GETFD takes no pointer and changes nothing; on a number without a descriptor it fails with EBADF.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags >= 0
}

fn usage(sentence: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, sentence)
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
