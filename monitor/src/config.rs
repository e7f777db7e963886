//! What is to be run and how: the plain data that a command line, or a program that uses this library, comes down to.

use crate::device::block::BlockBackend;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Guest memory where neither the user nor the manifest asks for more, in bytes.
pub const DEFAULT_MEMORY: u64 = 64 << 20;
/// How long a guest may take to obey a shutdown notice where the user says nothing.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// A guest and its surroundings.
#[derive(Debug)]
pub struct Config {
    /// When the start began; the run's timeline counts from here.
    pub started: Instant,
    /// The ELF file.
    pub program: PathBuf,
    /// The program's arguments, its own name not among them.
    pub arguments: Vec<OsString>,
    /// The environment as `(NAME, VALUE)`.
    pub environment: Vec<(OsString, OsString)>,
    /// Guest memory in bytes; `None`: the larger of [`DEFAULT_MEMORY`] and the manifest's minimum.
    pub memory: Option<u64>,
    /// Network devices.
    pub nets: Vec<NetConfig>,
    /// Block devices.
    pub disks: Vec<DiskConfig>,
    /// How long the guest may run.
    pub timeout: Option<Duration>,
    /// How long it may take to obey a shutdown notice.
    pub grace: Duration,
    /// Where it is loaded.
    pub aslr: Aslr,
    /// The KVM that runs it.
    pub kvm: KvmSource,
    /// Its console.
    pub console: ConsoleConfig,
    /// The net ring of a Solo5 guest; others have none of that kind.
    pub net_ring: NetRing,
    /// Whether to do as Solo5's own tender: any other program is refused, and the guest goes on when nobody reads its output any more.
    pub as_solo5: bool,
    /// Whether to say on standard error what is done.
    pub verbose: bool,
    /// For tests of the second line of defence: the page tables make the program's text writable, so that only the
    /// read-only memory slot protects it.
    #[doc(hidden)]
    pub test_writable_text: bool,
}

impl Config {
    /// `program` with everything else as `ukvm-run` has it without options.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            started: Instant::now(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            memory: None,
            nets: Vec::new(),
            disks: Vec::new(),
            timeout: None,
            grace: DEFAULT_GRACE,
            aslr: Aslr::Random,
            kvm: KvmSource::Path("/dev/kvm".into()),
            console: ConsoleConfig::STDIO,
            net_ring: NetRing::Inside,
            as_solo5: false,
            verbose: false,
            test_writable_text: false,
        }
    }

    /// Whether this is a file that the guest needs, the program or a disk, so that nothing else may be written to it. What cannot be
    /// looked up is left to whoever opens it.
    pub(crate) fn needs(&self, file: &Metadata) -> bool {
        let disks = self.disks.iter().filter_map(|disk| match &disk.source {
            DiskSource::Path(path) => Some(path.clone()),
            DiskSource::Fd(number) => Some(format!("/proc/self/fd/{number}").into()),
            DiskSource::Backend(_) => None,
        });
        let mut needed = disks.chain([self.program.clone()]).filter_map(|path| std::fs::metadata(path).ok());
        needed.any(|needed| is_same(&needed, file))
    }

    /// Whether this is the regular file that the console's output goes to. To a device both can write.
    pub(crate) fn prints_to(&self, file: &Metadata) -> bool {
        let ConsoleConfig::File(path) = &self.console else { return false };
        file.is_file() && std::fs::metadata(path).is_ok_and(|output| is_same(&output, file))
    }
}

/// Whether both are of one file, whatever its names.
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Where a program is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aslr {
    /// At a random place.
    Random,
    /// At the place that this seed gives.
    Seed(u64),
    /// Always at the same place.
    Off,
}

/// Where a Solo5 guest with a network device has its net ring. A guest that follows its boot information cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetRing {
    /// In the guest's memory, of which 2 MiB are then less: Solo5 after 0.12.1.
    Inside,
    /// Above the guest's memory, in 2 MiB that are added to it: Solo5 0.11 and 0.12.
    Above,
    /// Nowhere: a hypercall for each frame, as Solo5 before 0.11.
    Off,
}

/// The KVM device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvmSource {
    /// A device node, mostly `/dev/kvm`.
    Path(PathBuf),
    /// An open descriptor of it.
    Fd(RawFd),
}

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// The name in the manifest; `None`: the first network device that no other option names.
    pub name: Option<String>,
    /// What is behind it.
    pub source: NetSource,
    /// The guest's hardware address; `None`: made from the host's identity and the TAP's name.
    pub mac: Option<[u8; 6]>,
}

/// What is behind a network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetSource {
    /// The TAP interface of this name; one that does not exist is created.
    Tap(String),
    /// An open descriptor of a TAP interface.
    Fd(RawFd),
}

/// A block device.
#[derive(Debug)]
pub struct DiskConfig {
    /// The name in the manifest; `None`: the first block device that no other option names.
    pub name: Option<String>,
    /// What is behind it.
    pub source: DiskSource,
    /// Whether the guest may only read it.
    pub read_only: bool,
    /// Whether reads and writes bypass the host's page cache; a backend of the caller's own does as it likes.
    pub direct: bool,
    /// The bytes of a sector that a Solo5 guest is told of, a power of two from 512 to 32768; `None`: those of the host's device,
    /// 512 for a file. For no other guest.
    pub block_size: Option<u32>,
}

/// What is behind a block device.
#[derive(Debug)]
pub enum DiskSource {
    /// A file or host block device.
    Path(PathBuf),
    /// An open descriptor of one.
    Fd(RawFd),
    /// A backend of the caller's own.
    Backend(Box<dyn BlockBackend>),
}

/// The host's side of the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsoleConfig {
    /// Two descriptors, which stay open and keep their flags. Output waits for its reader.
    Descriptors {
        /// Where input comes from.
        input: RawFd,
        /// Where output goes to.
        output: RawFd,
        /// Whether a terminal passes every key on, Ctrl-C included; Ctrl-] then ends the guest.
        raw: bool,
    },
    /// Output is lost, and input has ended.
    Null,
    /// Output goes behind what is in this file, which is made if there is none. Input has ended.
    File(PathBuf),
    /// Those of this user who connect to this socket watch the output and give the input. The guest waits for none of them.
    Unix(PathBuf),
    /// The same by a pseudo-terminal, whose name is told on standard error.
    Pty,
}

impl ConsoleConfig {
    /// Standard input and standard output.
    pub const STDIO: Self = Self::Descriptors { input: 0, output: 1, raw: false };
}
