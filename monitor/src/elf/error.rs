//! Why a file is not a unikernel that can be run, as sentences.

use super::names::{machine_name, relocation_name};
use crate::error::{Error, ErrorKind};
use crate::layout::{LOWEST, VIRTUAL_END};
use std::io;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use ukvm_abi::ABI_VERSION;
use ukvm_abi::manifest::{MAX_DEVICES, ManifestError};

/// A file that cannot be run, and why. Its `Display` is one sentence that begins with the path.
#[derive(Debug, thiserror::Error)]
#[error("{} {defect}", path.display())]
pub struct ElfError {
    pub(super) path: PathBuf,
    defect: Box<Defect>,
}

impl ElfError {
    pub(crate) fn new(path: &Path, defect: Defect) -> Self {
        Self { path: path.to_owned(), defect: Box::new(defect) }
    }

    /// What is wrong with the file.
    #[must_use]
    pub const fn defect(&self) -> &Defect {
        &self.defect
    }
}

impl From<ElfError> for Error {
    fn from(error: ElfError) -> Self {
        Self::caused_by(error.defect.kind(), error)
    }
}

/// What is wrong with a file. Its `Display` is the sentence after the file's name. Addresses are the
/// link-time ones.
#[derive(Debug, thiserror::Error)]
pub enum Defect {
    /// No such file.
    #[error("does not exist; check the path")]
    Missing,
    /// The host does not let this user read it.
    #[error("cannot be opened: permission denied; make it readable for this user")]
    Permission,
    /// The host failed to open or read it.
    #[error("cannot be read: {0}; check the path and the file system that holds it")]
    Host(#[source] io::Error),
    /// It is something else than a regular file; the words say what, with their article.
    #[error("is {0}, not a regular file; name a unikernel's ELF file")]
    NotRegular(&'static str),
    /// It has no bytes.
    #[error("is empty; build it again")]
    Empty,
    /// It does not begin like an ELF file.
    #[error("is not an ELF file; name a unikernel that was built with the ukvm-runtime crate")]
    NotElf,
    /// The file is too short for something that it says it has.
    #[error(
        "is truncated: its {part} ends at byte {end} and the file at byte {length}; build or copy it again"
    )]
    Truncated {
        /// What ends behind the file's end.
        part: &'static str,
        /// Where that ends.
        end: u128,
        /// The file's size in bytes.
        length: u64,
    },
    /// A part that is read as a whole is too large.
    #[error("has a {part} of {size} bytes, more than the {limit} that are allowed; build it again")]
    TooLarge {
        /// The part.
        part: &'static str,
        /// Its bytes.
        size: u64,
        /// The most bytes that are allowed.
        limit: u64,
    },
    /// `ELFCLASS32`.
    #[error("is a 32-bit program; build it for 64-bit x86 (x86_64)")]
    Bits32,
    /// `ELFDATA2MSB`.
    #[error("is a big-endian program; build it for x86_64, which is little-endian")]
    BigEndian,
    /// Built for a machine other than x86-64.
    #[error("is built for {}, not for x86_64; build it for x86_64", machine_name(*.0))]
    Machine(u16),
    /// `ET_REL`.
    #[error("is an object file, not a program; link it into an executable")]
    Relocatable,
    /// `ET_CORE`.
    #[error("is a core dump, not a program; name the program itself")]
    Core,
    /// A field of a header or table has a value that it cannot have.
    #[error("is not a valid ELF file: its {field} is {value:#x}; build it again")]
    BadField {
        /// The field's name in the ELF specification.
        field: &'static str,
        /// The value that it has.
        value: u64,
    },
    /// Something that may be there once is there again.
    #[error("has more than one {0}, and one is allowed; build it again")]
    Repeated(&'static str),
    /// The dynamic section has one of two tags that belong together.
    #[error("is not a valid ELF file: its dynamic section has no {0}; build it again")]
    MissingTag(&'static str),
    /// No note of ours, and linked like a static program.
    #[error(
        "is an ordinary program, not a ukvm unikernel: it has no ukvm note; a unikernel runs without an \
         operating system and is made by building a program with the ukvm-runtime crate"
    )]
    OrdinaryProgram,
    /// No note of ours, and linked dynamically.
    #[error(
        "is an ordinary program, dynamically linked, not a ukvm unikernel: it has no ukvm note; a unikernel \
         runs without an operating system and is made by building a program with the ukvm-runtime crate \
         and linking it statically"
    )]
    OrdinaryDynamicProgram,
    /// Built for another target of Solo5's, by its number.
    #[error(
        "is a Solo5 unikernel for {}, and ukvm-run runs those for hvt; build it for hvt (MirageOS: mirage configure -t hvt)",
        solo5_target(*.0)
    )]
    Solo5Target(u32),
    /// Built for another version of the hvt ABI.
    #[error(
        "was built for version {0} of Solo5's hvt ABI, and this ukvm-run knows version 2; {remedy}",
        remedy = if *.0 < 2 { "build it with Solo5 0.8 or later" } else { "update ukvm-run" }
    )]
    Solo5Version(u32),
    /// A note that each Solo5 unikernel has is missing, or is not the first of a note segment.
    #[error("has no Solo5 {0} note that begins a note segment; link it with Solo5's toolchain, 0.8 or later")]
    Solo5NoNote(&'static str),
    /// A note of Solo5's has an impossible size.
    #[error(
        "has a Solo5 {note} note of {size} bytes, and {} to {} are possible; build it again", sizes.start(), sizes.end()
    )]
    Solo5NoteSize {
        /// The note.
        note: &'static str,
        /// The bytes that it says it has behind its header.
        size: u32,
        /// The bytes that it may have.
        sizes: RangeInclusive<u32>,
    },
    /// A manifest of another version than 1.
    #[error(
        "has a Solo5 manifest of version {0}, and this ukvm-run knows version 1; {remedy}",
        remedy = if *.0 == 0 { "build it again" } else { "update ukvm-run" }
    )]
    Solo5ManifestVersion(u32),
    /// A manifest with no entries, or too many.
    #[error(
        "has a Solo5 manifest with {0} entries, and 1 to 64 are possible, the first of which is reserved; \
         declare at most 63 devices"
    )]
    Solo5ManifestCount(u32),
    /// A manifest whose size is not that of its entries.
    #[error("has a Solo5 manifest of {size} bytes, and its {count} entries take {expected}; build it again")]
    Solo5ManifestSize {
        /// Its bytes.
        size: usize,
        /// The number of its entries.
        count: u32,
        /// The bytes that it should have.
        expected: usize,
    },
    /// The manifest's first entry is not the one that is reserved.
    #[error("has a Solo5 manifest that does not begin with the reserved entry; build it again")]
    Solo5FirstEntry,
    /// A device's name has no end. By the device's handle.
    #[error("declares a device with a name of more than 67 bytes (the device with handle {0}); rename it")]
    Solo5Name(u32),
    /// A device is attached before anybody could. By the device's handle.
    #[error(
        "has a Solo5 manifest that says of the device with handle {0} that it is attached already; build it \
         again"
    )]
    Solo5Attached(u32),
    /// A device of a type that hvt does not have.
    #[error(
        "declares a device '{name}' of type {kind:#x}, which this ukvm-run does not know; declare it as \
         BLOCK_BASIC or NET_BASIC, or update ukvm-run"
    )]
    Solo5DeviceType {
        /// The device's name.
        name: String,
        /// The type's number.
        kind: u32,
    },
    /// An hvt unikernel that is position-independent.
    #[error(
        "is position-independent, and a Solo5 hvt unikernel has fixed addresses (ET_EXEC); link it with \
         Solo5's toolchain"
    )]
    Solo5Position,
    /// A segment of an hvt unikernel lies where there is no place for one.
    #[error(
        "has a segment at {address:#x} that is not inside {:#x} to {:#x}, the addresses for a Solo5 hvt \
         unikernel; link it with Solo5's toolchain", place.start, place.end
    )]
    Solo5Place {
        /// Its address.
        address: u64,
        /// Where it may lie.
        place: Range<u64>,
    },
    /// A note that does not fit in its segment.
    #[error(
        "has a malformed note segment: the note at byte {0:#x} of the file runs past its end; build it again"
    )]
    MalformedNote(u64),
    /// A note that declares a test is damaged, or for a newer version of the contract.
    #[error(
        "declares a test in a way that is not known here; build it with the runtime that goes with this monitor"
    )]
    Test,
    /// The manifest in the note is refused.
    #[error("{}", manifest_sentence(*.0))]
    Manifest(ManifestError),
    /// It names a program interpreter.
    #[error(
        "is dynamically linked: it asks for the interpreter {0}; link it statically (-C \
         target-feature=+crt-static)"
    )]
    Interpreter(String),
    /// It needs a shared library.
    #[error(
        "is dynamically linked: it needs the shared library {0}; link it statically (-C \
         target-feature=+crt-static)"
    )]
    NeedsLibrary(String),
    /// It has thread-local variables.
    #[error(
        "has thread-local variables (a PT_TLS segment), which unikernels do not support; build it without \
         them"
    )]
    ThreadLocal,
    /// It asks for a stack that can be executed.
    #[error("asks for an executable stack (PT_GNU_STACK); link it with -z noexecstack")]
    ExecutableStack,
    /// Nothing to load.
    #[error("has no loadable segment; link it into an executable")]
    NoSegments,
    /// A segment follows one with a higher address.
    #[error(
        "is not a valid ELF file: its segment at {0:#x} comes after one with a higher address; build it again"
    )]
    Unsorted(u64),
    /// Two segments have a byte or a page in common.
    #[error("has segments at {0:#x} and {1:#x} that overlap or share a page; link it with -z separate-code")]
    Overlap(u64, u64),
    /// A segment goes beyond the end of the address space.
    #[error("has a segment at {0:#x} that wraps around the end of the address space; build it again")]
    WrapsAround(u64),
    /// A segment ends above the addresses that a guest can have.
    #[error(
        "has a segment at {0:#x} that ends above {limit:#x}, the end of the addresses for a program; \
         link it lower",
        limit = VIRTUAL_END
    )]
    TooHigh(u64),
    /// A program with fixed addresses begins too low.
    #[error(
        "has a segment at {0:#x}, below {lowest:#x}, the lowest address for a program; link it higher or \
         as a position-independent executable",
        lowest = LOWEST
    )]
    TooLow(u64),
    /// The segments are too far apart.
    #[error(
        "takes {0:#x} bytes of addresses from its first segment to its last, more than 2^46; link its \
         segments closer together"
    )]
    SpanTooLarge(u64),
    /// A segment's alignment is no power of two, too large, or is not kept.
    #[error(
        "has a segment at {address:#x} that is misaligned (file offset {offset:#x}, alignment {align:#x}); \
         build it again"
    )]
    Misaligned {
        /// Its address.
        address: u64,
        /// Its place in the file.
        offset: u64,
        /// The alignment that it states.
        align: u64,
    },
    /// A segment has more bytes in the file than in memory.
    #[error("has a segment at {0:#x} that is larger in the file than in memory; build it again")]
    FileSize(u64),
    /// A segment is writable and executable.
    #[error(
        "has a segment at {0:#x} that is both writable and executable; link code and data into separate \
         segments"
    )]
    WritableAndExecutable(u64),
    /// Execution would start where there is no code.
    #[error(
        "has its entry point at {0:#x}, outside its executable segments; link it with an entry point (_start)"
    )]
    Entry(u64),
    /// The range to be sealed is not at the start of a page, or not inside one writable segment.
    #[error(
        "has a RELRO range at {0:#x} that does not start a page of a writable segment or leaves it; build \
         it again"
    )]
    Relro(u64),
    /// A table that the dynamic section names is not in the file.
    #[error(
        "is not a valid ELF file: its {part} at {address:#x} is not in a segment's file data; build it again"
    )]
    TableOutside {
        /// The table.
        part: &'static str,
        /// Where it should be.
        address: u64,
    },
    /// The dynamic section has no end.
    #[error("is not a valid ELF file: its dynamic section is not ended by DT_NULL; build it again")]
    DynamicWithoutEnd,
    /// A kind of relocation that needs a dynamic linker.
    #[error(
        "has a relocation of type {}, and only R_X86_64_RELATIVE is supported; link it as a static-pie",
        relocation_name(*.0)
    )]
    Relocation(u32),
    /// A form of relocation table that is not read.
    #[error(
        "has relocations in a form that is not supported ({0}); link it with plain RELA or RELR relocations"
    )]
    RelocationForm(&'static str),
    /// A relocation would change what is not writable.
    #[error(
        "has a relocation at {0:#x}, which is not in a writable segment; build it as position-independent \
         code"
    )]
    RelocationTarget(u64),
    /// A RELR table begins with a bitmap.
    #[error(
        "is not a valid ELF file: its DT_RELR table begins with a bitmap instead of an address; build it \
         again"
    )]
    RelrWithoutAddress,
    /// The guest's memory is too small for the image.
    #[error(
        "takes {image} bytes of memory from {at:#x} on, and the guest has {memory}; give it more with --mem"
    )]
    DoesNotFit {
        /// The image's bytes.
        image: u64,
        /// Guest-physical address of its first.
        at: u64,
        /// The guest's memory in bytes.
        memory: u64,
    },
}

impl Defect {
    /// The failure's class, and so the exit status.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing => ErrorKind::MissingFile,
            Self::Permission => ErrorKind::NoPermission,
            Self::Host(_) => ErrorKind::HostIo,
            Self::DoesNotFit { .. } => ErrorKind::BadConfig,
            _ => ErrorKind::BadElf,
        }
    }

    /// A failure of the host to open the file.
    pub(super) fn of_open(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Permission,
            // What Linux says of a socket, and of a device node without a driver.
            _ if error.raw_os_error() == Some(libc::ENXIO) => Self::NotRegular("a socket or a dead device"),
            _ => Self::Host(error),
        }
    }
}

fn manifest_sentence(error: ManifestError) -> String {
    match error {
        ManifestError::Version(0) => {
            "has a manifest for version 0 of the ukvm ABI, which never existed; build it again".into()
        }
        ManifestError::Version(version) => format!(
            "was built for version {version} of the ukvm ABI, and this ukvm-run knows versions up to \
             {ABI_VERSION}; update ukvm-run"
        ),
        ManifestError::Truncated => {
            "has a manifest that is shorter than it says; build it again with the ukvm-runtime crate".into()
        }
        ManifestError::BadSize => {
            "has a manifest whose entries are too small for its ABI version; build it again with the \
             ukvm-runtime crate"
                .into()
        }
        ManifestError::TooManyDevices(count) => {
            format!("declares {count} devices, and at most {MAX_DEVICES} are possible; declare fewer")
        }
        ManifestError::UnknownFeatures(bits) => {
            format!("requires features that this ukvm-run does not have ({bits:#x}); update ukvm-run")
        }
        ManifestError::UnknownKind(index) => format!(
            "declares a device of a kind that this ukvm-run does not know (the device with handle {}); \
             update ukvm-run",
            u64::from(index) + 1
        ),
        ManifestError::UnknownFlags(index) => format!(
            "declares a device with flags that this ukvm-run does not know (the device with handle {}); \
             update ukvm-run",
            u64::from(index) + 1
        ),
        ManifestError::BadName(index) => format!(
            "declares a device with a name that is not 1 to 32 of A-Z a-z 0-9 - _ . (the device with \
             handle {}); rename it",
            u64::from(index) + 1
        ),
        ManifestError::Duplicate(index) => format!(
            "declares two devices of the same kind and name (the second has handle {}); rename one",
            u64::from(index) + 1
        ),
    }
}

/// What a target of Solo5's is called, with what it is.
fn solo5_target(target: u32) -> String {
    match target {
        2 => "spt, a Linux process that seccomp confines",
        3 => "virtio, a whole virtual machine such as QEMU's",
        4 => "muen, the Muen separation kernel",
        5 => "genode, the Genode framework",
        6 => "xen, the Xen hypervisor",
        _ => return format!("target number {target}, which this ukvm-run does not know"),
    }
    .into()
}
