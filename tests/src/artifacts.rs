//! The monitor and the guests that are tested.

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};
use xtask::cargo::Executable;

/// Where they are.
#[derive(Clone, Debug)]
pub struct Artifacts {
    /// `ukvm-run` as users get it.
    pub monitor: PathBuf,
    /// `odd-run`, the monitor in odd surroundings.
    pub odd_monitor: PathBuf,
    /// `ukvm-runner`.
    pub runner: PathBuf,
    /// The directory of the guests, each `NAME.elf`.
    pub guests: PathBuf,
    /// The directory of those for the hvt ABI, each `NAME.hvt`.
    pub hvt_guests: PathBuf,
}

static ARTIFACTS: OnceLock<Artifacts> = OnceLock::new();

impl Artifacts {
    /// All of them in one directory, as the emulated machine has them.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            monitor: directory.join("ukvm-run"),
            odd_monitor: directory.join("odd-run"),
            runner: directory.join("ukvm-runner"),
            guests: directory.into(),
            hvt_guests: directory.into(),
        }
    }

    /// Makes these the ones that all tests use. The first call counts.
    pub fn use_for_all(self) {
        ARTIFACTS.get_or_init(|| self);
    }
}

/// The ones that all tests use.
///
/// # Panics
///
/// Before [`Artifacts::use_for_all`].
#[must_use]
pub fn artifacts() -> &'static Artifacts {
    ARTIFACTS.get().expect("the suite sets the artifacts before it runs a test")
}

/// The ELF file of a guest.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    artifacts().guests.join(format!("{name}.elf"))
}

/// The ELF file of a guest for the hvt ABI.
#[must_use]
pub fn hvt_guest(name: &str) -> PathBuf {
    artifacts().hvt_guests.join(format!("{name}.hvt"))
}

/// An example as a process of this system. All are built when one is first asked for.
///
/// # Panics
///
/// Where they cannot be built, or there is none of this name.
#[must_use]
pub fn hosted(name: &str) -> PathBuf {
    static BUILT: LazyLock<Vec<Executable>> = LazyLock::new(|| {
        xtask::hosted::build(None).unwrap_or_else(|error| panic!("building the hosted examples: {error:#}"))
    });
    let program = BUILT.iter().find(|program| program.name == name);
    program.unwrap_or_else(|| panic!("there is no example {name}")).path.clone()
}
